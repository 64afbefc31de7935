"""The methods of specs/adapters as PEFT and LyCORIS save them; the other half of the catalogue."""

from __future__ import annotations

import torch

from tests.specs.formulas import a, b, below, blocks, neumann, order, randlora, skew, vblora
from tests.specs.formulas_saved import (
    boft,
    boft_conv,
    butterfly_oft,
    deft,
    diagonal_oft,
    dora_embedding,
    entries,
    frod,
    glora,
    glora_factors,
    gralora,
    gralora_hybrid,
    kasa,
    oft_embedding,
    osf,
    para,
    peanut,
    pvera,
    shared_neumann,
    shared_oft,
    unilora,
    vblora_top,
    wave,
    wave_direct,
)
from tests.specs.method import Method

LORA, KERNEL, TURNED = "(r=3, alpha=6)", (6, 4, 3, 2), (8, 6)
VERA = "weight vera_A: [3, 9] = zeros\n  weight vera_B: [7, 3] = zeros"
PVERA = "weight pvera_A: [6, 9] = zeros\n  weight pvera_B: [7, 3] = zeros"
RANDLORA = "weight randlora_A: [4, 1, 9] = zeros\n  weight randlora_B: [9, 3, 4] = zeros"
BANK, THETA = "weight vblora_vector_bank: [5, 2] = zeros", "weight unilora_theta_d: [9] = zeros"
INDICES = {f"unilora_indices_{side}": below(9) for side in "AB"}
TOP = {
    f"vblora_logits_{side}_topk_indices": lambda shape: torch.rand(*shape[:2], 5).argsort(-1)[..., :2] for side in "AB"
} | {f"vblora_logits_{side}_topk_weights": lambda shape: 0.1 + 0.8 * torch.rand(shape).double() for side in "AB"}


def vera(w: torch.Tensor, p: dict[str, torch.Tensor]) -> torch.Tensor:
    return w + torch.diag(p["vera_lambda_b"]) @ p["vera_B"][:6] @ torch.diag(p["vera_lambda_d"]) @ p["vera_A"][:, :8]


METHODS = (
    Method("lora", f"DoRAEmbedding{LORA}", dora_embedding),
    Method(
        "lora", f"LoRABiasTransposed{LORA}",
        lambda w, c, p: (w + 2 * (b(p) @ a(p)).T, c + 2 * p["lora_B.bias"]), (6, 6), biased=True,
    ),
    Method(
        "lora", f"LoRABiasConv{LORA}",
        lambda w, c, p: (w + 2 * torch.einsum("or,rikl->oikl", b(p)[..., 0, 0], a(p)), c + 2 * p["lora_B.bias"]),
        KERNEL, biased=True,
    ),
    Method("lora", f"LoRAKaSA{LORA}", kasa),
    Method(
        "lora", "LoRABlocksA(2, 4, 8)", lambda w, p: w + 2 * b(p) @ blocks([a(p)[:2], a(p)[2:]])
    ),
    Method(
        "lora", "LoRABlocksB(2, 4, 8)", lambda w, p: w + 2 * blocks([b(p)[:3], b(p)[3:]]) @ a(p)
    ),
    Method(
        "lora", "Magnitudes()",
        lambda w, p: p["lora_magnitude_vector"][:, None] * w / w.square().sum(1, keepdim=True).sqrt(),
    ),
    Method("ranks", "GraLoRA(grid=2, r=4, alpha=8)", gralora),
    Method("ranks", "GraLoRAHybrid(2, 4, 2, 12)", gralora_hybrid),
    Method(
        "hadamard", "HiRAConv(3)",
        lambda w, p: w * (1 + torch.einsum("or,rikl->oikl", p["hira_B"][..., 0, 0], p["hira_A"])), KERNEL,
    ),
    Method("hadamard", "HiRAEmbedding(3)", lambda w, p: w * (1 + (p["hira_embedding_B"] @ p["hira_embedding_A"]).T)),
    Method("orthogonal", "OFTShared(4)", shared_oft),
    Method("orthogonal", "OFTSharedNeumann(4, 5)", shared_neumann),
    Method("orthogonal", "OFTEmbedding(2, 0.5)", oft_embedding),
    Method(
        "orthogonal", "OFTEmbeddingNeumann(2, 5)",
        lambda w, p: w @ blocks([neumann(skew(q, 4), 5) for q in p["oft_embedding_R.weight"]]),
    ),
    Method("orthogonal", "BOFT(3, 8)", boft, (6, 16)),
    Method("orthogonal", "BOFTConv(1, 4)", boft_conv, KERNEL),
    Method("diagonal", 'GLoRA("lora", "vector", "constant", 3)', glora, biased=True),
    Method("diagonal", "BEFT()", lambda w, c, p: (w, c + p["beft_bias"][0]), biased=True),
    Method("random", "VeRATransposed()", lambda w, p: vera(w.T, p).T, TURNED, shared=VERA),
    Method("random", "RandLoRATransposed(3)", lambda w, p: randlora(w.T, p).T, TURNED, shared=RANDLORA),
    Method("random", "VBLoRATransposed(3)", lambda w, p: vblora(w.T, p).T, TURNED, shared=BANK),
    Method("random", "VBLoRATop(3)", vblora_top, shared=BANK, given=TOP),
    Method("random", "VBLoRATopTransposed(3)", lambda w, p: vblora_top(w.T, p).T, TURNED, shared=BANK, given=TOP),
    Method("random", "UniLoRA(3)", unilora, shared=THETA, given=INDICES),
    Method("random", "UniLoRATransposed(3)", lambda w, p: unilora(w.T, p).T, TURNED, shared=THETA, given=INDICES),
    Method("random", "PVeRA()", pvera, shared=PVERA),
    Method("random", "PVeRATransposed()", lambda w, p: pvera(w.T, p).T, TURNED, shared=PVERA),
    Method("structured", "WaveFT(5, 3)", wave, (7, 9)),
    Method("structured", "WaveFTDirect(5, 3)", wave_direct),
    Method(
        "structured", "SuperTuning(5)", entries, given={"supertuning_indices": lambda shape: order((48,))[:5]}
    ),
    Method(
        "structured", "SuperTuningLoRA(5, 3, 6)",
        lambda w, p: entries(w, p) + 2 * p["supertuning_lora_B.weight"] @ p["supertuning_lora_A.weight"],
        given={"supertuning_indices": lambda shape: order((48,))[:5]},
    ),
    Method("spectral", "OSF(3)", osf),
    Method(
        "spectral", "FRoDStored(5)", frod,
        given={"frod_s_indices": lambda shape: torch.stack([order((8,))[:5], order((8,))[3:]])},
    ),
    Method(
        "random", "TinyLoRAStored(5, 2)",
        lambda w, p: w
        + p["tinylora_B"] @ torch.einsum("u,ujk->jk", p["tinylora_v"], p["tinylora_P"]) @ p["tinylora_A"],
    ),
    Method("products", "DEFT(3, 2)", deft),
    Method(
        "products", "DEFTRelu(3, 2)",
        lambda w, p: w - p["deft_P"] @ p["deft_P"].relu().T @ w + 2 * p["deft_P"] @ p["deft_R"],
    ),
    Method("products", "PaRa(3)", para),
    Method("products", "PaRaRelu(3)", lambda w, p: w - p["deft_P"] @ p["deft_P"].relu().T @ w),
    Method("products", 'PEANuT(3, 2, 0.5, "tanh")', peanut),
    Method("lycoris", "ScaledByIA3(1)", lambda w, p: w * (1 + p["weight"]), KERNEL),
    Method("lycoris", f"GLoRAFactors{LORA}", glora_factors, KERNEL),
    Method("lycoris", "DiagOFT(2, 0.1)", diagonal_oft, KERNEL),
    Method("lycoris", "ButterflyOFT(2, 2)", butterfly_oft, (8, 6)),
    Method("lycoris", "Rescaled()", lambda w, p: p["rescale"] * w, KERNEL),
)  # fmt: skip
