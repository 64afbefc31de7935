"""The cases of movement; see `cases`."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.importers.torch.cases import Case, aten

SHAPES: dict[str, Case] = {
    "view": lambda n, p: n["x"].view(-1, 24, 8),
    "reshape": lambda n, p: n["x"].transpose(1, 2).reshape(n["x"].shape[0], -1),
    "_unsafe_view": lambda n, p: aten._unsafe_view(n["x"], [n["x"].shape[0], 4, 48]),
    "reshape_as": lambda n, p: n["x"].reshape_as(n["x"].flatten(2).unsqueeze(1)),
    "view_as": lambda n, p: n["x"].view_as(n["x"].flatten(2).unsqueeze(1)),
    "flatten": lambda n, p: n["x"].flatten(1, 2),
    "unflatten": lambda n, p: n["x"].unflatten(1, (2, -1)),
    "unsqueeze": lambda n, p: n["x"].unsqueeze(-2),
    "squeeze": lambda n, p: n["x"][:, :1].squeeze(),
    "squeeze axis": lambda n, p: n["x"][:, :1].squeeze(1),
    "squeeze axes": lambda n, p: n["x"][:, :1, :1].squeeze((1, 2)),
    "expand": lambda n, p: p["eight"].expand(n["x"].shape[0], 3, -1),
    "expand_as": lambda n, p: p["bias_map"][:, :1].expand_as(n["x"]),
    "broadcast_to": lambda n, p: torch.broadcast_to(p["eight"], n["x"].shape),
    "repeat": lambda n, p: n["x"].repeat(1, 2, 1, 3),
    "repeat more": lambda n, p: n["s"].repeat(2, 1, 2, 1),
    "tile": lambda n, p: n["x"].tile((2, 1)),
    "repeat_interleave": lambda n, p: n["x"].repeat_interleave(3, 1),
    "permute": lambda n, p: n["x"].permute(0, -1, 1, 2),
    "transpose": lambda n, p: n["x"].transpose(-1, 1),
    "t": lambda n, p: n["t"][0].t(),
    "T": lambda n, p: p["bias_map"].sum(0).T + n["x"][0, 0].T,
    "numpy_T": lambda n, p: aten.numpy_T(n["t"][0]),
    "movedim": lambda n, p: n["x"].movedim(1, -1),
    "movedims": lambda n, p: n["x"].movedim((1, 2), (3, 0)),
    "pixel_shuffle": lambda n, p: F.pixel_shuffle(n["x"], 2),
    "pixel_unshuffle": lambda n, p: F.pixel_unshuffle(n["x"], 2),
    "channel_shuffle": lambda n, p: F.channel_shuffle(n["x"], 2),
    "roll": lambda n, p: n["x"].roll((1, -2), (2, -1)),
    "flip": lambda n, p: n["x"].flip((1, -1)),
}

PARTS: dict[str, Case] = {
    "slice": lambda n, p: n["x"][:, 1:-1, ::2, -3:],
    "slice of nothing": lambda n, p: torch.cat([n["x"][..., :0, :] * 2, n["x"][..., 3:, :], n["x"][..., 6:, :]], -2),
    "slice of batch": lambda n, p: n["x"][:-1] + n["x"][1:],
    "select": lambda n, p: n["x"][:, -1, 2],
    "diagonal": lambda n, p: n["x"].diagonal(-1, 3, 1),
    "narrow": lambda n, p: n["x"].narrow(1, 1, 2),
    "split": lambda n, p: list(n["x"].split(3, 1)),
    "split sizes": lambda n, p: list(n["x"].split((1, 3), 1)),
    "split.sizes": lambda n, p: list(aten.split.sizes(n["x"], [2, 4], 2)),
    "chunk": lambda n, p: n["x"].chunk(2, -1)[1],
    "chunk of one": lambda n, p: n["x"].chunk(1, 1)[0],
    "unsafe_chunk": lambda n, p: list(aten.unsafe_chunk(n["x"], 2, 1)),
    "unbind": lambda n, p: list(n["x"].unbind(1)),
    "cat": lambda n, p: torch.cat([n["x"], torch.zeros(0), n["x"][:, :1]], 1),
    "concat": lambda n, p: aten.concat([n["x"], n["x"]], -1),
    "stack": lambda n, p: torch.stack([n["x"], -n["x"]], -2),
    "copy": lambda n, p: aten.copy(n["t"], p["eight"]),
    "slice_scatter": lambda n, p: torch.slice_scatter(n["x"], n["x"][:, :2], 1, 1, 3),
    "slice_scatter step": lambda n, p: torch.slice_scatter(n["x"], n["x"][..., :3], 3, 1, 7, 2),
    "slice_scatter end": lambda n, p: torch.slice_scatter(n["x"], n["x"][:, :2], 1, -2),
    "select_scatter": lambda n, p: torch.select_scatter(n["x"], n["x"][:, 1], 1, -1),
    "pad": lambda n, p: F.pad(n["x"], (1, 2, -1, 3), value=0.3),
    "pad circular": lambda n, p: F.pad(n["x"], (1, 2, 2, 0), mode="circular"),
    "constant_pad": lambda n, p: aten.constant_pad_nd(n["x"], [1, 0], 0.5),
    **{
        f"{name}{rank}": lambda n, p, name=name, rank=rank, key=key: getattr(aten, f"{name}{rank}d")(
            n[key], [1, 2] * rank
        )
        for name in ("reflection_pad", "replication_pad")
        for rank, key in ((1, "s"), (2, "x"), (3, "v"))
    },
    "embedding": lambda n, p: F.embedding(n["i"], p["table"]),
    "index_select": lambda n, p: n["x"].index_select(1, torch.tensor([2, 0, 2])),
    "index": lambda n, p: n["x"][:, torch.tensor([[1, 3], [0, 0]])],
    "index a weight": lambda n, p: n["t"] + p["eight"][torch.arange(7, -1, -1)],
}
