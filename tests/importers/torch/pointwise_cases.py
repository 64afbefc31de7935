"""The cases of arithmetic, functions, reductions and constants; see `cases`."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.importers.torch.cases import Case, aten

FUNCTIONS: dict[str, Case] = {
    **{
        name: lambda n, p, name=name: getattr(torch.Tensor, name)(n["x"])
        for name in ("relu", "sigmoid", "tanh", "exp", "abs", "sin", "cos", "atan", "erf", "sign", "floor", "ceil")
    },
    **{
        name: lambda n, p, name=name: getattr(F, name)(3 * n["x"])
        for name in ("relu6", "silu", "hardswish", "hardsigmoid", "mish", "selu", "logsigmoid")
    },
    "relu6 itself": lambda n, p: aten.relu6(4 * n["x"]),
    "round": lambda n, p: (3 * n["x"]).round(),
    "log": lambda n, p: n["x"].abs().log(),
    "log2": lambda n, p: n["x"].abs().log2(),
    "log10": lambda n, p: n["x"].abs().log10(),
    "log1p": lambda n, p: n["x"].abs().log1p(),
    "sqrt": lambda n, p: n["x"].abs().sqrt(),
    "rsqrt": lambda n, p: n["x"].abs().rsqrt(),
    "gelu": lambda n, p: F.gelu(n["x"]),
    "gelu tanh": lambda n, p: F.gelu(n["x"], approximate="tanh"),
    "leaky_relu": lambda n, p: F.leaky_relu(n["x"], 0.3),
    "elu": lambda n, p: F.elu(n["x"], 0.7),
    "celu": lambda n, p: F.celu(n["x"], 0.7),
    "hardtanh": lambda n, p: F.hardtanh(n["x"], -0.5, 0.25),
    "softplus": lambda n, p: F.softplus(n["x"]),
    "threshold": lambda n, p: F.threshold(n["x"], 0.1, -0.3),
    "hardshrink": lambda n, p: F.hardshrink(n["x"], 0.3),
    "softshrink": lambda n, p: F.softshrink(n["x"], 0.3),
    "rrelu": lambda n, p: F.rrelu(n["x"], 0.1, 0.4),
    "glu": lambda n, p: F.glu(n["x"], 1),
    "prelu": lambda n, p: F.prelu(n["x"], p["four"]),
    "clamp": lambda n, p: n["x"].clamp(-0.5, 0.3),
    "clamp one side": lambda n, p: n["x"].clamp(max=0.3),
    "clamp tensors": lambda n, p: torch.clamp(n["t"], p["eight"] - 1, p["eight"]),
    "clamp_min": lambda n, p: n["x"].clamp_min(0.1),
    "clamp_min tensor": lambda n, p: aten.clamp_min.Tensor(n["t"], p["eight"]),
    "clamp_max": lambda n, p: n["x"].clamp_max(0.1),
    "clamp_max tensor": lambda n, p: aten.clamp_max.Tensor(n["t"], p["eight"]),
    "softmax": lambda n, p: n["x"].softmax(-2),
    "_softmax": lambda n, p: aten._softmax(n["x"], 1, False),
    "log_softmax": lambda n, p: n["x"].log_softmax(1),
    "_log_softmax": lambda n, p: aten._log_softmax(n["x"], -1, False),
}

ARITHMETIC: dict[str, Case] = {
    "add": lambda n, p: torch.add(n["t"], p["eight"], alpha=-2),
    "add number": lambda n, p: n["x"] + 0.1,
    "add scalar": lambda n, p: aten.add.Scalar(n["x"], 3),
    "add counts": lambda n, p: n["t"][:, :3, 0] + n["i"],
    "sub": lambda n, p: torch.sub(n["t"], p["eight"], alpha=0.5),
    "sub scalar": lambda n, p: aten.sub.Scalar(n["x"], 0.3, 2),
    "rsub": lambda n, p: torch.rsub(n["x"], 0.3, alpha=2),
    "rsub tensor": lambda n, p: aten.rsub.Tensor(n["t"], p["eight"]),
    "mul": lambda n, p: n["t"] * p["eight"],
    "mul number": lambda n, p: 0.3 * n["x"],
    "mul scalar": lambda n, p: aten.mul.Scalar(n["x"], -3),
    "div": lambda n, p: n["t"] / (2 + p["eight"].abs()),
    "div number": lambda n, p: n["x"] / 0.3,
    "div scalar": lambda n, p: aten.div.Scalar(n["x"], 3),
    "div mode": lambda n, p: torch.div(n["x"], 0.3, rounding_mode=None),
    "div scalar mode": lambda n, p: aten.div.Scalar_mode(n["x"], 3, rounding_mode=None),
    "neg": lambda n, p: -n["x"],
    "reciprocal": lambda n, p: (1 + n["x"].abs()).reciprocal(),
    "square": lambda n, p: n["x"].square(),
    "pow": lambda n, p: [n["x"].abs() ** k for k in (1, 2, 0.5, -0.5, -1, 3)],
    "pow tensor": lambda n, p: n["t"].abs() ** p["eight"],
    "addcmul": lambda n, p: torch.addcmul(n["t"], n["t"], p["eight"], value=0.3),
    "lerp": lambda n, p: torch.lerp(n["t"], 2 * n["t"], p["eight"]),
    "lerp number": lambda n, p: torch.lerp(n["t"], 2 * n["t"], 0.3),
    "maximum": lambda n, p: torch.maximum(n["t"], p["eight"]),
    "minimum": lambda n, p: torch.minimum(n["t"], p["eight"]),
    "max": lambda n, p: torch.max(n["t"], p["eight"]),
    "min": lambda n, p: torch.min(n["t"], p["eight"]),
    "dropout": lambda n, p: F.dropout(n["x"], 0.3, False),
    "feature_dropout": lambda n, p: F.dropout2d(n["x"], 0.3, False),
    "alpha_dropout": lambda n, p: F.alpha_dropout(n["x"], 0.3, False),
    "contiguous": lambda n, p: n["x"].transpose(1, 2).contiguous(),
    "clone": lambda n, p: n["x"].clone(),
    "alias": lambda n, p: aten.alias(n["x"]),
    "detach": lambda n, p: n["x"].detach(),
    "positive": lambda n, p: +n["x"],
    "lift": lambda n, p: n["x"] * torch.tensor([0.1, 0.2, 0.3, 0.4])[:, None, None],
    "lift_fresh_copy": lambda n, p: aten.lift_fresh_copy(n["x"]),
    "to dtype": lambda n, p: n["i"].to(torch.float32),
    "to device": lambda n, p: n["i"].to("cpu", torch.float32),
    "to layout": lambda n, p: aten.to.dtype_layout(n["i"], dtype=torch.float32, layout=torch.strided),
    "to other": lambda n, p: aten.to.other(n["i"], n["x"]),
    "_to_copy": lambda n, p: aten._to_copy(n["i"], dtype=torch.float32),
    "type_as": lambda n, p: n["i"].type_as(n["x"]),
}

CHOICES: dict[str, Case] = {
    **{
        f"{name} {kind}": lambda n, p, name=name, other=other: getattr(torch, name)(n["t"], other(p)).to(torch.float32)
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
        for kind, other in (("tensor", lambda p: p["eight"]), ("number", lambda p: 0.2))
    },
    "compare counts": lambda n, p: torch.where(n["i"] > 2, 1.0, 0.5),
    "logical_not": lambda n, p: (n["t"] > 0).logical_not().to(torch.float32),
    **{
        name: lambda n, p, name=name: getattr(torch, name)(n["t"] > 0, p["eight"] > 0).to(torch.float32)
        for name in ("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor")
    },
    **{
        name: lambda n, p, name=name: getattr(torch, name)(n["t"].log() / F.relu(n["t"] - 0.2)).to(torch.float32)
        for name in ("isnan", "isinf", "isfinite")
    },
    "bitwise_not": lambda n, p: (~(n["t"] > 0)).to(torch.float32),
    **{
        f"{name} number": lambda n, p, name=name: getattr(aten, name).Scalar(n["t"] > 0, True).to(torch.float32)
        for name in ("bitwise_and", "bitwise_or", "bitwise_xor")
    },
    **{
        f"{name} {form}": lambda n, p, name=name, other=other: getattr(aten, name)(n["t"] > 0, other(p)).float()
        for name in ("__and__", "__or__", "__xor__")
        for form, other in (("tensor", lambda p: p["eight"] > 0), ("number", lambda p: True))
    },
    "index_put": lambda n, p: aten.index_put(n["x"], [n["x"] > 0], p["eight"][0]),
    "index_put rows": lambda n, p: aten.index_put(n["t"], [n["t"][..., 0] > 0], torch.tensor(0.5)),
    "where": lambda n, p: torch.where(n["t"] > 0, n["t"], p["eight"]),
    "where first": lambda n, p: torch.where(n["t"] > 0, 0.5, n["t"]),
    "where second": lambda n, p: torch.where(n["t"] > 0, n["t"], 0.5),
    "where numbers": lambda n, p: torch.where(n["t"] > 0, 0.5, -1.0),
    "masked_fill": lambda n, p: n["t"].masked_fill(n["t"] > 0, 0.5),
    "masked_fill infinite": lambda n, p: n["t"].masked_fill(n["t"] > 0, -torch.inf).softmax(-1),
    "clamp to infinity": lambda n, p: n["t"].masked_fill(n["t"] > 0, torch.inf).clamp(max=0.7),
    **{name: lambda n, p, name=name: getattr(torch, name)(n["x"] > -0.6).float() for name in ("any", "all")},
    **{
        f"{name} axis": lambda n, p, name=name: getattr(torch, name)(n["x"] > -0.6, 1).float()
        for name in ("any", "all")
    },
    **{
        f"{name} axes": lambda n, p, name=name: getattr(aten, name).dims(n["x"] > -0.6, [1, -1], True).float()
        for name in ("any", "all")
    },
    "any count": lambda n, p: n["i"].any(1).to(torch.float32),
    "masked_fill tensor": lambda n, p: n["t"].masked_fill(n["t"] > 0, p["eight"].sum()),
}

REDUCTIONS: dict[str, Case] = {
    "sum": lambda n, p: n["x"].sum((1, -1), keepdim=True),
    "sum of truth": lambda n, p: (n["x"] > 0).sum((1, 2)).float(),
    "sum of counts": lambda n, p: n["i"].sum(1, keepdim=True).float(),
    "sum all": lambda n, p: n["x"].sum(),
    "mean": lambda n, p: n["x"].mean((2, 3)),
    "mean all": lambda n, p: n["x"].mean(),
    "amax": lambda n, p: n["x"].amax((2, 3)),
    "amin": lambda n, p: n["x"].amin(1, keepdim=True),
    "max all": lambda n, p: n["x"].max(),
    "min all": lambda n, p: n["x"].min(),
    "max axis": lambda n, p: n["x"].max(1)[0],
    "min axis": lambda n, p: n["x"].min(-1, keepdim=True)[0],
    "var": lambda n, p: n["x"].var((2, 3), correction=2),
    "var usual": lambda n, p: n["x"].var(1),
    "std": lambda n, p: n["x"].std((1, 3), correction=0, keepdim=True),
    "std usual": lambda n, p: n["x"].std(-1),
    "var_mean": lambda n, p: torch.var_mean(n["x"], (1, 2), correction=0),
    "norm": lambda n, p: torch.linalg.vector_norm(n["x"], dim=1),
    "norm 1": lambda n, p: torch.linalg.vector_norm(n["x"], 1, (2, 3), keepdim=True),
    "norm inf": lambda n, p: torch.linalg.vector_norm(n["x"], float("inf"), 1),
    "norm 3": lambda n, p: torch.linalg.vector_norm(n["x"], 3, -1),
    "dist": lambda n, p: torch.dist(n["t"], p["eight"], 1.5),
    "cosine_similarity": lambda n, p: F.cosine_similarity(n["t"], p["eight"], -1),
    "norm by aten": lambda n, p: aten.norm.ScalarOpt_dim(n["x"], None, [1], True),
    "norm all": lambda n, p: aten.norm.Scalar(n["x"], 2),
    "max place": lambda n, p: n["x"].max(1)[1].float(),
    "min place": lambda n, p: [found.float() for found in n["x"].min(-1, keepdim=True)],
    "argmax": lambda n, p: n["x"].argmax(2).float(),
    "argmax all": lambda n, p: n["x"][0].argmax().float(),
    "argmin": lambda n, p: n["x"].argmin(-1, keepdim=True).float(),
    "topk": lambda n, p: [found.float() for found in n["x"].topk(2, 1)],
    "topk smallest": lambda n, p: [found.float() for found in n["x"].topk(3, largest=False)],
    "sort": lambda n, p: [found.float() for found in n["x"].sort(2, descending=True)],
    "sort stable": lambda n, p: [found.float() for found in torch.sort(n["i"], stable=True, dim=-1)],
    "argsort": lambda n, p: n["x"].argsort(1).float(),
    "argsort stable": lambda n, p: n["i"].argsort(stable=True, dim=1, descending=True).float(),
    "gather": lambda n, p: n["t"][:, :, 0].gather(1, n["i"]),
    "gather less": lambda n, p: n["t"].gather(2, n["i"][:, :, None].expand(-1, -1, 2)),
    "one_hot": lambda n, p: F.one_hot(n["i"], 6).float(),
    "cumsum": lambda n, p: n["x"].cumsum(-1),
}

CONSTANTS: dict[str, Case] = {
    **{name: lambda n, p, name=name: n["x"] + getattr(torch, name)(n["x"].shape) for name in ("zeros", "ones")},
    "full": lambda n, p: n["x"] + torch.full((n["x"].shape[0], 1, 1, 1), 0.25),
    **{name: lambda n, p, name=name: n["x"] + getattr(torch, name)(n["x"]) for name in ("zeros_like", "ones_like")},
    "full of integers": lambda n, p: torch.full((n["x"].shape[0], 2), 7),
    "full of truth": lambda n, p: torch.ones(n["x"].shape[0], 2, dtype=torch.bool),
    "empty": lambda n, p: n["x"] + torch.empty(n["x"].shape[0], 1, 1, 1).fill_(0.25),
    "empty_like": lambda n, p: n["x"] + torch.empty_like(n["x"]).fill_(0.25),
    "new_empty": lambda n, p: n["x"] + n["x"].new_empty(n["x"].shape[0], 4, 1, 1).fill_(0.25),
    "full_like": lambda n, p: n["x"] + torch.full_like(n["x"], 0.25),
    **{
        name: lambda n, p, name=name: n["x"] + getattr(n["x"], name)((n["x"].shape[0], 1, 1, 8))
        for name in ("new_zeros", "new_ones")
    },
    "new_full": lambda n, p: n["x"] + n["x"].new_full((n["x"].shape[0], 4, 1, 1), 0.25),
    "fill": lambda n, p: n["x"] + aten.fill.Scalar(n["x"], 0.25),
    "fill tensor": lambda n, p: aten.fill.Tensor(n["x"], p["eight"].sum()),
    "zero": lambda n, p: n["x"] + aten.zero(n["x"]),
    "positions": lambda n, p: n["x"] + torch.arange(8.0) * torch.linspace(0, 1, 6)[:, None],
}
