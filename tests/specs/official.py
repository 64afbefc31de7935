"""The official checkpoints as specs: for each recorded case, the line that builds its network."""

from __future__ import annotations

CASES = {
    "repvgg_a_tiny": (
        "models.repvgg",
        "image: f32[b, 3, h, w]",
        "RepVGG([1, 2, 3, 1], [0.125, 0.125, 0.0625, 0.0625], classes=10)",
    ),
    "repvgg_g4_tiny": (
        "models.repvgg",
        "image: f32[b, 3, h, w]",
        "RepVGG([2, 2, 3, 1], [0.125, 0.125, 0.0625, 0.0625], classes=10, group=4)",
    ),
    "repvgg_se_tiny": (
        "models.repvgg",
        "image: f32[b, 3, h, w]",
        "RepVGG([1, 2, 2, 1], [0.5, 0.25, 0.125, 0.0625], classes=10, se=true)",
    ),
    "repvgg_block_id_g2": ("models.repvgg", "x: f32[b, 8, h, w]", "RepVGGBlock(8, groups=2)"),
    "repvgg_block_s2": ("models.repvgg", "x: f32[b, 8, h, w]", "RepVGGBlock(12, stride=2)"),
    "mobileone_tiny": (
        "models.mobileone",
        "image: f32[b, 3, h, w]",
        "MobileOne([1, 2, 2, 1], [0.25, 0.25, 0.125, 0.125], classes=10, branches=4)",
    ),
    "mobileone_se_tiny": (
        "models.mobileone",
        "image: f32[b, 3, h, w]",
        "MobileOne([1, 1, 2, 1], [0.25, 0.25, 0.25, 0.125], classes=10, gated=[0, 0, 1, 1])",
    ),
    "repmlp_block": ("models.repmlpnet", "x: f32[b, 8, 8, 12]", "RepMLPBlock(4, 6, 2, [1, 3, 5], 4)"),
    "repmlpnet_tiny": (
        "models.repmlpnet",
        "image: f32[b, 3, 48, 40]",
        "RepMLPNet([1, 2], [8, 16], [6, 3], [10, 5], [1, 4], classes=10)",
    ),
}
"""Case → (import, input port, layer)."""

KEEP = {
    "repmlpnet_tiny": ("conv_embedding", "embeds", "**.prebn1", "**.prebn2", "**.ffn_block", "head_norm"),
}
"""What the authors' conversion leaves alone."""


def spec(case: str) -> str:
    """The spec of a case, with the targets that its shipped model has."""
    module, port, layer = CASES[case]
    name = port.split(":")[0]
    keep = "".join(f"  keep {pattern}\n" for pattern in KEEP.get(case, ()))
    return (
        f"repc 1\n\nimport {module}\n\nmodel M({port}) = {name} >> {layer}\n\n"
        f"target deploy = onnx of M\n\ntarget official = torch of M {{\n{keep}}}\n"
    )
