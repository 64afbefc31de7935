"""The formulas of adapters in plain torch, dense and slow, by the names of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.init import kaiming_uniform_

State = Mapping[str, Tensor]


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
