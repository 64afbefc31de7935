"""The methods of specs/adapters, each with the formula of its paper in a few lines of torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.init import kaiming_uniform_

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Method:
    """An attached block, the weight it is attached to, and what it makes of it.

    `given` draws what is not any number: indices, masks.  With `biased` it takes weight and bias, `shared` are weights
    of the adapter itself.
    """

    module: str
    call: str
    formula: Callable[..., Tensor | tuple[Tensor, Tensor]]
    shape: tuple[int, ...] = (6, 8)
    biased: bool = False
    shared: str = ""
    given: Mapping[str, Callable[[tuple[int, ...]], Tensor]] = field(
        default_factory=dict[str, Callable[[tuple[int, ...]], Tensor]]
    )

    @property
    def name(self) -> str:
        return self.call.partition("(")[0]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def below(limit: int) -> Callable[[tuple[int, ...]], Tensor]:
    return lambda shape: torch.randint(limit, shape, generator=generator(limit))


def mask(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=generator(5)) < 0.5


def order(shape: tuple[int, ...]) -> Tensor:
    return torch.randperm(*shape, generator=generator(7))


def a(p: State) -> Tensor:
    return p["lora_A.weight"]


def b(p: State) -> Tensor:
    return p["lora_B.weight"]


def svd(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.linalg.svd(w, full_matrices=False)


def tucker(t: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("pq...,po,qi->oi...", t, a, b)


def skew(q: Tensor, n: int) -> Tensor:
    s = torch.zeros(n, n, dtype=q.dtype)
    s[torch.triu_indices(n, n, 1).unbind()] = q
    return s - s.T


def cayley(s: Tensor) -> Tensor:
    one = torch.eye(len(s), dtype=s.dtype)
    return torch.linalg.inv(one + s) @ (one - s)


def blocks(parts: list[Tensor]) -> Tensor:
    return torch.block_diag(*parts)


def onto(u: Tensor) -> Tensor:
    """The projections on a vector for each block."""
    return blocks([torch.outer(row, row) / row.dot(row) for row in u])


def reflections(u: Tensor) -> Tensor:
    one = torch.eye(len(u), dtype=u.dtype)
    for column in u.T:
        one = one @ (torch.eye(len(u), dtype=u.dtype) - 2 * torch.outer(column, column) / column.dot(column))
    return one


def neumann(s: Tensor, terms: int) -> Tensor:
    total = torch.eye(len(s), dtype=s.dtype)
    for power in range(1, terms):
        total = total + (2 if power < terms - 1 else 1) * torch.linalg.matrix_power(s, power)
    return total


def haar(n: int, levels: int) -> Tensor:
    """The matrix from coefficients to values."""
    if levels == 0:
        return torch.eye(n, dtype=torch.float64)
    inner = blocks([haar(n // 2, levels - 1), torch.eye(n // 2, dtype=torch.float64)])
    step = torch.zeros(n, n, dtype=torch.float64)
    for k in range(n // 2):
        step[2 * k, [k, n // 2 + k]] = torch.tensor([1.0, 1.0], dtype=torch.float64)
        step[2 * k + 1, [k, n // 2 + k]] = torch.tensor([1.0, -1.0], dtype=torch.float64)
    return step @ inner / 2**0.5


def wave(w: Tensor, p: State) -> Tensor:
    c = torch.zeros(w.numel(), dtype=w.dtype)
    c[torch.randperm(w.numel(), generator=generator(777))[:5]] = p["waveft_spectrum"]
    return w + 3 * haar(8, 2) @ c.reshape(w.shape) @ haar(12, 2).T


def fourier(w: Tensor, p: State) -> Tensor:
    c = torch.zeros(w.numel(), dtype=w.dtype)
    c[torch.randperm(w.numel(), generator=generator(777))[:5]] = p["fourierft_spectrum"]
    return w + 12 * torch.fft.ifft2(c.reshape(w.shape)).real


def pairs(w: Tensor, levels: int, maps: Callable[[int, int], Tensor]) -> Tensor:
    """One general map of two inputs after another, as dense matrices; `maps` gives each by level and pair."""
    n = w.shape[1]
    for level in range(levels):
        dense, apart = torch.eye(n, dtype=w.dtype), 2**level
        for pair in range(n // 2):
            i = pair // apart * 2 * apart + pair % apart
            dense[torch.tensor([[i], [i + apart]]), torch.tensor([i, i + apart])] = maps(level, pair)
        w = w @ dense.T
    return w


def goft(w: Tensor, p: State) -> Tensor:
    c, s = p["angles"].cos(), p["angles"].sin()
    return pairs(w, 3, lambda k, j: torch.stack([c[k, j], -s[k, j], s[k, j], c[k, j]]).reshape(2, 2))


def qgoft(w: Tensor, p: State) -> Tensor:
    return pairs(w, 2, lambda k, j: torch.stack([p[n][k, j] for n in "abcd"]).reshape(2, 2))


def circulants(w: Tensor, p: State) -> Tensor:
    kernel, n = p["c3a_kernel"], p["c3a_kernel"].shape[-1]
    place = (torch.arange(n)[None] - torch.arange(n)[:, None]) % n
    rows = [torch.cat([block[place] for block in row], 1) for row in kernel]
    return w + torch.cat(rows) / w.shape[1]


def road(w: Tensor, bias: Tensor, p: State, c: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Halves of groups of four are turned."""
    turn = torch.diag(c)
    for j in range(len(w)):
        turn[j, j + 2 if j % 4 < 2 else j - 2] = -s[j] if j % 4 < 2 else s[j]
    return turn @ w, turn @ bias


def road1(w: Tensor, bias: Tensor, p: State) -> tuple[Tensor, Tensor]:
    c, s = (
        (p["road_alpha"] * f(p["road_theta"])).reshape(-1, 1, 2).expand(-1, 2, -1).flatten()
        for f in (torch.cos, torch.sin)
    )
    return road(w, bias, p, c, s)


def road4(w: Tensor, bias: Tensor, p: State) -> tuple[Tensor, Tensor]:
    c = (p["road_alpha"] * p["road_theta"].cos()).reshape(-1, 2, 4)[:, 0].flatten()
    s = (p["road_alpha"] * p["road_theta"].sin()).reshape(-1, 2, 4)[:, 1].flatten()
    return road(w, bias, p, c, s)


def mixture(logits: Tensor, bank: Tensor) -> Tensor:
    values, places = logits.topk(2)
    return torch.einsum("abk,abkv->abv", values.softmax(-1), bank[places])


def vblora(w: Tensor, p: State) -> Tensor:
    first = mixture(p["vblora_logits_A"], p["vblora_vector_bank"]).reshape(3, 8)
    second = mixture(p["vblora_logits_B"], p["vblora_vector_bank"]).transpose(1, 2).reshape(6, 3)
    return w + second @ first


def randlora(w: Tensor, p: State) -> Tensor:
    """The library's own order: ranks and bases are counted one way in the first factor, the other way in the second."""
    parts = p["randlora_lambda"], p["randlora_A"][:, 0, :6], p["randlora_gamma"]
    first = torch.einsum("rn,rs,ns->rns", *parts).flatten(0, 1)
    return w + 3 / 4 * (p["randlora_B"][:8, :2].flatten(1) @ first).T


def unilora(w: Tensor, p: State) -> Tensor:
    theta = p["norm"] * p["unilora_theta"][p["indices"]]
    return w + 2 * theta[24:].reshape(6, 3) @ theta[:24].reshape(3, 8)


def miss_bat(w: Tensor, p: State) -> Tensor:
    rows = []
    for k, m in enumerate(p["miss_block"]):
        part = w[2 * k : 2 * k + 2]
        rows.append(torch.cat([piece @ m + m for piece in part.split(2, 1)], 1))
    return w + torch.cat(rows)


def lokr(w: Tensor, one: Tensor, two: Tensor, scale: float) -> Tensor:
    return w + scale * torch.kron(one.reshape(*one.shape, *[1] * (two.dim() - 2)), two.contiguous())


def dora(w: Tensor, p: State) -> Tensor:
    v = w.flatten(1) + 2 * b(p).flatten(1) @ a(p).flatten(1)
    return (p["lora_magnitude_vector"].reshape(-1, 1) * v / v.norm(dim=1, keepdim=True)).reshape(w.shape)


def delora(w: Tensor, p: State) -> Tensor:
    first, second = p["delora_A"], p["delora_B"]
    c = p["delora_lambda"] / 3 / first.norm(dim=1) / second.norm(dim=0)
    return w + second @ torch.diag(c) @ first * p["delora_w_norm"]


def glora(w: Tensor, bias: Tensor, p: State) -> tuple[Tensor, Tensor]:
    return w + w * p["A"] + p["B"], bias + bias * p["D"] + p["E"] + w @ p["C"]


def rep_adapter(w: Tensor, bias: Tensor, p: State) -> tuple[Tensor, Tensor]:
    one = torch.eye(8, dtype=w.dtype)
    return w @ (one + 2 * p["B"] @ p["A"]), bias + 2 * w @ (p["B"] @ p["a"] + p["c"])


def mos(w: Tensor, p: State) -> Tensor:
    first = p["pool_A"][p["index_A"]].reshape(4, 8)
    second = p["pool_B"][p["index_B"]].reshape(4, 6)
    return w + 4 * second.T @ first


def lego(w: Tensor, p: State) -> Tensor:
    first, second = p["A"].split([3, 2]), p["B"].split([3, 2], 1)
    return w + 16 / 5 * sum(g * s @ f for g, s, f in zip(p["gain"], second, first, strict=True))


def capa(w: Tensor, p: State) -> Tensor:
    return w + sum((m * p["B"]) @ (k * p["A"]) for m, k in zip(p["mask_B"], p["mask_A"], strict=True))


def gralora(w: Tensor, p: State) -> Tensor:
    rows = [torch.cat([p["B"][i, j] @ p["A"][i, j] for j in range(2)], 1) for i in range(2)]
    return w + 4 * torch.cat(rows)


def flora(w: Tensor, p: State) -> Tensor:
    return w + 4 * torch.einsum("pqhw,po,qi,hx,wy->oixy", p["G"], p["A"], p["B"], p["C"], p["D"])


def loretta(w: Tensor, p: State) -> Tensor:
    second = torch.einsum("mp,pnq,qk->mnk", p["B1"], p["B2"], p["B3"]).reshape(6, 4)
    first = torch.einsum("mp,pnq,qk->mnk", p["A1"], p["A2"], p["A3"]).reshape(4, 8)
    return w + 4 * second @ first


def ether_plus(w: Tensor, p: State) -> Tensor:
    left = torch.eye(6, dtype=w.dtype) - onto(p["u"]) + onto(p["v"])
    right = torch.eye(8, dtype=w.dtype) - onto(p["p"]) + onto(p["q"])
    return left @ w @ right


def psoft(w: Tensor, p: State) -> Tensor:
    turn = torch.diag(p["alpha"]) @ cayley(skew(p["q"][0], 3)) @ torch.diag(p["beta"])
    return w + p["A"] @ (turn - torch.eye(3, dtype=w.dtype)) @ p["B"]


def deft(w: Tensor, p: State) -> Tensor:
    q = torch.linalg.qr(p["P"])[0]
    return w - q @ q.T @ w + q @ p["R"]


def tiny(w: Tensor, p: State) -> Tensor:
    drawn = torch.randn(5, 2, 2, generator=generator(3)).double()
    return w + p["left"] @ torch.einsum("n,npq->pq", p["tiny"], drawn) @ p["right"]


def pissa(w: Tensor, p: State) -> Tensor:
    u, s, v = svd(w)
    return w - u[:, :3] @ torch.diag(s[:3]) @ v[:3] + 2 * b(p) @ a(p)


def olora(w: Tensor, p: State) -> Tensor:
    q, r = torch.linalg.qr(w)
    return w + 2 * (b(p) @ a(p) - q[:, :3] @ r[:3])


def frozen(w: Tensor, p: State) -> Tensor:
    first = kaiming_uniform_(torch.empty(3, 8), 5**0.5, generator=generator(4)).double()
    return w + 2 * b(p) @ first


def shira(w: Tensor, p: State) -> Tensor:
    return w.index_put(tuple(p["shira_indices"]), p["shira_weight"], accumulate=True)


LORA = "(r=3, alpha=6)"
KERNEL = (6, 4, 3, 2)

METHODS = (
    Method("lora", f"LoRA{LORA}", lambda w, p: w + 2 * b(p) @ a(p)),
    Method("lora", f"RsLoRA{LORA}", lambda w, p: w + 6 / 3**0.5 * b(p) @ a(p)),
    Method("lora", f"DoRA{LORA}", dora),
    Method(
        "lora",
        f"LoRABias{LORA}",
        lambda w, c, p: (w + 2 * b(p) @ a(p), c + 2 * p["lora_B.bias"]),
        biased=True,
    ),
    Method(
        "lora", f"LoRAConv{LORA}", lambda w, p: w + 2 * torch.einsum("or,rikl->oikl", b(p)[..., 0, 0], a(p)), KERNEL
    ),
    Method("lora", f"LoRAEmbedding{LORA}", lambda w, p: w + 2 * (p["lora_embedding_B"] @ p["lora_embedding_A"]).T),
    Method("lora", f"DoRAConv{LORA}", dora, KERNEL),
    Method(
        "lora",
        "AdaLoRA(r=3, alpha=6, init_r=4)",
        lambda w, p: w + 6 / (4 + 1e-5) * p["lora_B"] @ torch.diag(p["lora_E"][:, 0]) @ p["lora_A"],
    ),
    Method("lora", f"PiSSA{LORA}", pissa),
    Method("lora", f"OLoRA{LORA}", olora),
    Method("lora", "DeLoRA(r=3)", delora),
    Method("lora", "LoRAFrozenA(r=3, alpha=6, seed=4)", frozen),
    Method(
        "lora", "ShareLoRA(alpha=6)", lambda w, p: w + 2 * b(p) @ p["shared_A"][:, :8],
        shared="weight shared_A: [3, 9] = normal(0, 1)",
    ),
    Method(
        "lora",
        f"LoRARelative{LORA}",
        lambda w, p: w + 2 * (b(p) @ a(p) - p["lora_B.initial"] @ p["lora_A.initial"]),
    ),
    Method("lora", "DynamicRank(r=3)", lambda w, p: w + p["lora_B"] @ torch.diag(p["lora_C"]) @ p["lora_A"]),
    Method("lora", "RepAdapter(r=3, scale=2)", rep_adapter, biased=True),
    Method(
        "ranks",
        "NoRA(outer=4, r=2)",
        lambda w, p: w + p["outer_B"] @ p["inner_B"] @ p["inner_A"] @ p["outer_A"],
    ),
    Method(
        "ranks", "MoS(r=4, alpha=16)", mos,
        shared="weight pool_A: [5, 4] = normal(0, 1)\n  weight pool_B: [7, 2] = normal(0, 1)",
        given={"index_A": below(5), "index_B": below(7)},
    ),
    Method("ranks", "LoRALego([3, 2])", lego),
    Method("ranks", "CapaBoost(masks=2, r=3)", capa),
    Method("ranks", "GraLoRA(grid=2, r=4, alpha=16)", gralora),
    Method("tensors", "FLoRA(r=3, scale=4)", flora, KERNEL),
    Method("tensors", "FLoRALinear(r=3, scale=4)", lambda w, p: w + 4 * p["A"] @ p["G"] @ p["B"]),
    Method("tensors", "LoRETTA([3, 2], [2, 4], r=4, bond=3, alpha=16)", loretta),
    Method(
        "hadamard",
        "LoHa(r=3, alpha=6)",
        lambda w, p: w + 2 * ((p["hada_w1_a"] @ p["hada_w1_b"]) * (p["hada_w2_a"] @ p["hada_w2_b"])).reshape(w.shape),
        KERNEL,
    ),
    Method(
        "hadamard",
        "LoHaTucker(r=3, alpha=6)",
        lambda w, p: w + 2 * tucker(p["hada_t1"], p["hada_w1_a"], p["hada_w1_b"])
        * tucker(p["hada_t2"], p["hada_w2_a"], p["hada_w2_b"]),
        KERNEL,
    ),
    Method("hadamard", "HiRA(r=3)", lambda w, p: w * (1 + p["hira_B"] @ p["hira_A"])),
    Method("kronecker", "LoKr(3, 2, scale=2)", lambda w, p: lokr(w, p["lokr_w1"], p["lokr_w2"], 2), KERNEL),
    Method(
        "kronecker",
        "LoKrLow(3, 2, r=3, alpha=6)",
        lambda w, p: lokr(w, p["lokr_w1"], (p["lokr_w2_a"] @ p["lokr_w2_b"]).reshape(2, 2, 3, 2), 2),
        KERNEL,
    ),
    Method(
        "kronecker",
        "LoKrFirst(3, 2, r=3, alpha=6)",
        lambda w, p: lokr(w, p["lokr_w1_a"] @ p["lokr_w1_b"], p["lokr_w2"], 2),
    ),
    Method(
        "kronecker",
        "LoKrBoth(3, 2, r=3, alpha=6)",
        lambda w, p: lokr(w, p["lokr_w1_a"] @ p["lokr_w1_b"], p["lokr_w2_a"] @ p["lokr_w2_b"], 2),
    ),
    Method(
        "kronecker",
        "LoKrTucker(3, 2, r=3, alpha=6)",
        lambda w, p: lokr(w, p["lokr_w1"], tucker(p["lokr_t2"], p["lokr_w2_a"], p["lokr_w2_b"]), 2),
        KERNEL,
    ),
    Method(
        "kronecker",
        "LoKrBothTucker(3, 2, r=3, alpha=6)",
        lambda w, p: lokr(
            w, p["lokr_w1_a"] @ p["lokr_w1_b"], tucker(p["lokr_t2"], p["lokr_w2_a"], p["lokr_w2_b"]), 2
        ),
        KERNEL,
    ),
    Method(
        "orthogonal",
        "OFT(2)",
        lambda w, p: w @ blocks([cayley(skew(q, 4)) for q in p["oft_R.weight"]]).T,
    ),
    Method(
        "orthogonal",
        "OFTNeumann(2, terms=5)",
        lambda w, p: w @ blocks([neumann(skew(q, 4), 5) for q in p["oft_R.weight"]]).T,
    ),
    Method(
        "orthogonal",
        "BOFT(2)",
        lambda w, p: p["boft_s"] * w @ blocks([cayley((q - q.T) / 2) for q in p["boft_R"][0]]).T,
    ),
    Method("orthogonal", "HRA(3)", lambda w, p: w @ reflections(p["hra_u"])),
    Method("orthogonal", "HRAOrthogonal(3)", lambda w, p: w @ reflections(torch.linalg.qr(p["hra_u"])[0])),
    Method("orthogonal", "RoAd(4)", road1, (8, 6), biased=True),
    Method(
        "orthogonal", "RoAd2(4)",
        lambda w, c, p: road(
            w, c, p, p["road_alpha"] * p["road_theta"].cos(), p["road_alpha"] * p["road_theta"].sin()
        ),
        (8, 6), biased=True,
    ),
    Method("orthogonal", "RoAd4(4)", road4, (8, 6), biased=True),
    Method("orthogonal", "ETHER(2)", lambda w, p: w - 2 * onto(p["u"]) @ w),
    Method("orthogonal", "ETHERPlus(2)", ether_plus),
    Method("orthogonal", "GOFT(3)", goft),
    Method("orthogonal", "QGOFT(2)", qgoft),
    Method("diagonal", "IA3()", lambda w, c, p: (p["ia3_l"] * w, p["ia3_l"][:, 0] * c), biased=True),
    Method(
        "diagonal", "IA3Conv()", lambda w, c, p: (p["ia3_l"].reshape(-1, 1, 1, 1) * w, p["ia3_l"].flatten() * c),
        KERNEL, biased=True,
    ),
    Method(
        "diagonal", "IA3Transposed()", lambda w, c, p: (w * p["ia3_l"].T, p["ia3_l"][:, 0] * c), (6, 6), biased=True
    ),
    Method("diagonal", "IA3Input()", lambda w, p: w * p["ia3_l"], KERNEL),
    Method("diagonal", "GLoRA()", glora, biased=True),
    Method("diagonal", "BitFit()", lambda w, c, p: (w, p["bias"]), biased=True),
    Method(
        "random", "VeRA()",
        lambda w, p: w + torch.diag(p["vera_lambda_b"]) @ p["vera_B"][:6] @ torch.diag(p["vera_lambda_d"])
        @ p["vera_A"][:, :8],
        shared="weight vera_A: [3, 9] = zeros\n  weight vera_B: [7, 3] = zeros",
    ),
    Method(
        "random", "RandLoRA(3)", randlora,
        shared="weight randlora_A: [4, 1, 9] = zeros\n  weight randlora_B: [9, 3, 4] = zeros",
    ),
    Method("random", "VBLoRA(3)", vblora, shared="weight vblora_vector_bank: [5, 2] = zeros"),
    Method("random", "TinyLoRA(2, seed=3)", tiny, shared="weight tiny: [5] = zeros"),
    Method(
        "random", "UniLoRA(3, alpha=6)", unilora, shared="weight unilora_theta: [9] = zeros",
        given={"indices": below(9)},
    ),
    Method(
        "structured", "SHiRA(5)", shira,
        given={"shira_indices": lambda shape: torch.stack([order((6,))[:5], order((8,))[:5]])},
    ),
    Method("structured", "C3A(2)", circulants),
    Method("structured", "FourierFT(5, 12)", fourier),
    Method(
        "structured", "MiSS(3)", lambda w, p: w + p["miss_block"][torch.arange(8) % 3].T
    ),
    Method(
        "structured", "MiSSMini(3, 2)", lambda w, p: w + p["miss_block"].repeat(1, 3)[torch.arange(8) % 3].T
    ),
    Method("structured", "MiSSBat(2)", miss_bat),
    Method(
        "structured", "Masked()", lambda w, p: w + p["mask"] * p["delta"], KERNEL, given={"mask": mask}
    ),
    Method("structured", "WaveFT(5, levels=2, scaling=3)", wave, (8, 12)),
    Method(
        "spectral", "SVFT()", lambda w, p: w + p["U"] @ (p["mask"] * p["M"]) @ p["V"], given={"mask": mask}
    ),
    Method(
        "spectral", "FRoD()",
        lambda w, p: p["U"] @ (torch.diag(p["sigma"]) + p["M"]) @ p["shared_V"][:6, :8],
        shared="weight shared_V: [7, 9] = normal(0, 1)",
    ),
    Method("spectral", "SVDiff()", lambda w, p: p["U"] @ torch.diag((p["S"] + p["delta"]).relu()) @ p["V"]),
    Method(
        "spectral", "VectorFit()", lambda w, c, p: (p["U"] @ torch.diag(p["sigma"]) @ p["V"], p["bias"]), biased=True
    ),
    Method(
        "spectral", "LoLDU(3)",
        lambda w, p: w + p["L"][p["P"]] @ torch.diag(p["z"] - p["initial"]) @ p["U"], given={"P": order},
    ),
    Method("spectral", "PSOFT(3)", psoft),
    Method(
        "spectral", "KaSA(3)",
        lambda w, p: w - p["U"] @ p["V"] + p["delta_U"] @ torch.diag(p["delta_S"]) @ p["delta_V"],
    ),
    Method("products", "DEFT(3)", deft),
    Method("products", "PEANuT(3)", lambda w, p: w + (w @ p["A"]).relu() @ p["B"]),
    Method("products", f"MaskLoRA{LORA}", lambda w, p: w + 2 * (w != 0) * (b(p) @ a(p))),
    Method("products", "ScaleLoRA(3)", lambda w, p: w * (b(p) @ a(p))),
    Method(
        "gated", "TAPS(0.1)", lambda w, p: w + (p["score"].item() > 0.1) * p["delta"],
        given={"score": lambda shape: torch.tensor([0.7])},
    ),
    Method(
        "gated", "KIND([1, 0, 0.5])",
        lambda w, p: w + p["U"] @ torch.diag(p["S"] * torch.tensor([1, 0, 0.5])) @ p["V"],
    ),
    Method("gated", "SPM(0.7)", lambda w, p: w + 0.7 * p["up"] @ p["down"]),
    Method(
        "gated", "REAdapt(0.3, 2, r=3)", lambda w, p: w + 0.3 * (p["tuned"] - p["base"]) + 2 * b(p) @ a(p)
    ),
    Method("gated", "RSWeights()", lambda w, p: w + p["gain"][:, None] * p["residual"]),
    Method("replaced", "Replaced()", lambda w, p: p["value"], KERNEL),
    Method(
        "replaced", "Rows([4, 1])", lambda w, p: w.index_copy(0, torch.tensor([4, 1]), p["trainable_tokens_delta"])
    ),
)  # fmt: skip
