"""The formulas of methods as PEFT and LyCORIS save them, dense and slow, by the names of their parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.specs.formulas import State, a, b, blocks, cayley, generator, neumann, skew, svd, vblora


def deft(w: Tensor, p: State) -> Tensor:
    q = torch.linalg.qr(p["deft_P"])[0]
    return w - q @ q.T @ w + 2 * q @ p["deft_R"]


def para(w: Tensor, p: State) -> Tensor:
    q = torch.linalg.qr(p["deft_P"])[0]
    return w - q @ q.T @ w


def peanut(w: Tensor, p: State) -> Tensor:
    one = (p["peanut_A.weight"] @ w).tanh()
    two = (p["peanut_encoders.0.weight"] @ one).tanh()
    three = (p["peanut_encoders.1.weight"] @ two).tanh()
    back = (p["peanut_decoders.0.weight"] @ three).tanh() + two
    return w + 0.5 * p["peanut_B.weight"] @ ((p["peanut_decoders.1.weight"] @ back).tanh() + one)


def gralora(w: Tensor, p: State) -> Tensor:
    rows = [
        torch.cat(
            [
                p["gralora_B"][k, 2 * n : 2 * n + 2].T @ p["gralora_A"][n, :, 2 * k : 2 * k + 2].T
                for n in range(2)
            ],
            1,
        )
        for k in range(2)
    ]  # fmt: skip
    return w + 2 * torch.cat(rows)


def gralora_hybrid(w: Tensor, p: State) -> Tensor:
    return gralora(w, p) + 2 * p["gralora_B_general.weight"] @ p["gralora_A_general.weight"]


def glora(w: Tensor, bias: Tensor, p: State) -> tuple[Tensor, Tensor]:
    first, second = (p[f"glora_{k}.Xd"] @ p[f"glora_{k}.Xu"] for k in "AB")
    return w + w * first + second, bias + bias * p["glora_D.X"] + p["glora_E.X"] + (w @ p["glora_C.X"])[:, 0]


def unilora(w: Tensor, p: State) -> Tensor:
    first = p["unilora_theta_d"][p["unilora_indices_A"]] * p["unilora_scales_A"]
    return w + p["unilora_theta_d"][p["unilora_indices_B"]] * p["unilora_scales_B"] @ first


def pvera(w: Tensor, p: State) -> Tensor:
    middle = torch.diag(p["pvera_lambda_d"][:3]) @ p["pvera_A"][:3, :8]
    return w + torch.diag(p["pvera_lambda_b"]) @ p["pvera_B"][:6] @ middle


def vblora_top(w: Tensor, p: State) -> Tensor:
    """By logits that have the stored weights as their softmax."""
    logits = {"vblora_vector_bank": p["vblora_vector_bank"]}
    for side in "AB":
        places, weights = (p[f"vblora_logits_{side}_topk_{part}"] for part in ("indices", "weights"))
        whole = torch.cat([weights, 1 - weights], -1)
        at = torch.full((*places.shape[:2], 5), -torch.inf, dtype=w.dtype)
        logits[f"vblora_logits_{side}"] = at.scatter(-1, places, whole.log())
    return vblora(w, logits)


def wave(w: Tensor, p: State) -> Tensor:
    """Each coefficient by its quarter, on a matrix of even sizes."""
    dense = torch.zeros(8, 10, dtype=w.dtype)
    places = torch.randperm(63, generator=generator(777))[:5]
    dense[places // 9, places % 9] = p["waveft_spectrum"]
    out = torch.zeros_like(dense)
    for row in range(8):
        for column in range(10):
            for i in (0, 1):
                for j in (0, 1):
                    sign = (-1) ** (row % 2 * j + column % 2 * i)
                    out[row, column] += sign * dense[4 * i + row // 2, 5 * j + column // 2] / 2
    return w + 3 * out[:7, :9]


def wave_direct(w: Tensor, p: State) -> Tensor:
    flat = torch.zeros(48, dtype=w.dtype)
    flat[torch.randperm(48, generator=generator(777))[:5]] = p["waveft_spectrum"]
    return w + 3 * flat.reshape(6, 8)


def entries(w: Tensor, p: State) -> Tensor:
    flat = w.flatten().clone()
    flat[p["supertuning_indices"]] += p["supertuning_values"]
    return flat.reshape(w.shape)


def osf(w: Tensor, p: State) -> Tensor:
    u, s, v = svd(w)
    kept = u[:, :3] @ torch.diag(s[:3]) @ v[:3]
    low = (p[f"osf_svd_params.{part}_low"] for part in "USV")
    left, values, right = low
    return kept + left @ torch.diag(values) @ right


def frod(w: Tensor, p: State) -> Tensor:
    left = w @ torch.linalg.inv(p["frod_V"]).T
    inner = torch.diag(p["frod_lambda_l"]).index_put(
        tuple(p["frod_s_indices"]), p["frod_lambda_s_values"], accumulate=True
    )
    return left / left.square().sum(0).sqrt() @ inner @ p["frod_V"].T


def kasa(w: Tensor, p: State) -> Tensor:
    u, s, v = svd(w)
    return u[:, :3] @ torch.diag(s[:3]) @ v[:3] + 2 * b(p) @ torch.diag(p["lora_diag"]) @ a(p)


def dora_embedding(w: Tensor, p: State) -> Tensor:
    v = w + 2 * (p["lora_embedding_B"] @ p["lora_embedding_A"]).T
    return v * p["lora_magnitude_vector"] / v.square().sum(0).sqrt()


def oft_embedding(w: Tensor, p: State) -> Tensor:
    """Two blocks, of which each is at most 0.5 / sqrt(2) long as a matrix."""
    parts = [skew(q, 4) for q in p["oft_embedding_R.weight"]]
    return w @ blocks([cayley(s * min(1.0, 0.5 / 2**0.5 / s.norm().item())) for s in parts])


def boft(w: Tensor, p: State) -> Tensor:
    """As PEFT sorts: in every run of 2 · 2 ** level inputs those at even places come first, then those at odd ones."""
    total = torch.eye(16, dtype=w.dtype)
    for level, factor in enumerate(p["boft_R"]):
        run = 2 * 2**level
        order = [start + k for start in range(0, 16, run) for odd in (0, 1) for k in range(odd, run, 2)]
        sort = torch.eye(16, dtype=w.dtype)[order]
        total = sort @ blocks([cayley((q - q.T) / 2) for q in factor]) @ sort.T @ total
    return p["boft_s"] * w @ total.T


def boft_conv(w: Tensor, p: State) -> Tensor:
    turn = blocks([cayley((q - q.T) / 2) for q in p["boft_R"][0]])
    return (p["boft_s"].T * (w.flatten(1) @ turn.T)).reshape(w.shape)


def shared(w: Tensor, turn: Tensor) -> Tensor:
    return w @ blocks([turn, turn]).T


def shared_oft(w: Tensor, p: State) -> Tensor:
    return shared(w, cayley(skew(p["oft_R.weight"][0], 4)))


def shared_neumann(w: Tensor, p: State) -> Tensor:
    return shared(w, neumann(skew(p["oft_R.weight"][0], 4), 5))


def glora_factors(w: Tensor, p: State) -> Tensor:
    first, second, third = (p[f"{name}.weight"][..., 0, 0] for name in ("a1", "a2", "b1"))
    return w + 2 * (
        torch.einsum("oikl,ij->ojkl", w, first @ second) + torch.einsum("or,rikl->oikl", third, p["b2.weight"])
    )


def diagonal_oft(w: Tensor, p: State) -> Tensor:
    """The generators of all blocks together are at most 6 · 0.1 long."""
    s = p["oft_blocks"] - p["oft_blocks"].transpose(1, 2)
    s = s * min(1.0, 0.6 / (s.norm().item() + 1e-8))
    return (blocks([cayley(part) for part in s]) @ w.flatten(1)).reshape(w.shape)


def butterfly_oft(w: Tensor, p: State) -> Tensor:
    """Here single outputs of two halves take turns."""
    v = w.flatten(1)
    for level, factor in enumerate(p["oft_blocks"]):
        far = 2 * 2**level
        order = [c * 2 * far + g * far + k for c in range(4 // far) for k in range(far) for g in range(2)]
        sort = torch.eye(8, dtype=w.dtype)[order]
        v = sort.T @ blocks([cayley(q.T - q) for q in factor]) @ sort @ v
    return v.reshape(w.shape)
