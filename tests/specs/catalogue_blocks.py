"""The methods of specs/blocks that make or change weights, each with its formula."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.specs.formulas import State, below, blocks, cayley, generator, mask, neumann, pairs, reflections, skew
from tests.specs.method import Layer, Method

KERNEL = (6, 4, 3, 2)


def lengths(v: Tensor) -> Tensor:
    return v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.dim() - 1))


def sphere(v: Tensor, p: State) -> Tensor:
    """Each row one angle after another."""
    rows = []
    for radius, angles in zip(p["r"], p["angles"], strict=True):
        rest, row = radius, []
        for angle in angles:
            row.append(rest * angle.cos())
            rest = rest * angle.sin()
        rows.append(torch.stack([*row, rest]))
    return torch.stack(rows).reshape(v.shape)


def poet(w: Tensor, p: State) -> Tensor:
    return neumann(skew(p["left"][0], 6), 5) @ w @ neumann(skew(p["right"][0], 8), 5)


def intrinsic(w: Tensor, p: State) -> Tensor:
    drawn = torch.randn(w.numel(), 3, generator=generator(2)).double()
    return w + (drawn @ p["intrinsic"]).reshape(w.shape) / 3**0.5


def levels(v: Tensor, p: State) -> Tensor:
    step = p["step"].reshape(-1, 1, 1, 1)
    return step * (v / step).clamp(-4, 3).round()


def bits(v: Tensor, p: State) -> Tensor:
    return sum((s * plane.sign() for s, plane in zip(p["scale"], p["plane"], strict=True)), torch.zeros_like(v))


def two_of_four(v: Tensor, p: State) -> Tensor:
    groups = v.reshape(-1, 4).clone()
    for row in groups:
        row[row.abs().argsort()[:2]] = 0
    return groups.reshape(v.shape)


METHODS = (
    Method("blocks.normalised", "WeightNorm()", lambda v, p: p["g"].reshape(-1, 1, 1, 1) * v / lengths(v), KERNEL),
    Method("blocks.normalised", "LAWN()", lambda v, p: p["c"] * v / v.norm(), KERNEL, fixed=True),
    Method("blocks.normalised", "Geometric()", sphere, KERNEL),
    Method("blocks.normalised", "Compander()", lambda v, p: p["bound"] * torch.atan(v / p["width"]), KERNEL),
    Method("blocks.normalised", "Scaled(0.25)", lambda v, p: 0.25 * v, KERNEL, fixed=True),
    Method("blocks.orthogonal", "POET(5)", poet),
    Method("blocks.shared", "Intrinsic(2)", intrinsic, shared="weight intrinsic: [3] = zeros"),
    Method(
        "blocks.shared",
        "Bank()",
        lambda w, p: torch.einsum("t,toi->oi", p["coefficients"], p["bank"]),
        shared="weight bank: [5, 6, 8] = zeros",
    ),
    Method(
        "blocks.shared",
        "Hashed()",
        lambda w, p: p["scale"] * p["sign"] * p["hashed"][p["hash"]],
        shared="weight hashed: [5] = zeros",
        given={"hash": below(5)},
    ),
    Method(
        "blocks.quantised",
        "Binary()",
        lambda v, p: v.sign() * v.abs().mean((1, 2, 3), keepdim=True),
        KERNEL,
        fixed=True,
    ),
    Method(
        "blocks.quantised",
        "Quantised(3)",
        levels,
        KERNEL,
        given={"step": lambda shape: torch.linspace(0.1, 0.7, *shape, dtype=torch.float64)},
    ),
    Method("blocks.quantised", "BitPlanes(3)", bits),
    Method("blocks.quantised", "Codebook(5)", lambda v, p: p["book"][p["index"]], KERNEL, given={"index": below(5)}),
    Method(
        "blocks.quantised",
        "Pruned()",
        lambda v, p: p["mask"] * v,
        KERNEL,
        given={"mask": lambda shape: mask(shape).double()},
        fixed=True,
    ),
    Method("blocks.quantised", "SparseNM(2, 4)", two_of_four, fixed=True),
)


def givens(x: Tensor, p: State) -> Tensor:
    c, s = p["angles"].cos(), p["angles"].sin()
    one = torch.eye(8, dtype=x.dtype)
    return x @ pairs(one, 3, lambda k, j: torch.stack([c[k, j], -s[k, j], s[k, j], c[k, j]]).reshape(2, 2)).T


def butterfly(x: Tensor, p: State) -> Tensor:
    one = torch.eye(8, dtype=x.dtype)
    return x @ pairs(one, 3, lambda k, j: torch.stack([p[n][k, j] for n in "abcd"]).reshape(2, 2)).T


def sandwich(x: Tensor, p: State, out: int = 5) -> Tensor:
    """The columns of one Cayley map of a tall matrix (Trockman and Kolter 2021)."""
    one = torch.eye(out, dtype=x.dtype)
    z = p["X"] - p["X"].T + p["Y"].T @ p["Y"]
    inverse = torch.linalg.inv(one + z)
    first, second = inverse @ (one - z), -2 * p["Y"] @ inverse
    psi = p["psi"].exp()
    return 2**0.5 * torch.relu(2**0.5 * (x @ second) / psi + p["b"]) * psi @ first


def monarch(x: Tensor, p: State) -> Tensor:
    """Two block-diagonal matrices, each with a shuffle behind it."""
    one, two = (torch.arange(n).reshape(2, -1).T.flatten() for n in (4, 6))
    return x @ (blocks(list(p["L"])) @ blocks(list(p["R"]))[one])[two].T


def block_low_rank(x: Tensor, p: State) -> Tensor:
    rows = [
        torch.cat([u @ torch.diag(p["S"][i, j]) @ v for j, v in enumerate(p["V"])], 1) for i, u in enumerate(p["U"])
    ]
    return x @ torch.cat(rows).T


def fed(x: Tensor, p: State, shift: int) -> Tensor:
    return x @ ((p["X1"] @ p["Y1"]) * (p["X2"] @ p["Y2"] + shift)).T


def circulant(x: Tensor, p: State) -> Tensor:
    return torch.fft.ifft(torch.fft.fft(x) * torch.fft.fft(p["c"])).real


def train(x: Tensor, p: State) -> Tensor:
    dense = sum(torch.kron(p["G"][..., k].contiguous(), p["H"][k].contiguous()) for k in range(3))
    return x @ torch.as_tensor(dense).T


def made(z: Tensor, p: State) -> Tensor:
    return torch.tanh(z @ p["W1"].T + p["b1"]) @ p["W2"].T


def flex(x: Tensor, p: State) -> Tensor:
    place = (torch.arange(5, dtype=x.dtype) - 2) / 5
    kernel = made(place[:, None], p).T.reshape(3, 2, 5)
    return torch.conv1d(x, kernel * torch.exp(-(place**2) / (2 * p["width"] ** 2)), padding=2)


def states(x: Tensor, p: State, real: Tensor) -> Tensor:
    """The recurrence itself, in complex numbers."""
    poles, dt = torch.complex(real, p["A_imag"]), p["log_dt"].exp()
    step = (dt * poles).exp()
    given = torch.complex(p["C"][0], p["C"][1]) * (step - 1) / poles
    out, h = [], torch.zeros(len(x), *poles.shape, dtype=poles.dtype)
    for now in x.unbind(-1):
        h = step * h + now[..., None]
        out.append(2 * (given * h).sum(-1).real)
    return torch.stack(out, -1)


ONE = {"Gemm": 1}
N8 = "x: f32[b, 8]"

LAYERS = (
    Layer("orthogonal", "CayleyLinear()", N8, lambda x, p: x @ cayley(skew(p["q"][0], 8)).T, ONE),
    Layer("orthogonal", "HouseholderLinear(3)", N8, lambda x, p: x @ reflections(p["U"]).T, ONE),
    Layer("orthogonal", "GivensLinear(3)", N8, givens, ONE),
    Layer("orthogonal", "Sandwich(5)", N8, sandwich, {"Gemm": 2, "Relu": 1}),
    Layer("structured", "MonarchLinear(6, 2)", N8, monarch, ONE),
    Layer("structured", "KroneckerLinear(6, 3, 2)", N8, lambda x, p: x @ torch.kron(p["A"], p["B"]).T, ONE),
    Layer("structured", "FedParaLinear(6, 3)", N8, lambda x, p: fed(x, p, 0), ONE),
    Layer("structured", "FedParaLinear(6, 3, personal=true)", N8, lambda x, p: fed(x, p, 1), ONE),
    Layer("structured", "BlockLowRankLinear(6, 2, 3)", N8, block_low_rank, ONE),
    Layer("structured", "CirculantLinear()", N8, circulant, ONE),
    Layer("structured", "ButterflyLinear(3)", N8, butterfly, ONE),
    Layer("structured", "TrainLinear([2, 3], [4, 2], 3)", N8, train, ONE),
    Layer(
        "structured",
        "DiagramLinear(6, 3)",
        N8,
        lambda x, p: x @ torch.einsum("p,poi->io", p["lambda"], p["D"]),
        ONE,
    ),
    Layer(
        "structured",
        "DeepSet()",
        "x: f32[b, 5, 8]",
        lambda x, p: p["lambda"] * x + p["gamma"] * x.sum(1, keepdim=True),
        {},
    ),
    Layer(
        "shared",
        "Tied(5)",
        N8,
        lambda x, p: torch.tanh(x @ p["weight"].T) @ p["weight"],
        {"Gemm": 2, "Tanh": 1},
    ),
    Layer("generated", "HyperLinear(6, 3, 4)", N8, lambda x, p: x @ made(p["z"], p).reshape(6, 8).T, ONE),
    Layer("generated", "FlexConv(3, 5, 4)", "x: f32[b, 2, n]", flex, {"Conv": 1}),
    Layer("generated", "S4D(4, 9)", "x: f32[b, 3, 9]", lambda x, p: states(x, p, -p["log_A_real"].exp()), {"Conv": 1}),
    Layer(
        "generated",
        "StableSSM(4, 9)",
        "x: f32[b, 3, 9]",
        lambda x, p: states(x, p, -1 / (p["w"] ** 2 + 0.5)),
        {"Conv": 1},
    ),
)
