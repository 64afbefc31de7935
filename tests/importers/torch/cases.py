"""A call for every entry of the table, with arguments that are no defaults: name, and what is computed from the inputs.

The inputs `n` are x (b, 4, 6, 8), s (b, 4, 9), v (b, 4, 4, 5, 6), t (b, 5, 8) and i (b, 3), whole numbers up to 4; `p`
holds parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

aten: Any = torch.ops.aten

Case: TypeAlias = Callable[[dict[str, Tensor], dict[str, Tensor]], Any]

SIZES = {
    "conv1": (6, 2, 3),
    "conv2": (6, 2, 3, 2),
    "conv3": (6, 2, 3, 2, 1),
    "up1": (4, 3, 3),
    "up2": (4, 3, 3, 2),
    "up3": (4, 3, 2, 1, 2),
    "six": (6,),
    "four": (4,),
    "positive": (4,),
    "eight": (8,),
    "matrix": (7, 8),
    "square": (8, 8),
    "table": (5, 3),
    "seven": (7,),
    "bias_map": (4, 6, 8),
}

CONVOLUTIONS: dict[str, Case] = {
    "conv1d": lambda n, p: F.conv1d(n["s"], p["conv1"], p["six"], stride=2, padding=2, dilation=2, groups=2),
    "conv2d": lambda n, p: F.conv2d(n["x"], p["conv2"], None, stride=(1, 2), padding=(2, 1), groups=2),
    "conv3d": lambda n, p: F.conv3d(n["v"], p["conv3"], p["six"], padding=(1, 0, 2), groups=2),
    "same1": lambda n, p: F.conv1d(n["s"], p["conv1"], padding="same", dilation=3, groups=2),
    "same2": lambda n, p: F.conv2d(n["x"], p["conv2"], padding="same", groups=2),
    "valid3": lambda n, p: F.conv3d(n["v"], p["conv3"], padding="valid", groups=2),
    "up1": lambda n, p: F.conv_transpose1d(n["s"], p["up1"], stride=2, padding=1, output_padding=1),
    "up2": lambda n, p: F.conv_transpose2d(n["x"], p["up2"], p["six"], (2, 3), (1, 0), (0, 1), 2, (2, 1)),
    "up3": lambda n, p: F.conv_transpose3d(n["v"], p["up3"], groups=2),
    "convolution": lambda n, p: aten.convolution(n["x"], p["conv2"], None, [2], [1], [1], False, [0], 2),
    "transposed": lambda n, p: aten.convolution(n["x"], p["up2"], None, [2, 1], [1, 0], [1, 1], True, [1, 0], 1),
    "_convolution": lambda n, p: aten._convolution(
        n["x"], p["conv2"], p["six"], [1, 2], [0, 1], [2, 1], False, [0, 0], 2, False, False, True, True
    ),
    "unbatched": lambda n, p: F.conv2d(n["x"].sum(0), p["conv2"], groups=2),
}

PRODUCTS: dict[str, Case] = {
    "bilinear": lambda n, p: F.bilinear(n["t"], n["x"][:, 0, :5, :6], p["bias_map"].mT, p["four"]),
    "bilinear plain": lambda n, p: F.bilinear(
        n["t"][:, 0], n["t"][:, 1, :3], p["square"][:7, :6].view(7, 2, 3).tile(1, 4, 1)
    ),
    "linear": lambda n, p: F.linear(n["t"], p["matrix"], p["seven"]),
    "matmul": lambda n, p: n["t"] @ p["square"],
    "mm": lambda n, p: torch.mm(n["t"][0], p["square"]),
    "bmm": lambda n, p: torch.bmm(n["t"], n["t"].transpose(1, 2)),
    "mv": lambda n, p: torch.mv(n["t"][0], p["eight"]),
    "dot": lambda n, p: torch.dot(n["t"][0, 0], p["eight"]),
    "addmm": lambda n, p: torch.addmm(p["seven"], n["t"][0], p["matrix"].t()),
    "addmm scaled": lambda n, p: torch.addmm(n["t"][0], n["t"][0], p["square"], beta=0.5, alpha=-2),
    "einsum": lambda n, p: torch.einsum("btc,oc->bot", n["t"], p["matrix"]),
    "attention": lambda n, p: F.scaled_dot_product_attention(n["t"], 2 * n["t"], -n["t"]),
    "attention scaled": lambda n, p: F.scaled_dot_product_attention(n["t"], n["t"], n["t"], is_causal=True, scale=0.3),
    "attention masked": lambda n, p: F.scaled_dot_product_attention(n["t"], n["t"], n["t"], p["square"][:5, :5]),
    "attention chosen": lambda n, p: F.scaled_dot_product_attention(
        n["t"], n["t"], n["t"], (n["t"][:, :, :5] > 0) | (p["square"][:5, :5] > 0) | (n["t"][:, :, :1] <= 0)
    ),
}

NORMS: dict[str, Case] = {
    "batch_norm": lambda n, p: F.batch_norm(n["x"], p["four"], p["positive"], p["four"], None, False, 0.1, 1e-3),
    "batch_norm of batch": lambda n, p: F.batch_norm(n["x"], None, None, p["four"], p["four"], True, 0.1, 1e-3),
    "native": lambda n, p: aten._native_batch_norm_legit_no_training(
        n["x"], p["four"], None, p["four"], p["positive"], 0.1, 1e-2
    )[0],
    "layer_norm": lambda n, p: F.layer_norm(n["x"], (4, 6, 8), p["bias_map"], None, 1e-3),
    "group_norm": lambda n, p: F.group_norm(n["x"], 2, p["four"], p["four"], 1e-3),
    "rms_norm": lambda n, p: F.rms_norm(n["t"], (8,), p["eight"], 1e-3),
    "instance_norm": lambda n, p: F.instance_norm(n["x"], weight=p["four"], bias=p["four"], eps=1e-3),
    "instance_norm running": lambda n, p: F.instance_norm(n["x"], p["four"], p["positive"], use_input_stats=False),
}

WINDOWS: dict[str, Case] = {
    "max1": lambda n, p: F.max_pool1d(n["s"], 3, 2, 1),
    "max2": lambda n, p: F.max_pool2d(n["x"], (3, 2), (2, 1), (1, 0), (1, 2), True),
    "max2 with places": lambda n, p: F.max_pool2d(n["x"], 3, 2, 1, return_indices=True)[0],
    "max3 with places": lambda n, p: F.max_pool3d(n["v"], 2, 1, ceil_mode=True, return_indices=True)[0],
    "max3": lambda n, p: F.max_pool3d(n["v"], 2),
    "avg1": lambda n, p: F.avg_pool1d(n["s"], 3, 2, 1, True),
    "avg2": lambda n, p: F.avg_pool2d(n["x"], (3, 2), (2, 1), (1, 0), count_include_pad=False),
    "avg3": lambda n, p: F.avg_pool3d(n["v"], 2, 1, 1),
    "mean1": lambda n, p: F.adaptive_avg_pool1d(n["s"], 3),
    "mean2": lambda n, p: F.adaptive_avg_pool2d(n["x"], (3, 5)),
    "mean3": lambda n, p: F.adaptive_avg_pool3d(n["v"], 1),
    "most1": lambda n, p: F.adaptive_max_pool1d(n["s"], 4),
    "most2": lambda n, p: F.adaptive_max_pool2d(n["x"], (1, 3)),
    "most3": lambda n, p: F.adaptive_max_pool3d(n["v"], 2),
    "nearest1": lambda n, p: F.interpolate(n["s"], 13),
    "nearest2": lambda n, p: F.interpolate(n["x"], scale_factor=(2, 3)),
    "nearest3": lambda n, p: F.interpolate(n["v"], (7, 3, 6)),
    "linear1": lambda n, p: F.interpolate(n["s"], 5, mode="linear"),
    "linear2": lambda n, p: F.interpolate(n["x"], scale_factor=2.5, mode="bilinear"),
    "linear3": lambda n, p: F.interpolate(n["v"], (3, 9, 7), mode="trilinear", align_corners=True),
    "cubic2": lambda n, p: F.interpolate(n["x"], (9, 5), mode="bicubic"),
    "unbatched": lambda n, p: F.max_pool2d(n["x"].sum(0), 2),
    "max padded": lambda n, p: F.max_pool2d(F.pad(n["x"], (1, 0, 0, 1), value=-torch.inf), 3, 2),
    "max padded by hand": lambda n, p: F.max_pool1d(aten.constant_pad_nd(n["s"], [0, 1], -torch.inf), 2, 2),
    "unfold": lambda n, p: n["x"].unfold(2, 4, 1).unfold(-2, 3, 2),
    "unfold batch": lambda n, p: n["x"].unfold(1, 2, 2).unfold(3, 8, 1),
    "im2col": lambda n, p: F.unfold(n["x"], (3, 2), dilation=(1, 2), padding=(2, 1), stride=(2, 1)),
    "im2col whole": lambda n, p: F.unfold(n["x"][0], (2, 4), stride=(2, 4)),
    "col2im": lambda n, p: F.fold(
        n["v"].flatten(1)[:, :252].unflatten(1, (12, 21)), (6, 9), (3, 2), (1, 2), (1, 0), (2, 1)
    ),
    "col2im one": lambda n, p: F.fold(n["v"][0].flatten()[:150].view(6, 25), (12, 6), (3, 2), stride=(2, 1)),
}
