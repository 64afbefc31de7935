"""The methods of specs/adapters, each with the formula of its paper in a few lines of torch."""

from __future__ import annotations

import torch

from tests.specs.formulas import (
    a,
    b,
    below,
    blocks,
    capa,
    cayley,
    circulants,
    delora,
    dora,
    ether_plus,
    flora,
    fourier,
    frozen,
    goft,
    lego,
    lokr,
    loretta,
    mask,
    miss_bat,
    mos,
    neumann,
    olora,
    onto,
    order,
    pissa,
    psoft,
    qgoft,
    randlora,
    reflections,
    rep_adapter,
    road,
    road1,
    road4,
    shira,
    skew,
    tiny,
    tucker,
    vblora,
)
from tests.specs.method import Method

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
    Method(
        "lora",
        "LoConTucker(r=3, alpha=6)",
        lambda w, p: w + 2 * tucker(p["lora_mid.weight"], b(p)[..., 0, 0].T, a(p)[..., 0, 0]),
        KERNEL,
    ),
    Method(
        "decomposed",
        "DecomposedOutputs()",
        lambda w, p: p["dora_scale"] * w / w.square().sum((1, 2, 3), keepdim=True).sqrt(),
        KERNEL,
    ),
    Method(
        "decomposed",
        "DecomposedInputs()",
        lambda w, p: p["dora_scale"] * w / w.square().sum((0, 2, 3), keepdim=True).sqrt(),
        KERNEL,
    ),
    Method("replaced", "Added()", lambda w, p: w + p["difference"], KERNEL),
    Method("replaced", "Replaced()", lambda w, p: p["value"], KERNEL),
    Method(
        "replaced", "Rows([4, 1])", lambda w, p: w.index_copy(0, torch.tensor([4, 1]), p["trainable_tokens_delta"])
    ),
)  # fmt: skip
