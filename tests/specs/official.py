"""The official checkpoints as specs: for each recorded case, the line that builds its network."""

from __future__ import annotations

import re

from repc.checkpoints.timm import TIMM_FASTVIT, TIMM_GHOSTNET, TIMM_REPVIT

GHOSTNET_V3 = (
    "GhostNetV3(8, [[[3, 8, 8, 0, 1]], [[3, 24, 12, 0, 2]], [[3, 36, 12, 0, 1]], [[5, 36, 20, 0.25, 2]], "
    "[[5, 36, 20, 0.25, 1]]], 36, classes=10)"
)

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
    "acb_k3": ("blocks.acnet", "x: f32[b, 6, h, w]", "ACBlock(8)"),
    "acb_k3_crop": ("blocks.acnet", "x: f32[b, 6, h, w]", "ACBlock(8, padding=0)"),
    "acb_k5_s2_g2": ("blocks.acnet", "x: f32[b, 6, h, w]", "ACBlock(8, 5, stride=2, groups=2)"),
    "dbb_k3": ("blocks.dbb", "x: f32[b, 6, h, w]", "DBB(8)"),
    "dbb_k3_depthwise": ("blocks.dbb", "x: f32[b, 8, h, w]", "DBB(8, groups=8)"),
    "dbb_k3_s2": ("blocks.dbb", "x: f32[b, 6, h, w]", "DBB(10, stride=2, mid=9)"),
    "dbb_k5": ("blocks.dbb", "x: f32[b, 6, h, w]", "DBB(6, 5)"),
    "orepa_1x1": ("blocks.orepa", "x: f32[b, 6, h, w]", "OREPA1x1(10)"),
    "orepa_k3": ("blocks.orepa", "x: f32[b, 6, h, w]", "OREPA(8)"),
    "orepa_k3_depthwise": ("blocks.orepa", "x: f32[b, 8, h, w]", "OREPA(8, groups=8)"),
    "orepa_k3_s2_g2": ("blocks.orepa", "x: f32[b, 8, h, w]", "OREPA(12, stride=2, groups=2)"),
    "ecb_3to8": ("blocks.ecb", "x: f32[b, 3, h, w]", "ECB(8)"),
    "ecb_idt_prelu": ("blocks.ecb", "x: f32[b, 6, h, w]", "ECBPReLU(6)"),
    "ecbsr_tiny": ("blocks.ecb", "image: f32[b, 1, h, w]", "ECBSR(2, 8, 2)"),
    "qarepvgg_v1_block": ("blocks.qarepvgg", "x: f32[b, 8, h, w]", "QARepVGGBlockV1(8)"),
    "qarepvgg_v2_block_g2": ("blocks.qarepvgg", "x: f32[b, 8, h, w]", "QARepVGGBlockV2(8, groups=2)"),
    "qarepvgg_v2_block_s2": ("blocks.qarepvgg", "x: f32[b, 8, h, w]", "QARepVGGBlockV2(12, stride=2)"),
    "yolov6_qarepvgg_v2_block": ("blocks.qarepvgg", "x: f32[b, 8, h, w]", "QARepVGGBlockV2(8, mean=true)"),
    "yolov6_repvgg_block": ("models.repvgg", "x: f32[b, 8, h, w]", "RepVGGBlock(8)"),
    "yolov6_repvgg_block_g4": ("models.repvgg", "x: f32[b, 8, h, w]", "RepVGGBlock(8, groups=4)"),
    "yolov7_repconv": ("blocks.repconv", "x: f32[b, 8, h, w]", "RepConv(8)"),
    "yolov7_repconv_g2_defect": ("blocks.repconv", "x: f32[b, 8, h, w]", "RepConv(8, groups=2)"),
    "yolov7_repconv_g4_defect": ("blocks.repconv", "x: f32[b, 8, h, w]", "RepConv(8, groups=4)"),
    "yolov7_repconv_s2": ("blocks.repconv", "x: f32[b, 6, h, w]", "RepConv(10, stride=2)"),
    "replk_conv_k13": ("blocks.replk", "x: f32[b, 6, h, w]", "ReparamLargeKernel(6, 13, 5, groups=6)"),
    "replk_conv_k7_s2": ("blocks.replk", "x: f32[b, 4, h, w]", "ReparamLargeKernel(8, 7, 3, stride=2, groups=4)"),
    "unireplk_block_k9": ("models.unireplknet", "x: f32[b, 8, h, w]", "UniRepLKNetBlock(9)"),
    "unireplk_dilated_k13": (
        "models.unireplknet",
        "x: f32[b, 6, h, w]",
        "DilatedReparam(13, [[5, 1], [7, 2], [3, 3], [3, 4], [3, 5]])",
    ),
    "qarepvgg_v2_tiny": (
        "blocks.qarepvgg",
        "image: f32[b, 3, h, w]",
        "QARepVGG([1, 2, 2, 1], [0.125, 0.125, 0.0625, 0.0625], classes=10)",
    ),
    "dbb_resnet_tiny": (
        "blocks.dbb",
        "image: f32[b, 3, h, w]",
        "ResNet([1, 1, 1, 1], 4, classes=10)",
    ),
    "repghost_module_bn_id": ("models.repghostnet", "x: f32[b, 8, h, w]", "RepGhostModule(12, identity=true)"),
    "repghostnet_tiny": (
        "models.repghostnet",
        "image: f32[b, 3, h, w]",
        "RepGhostNet(8, [[[3, 4, 8, 0, 1]], [[3, 12, 12, 0, 2]], [[3, 20, 12, 0, 1]], [[5, 20, 20, 0.25, 2]], "
        "[[5, 20, 20, 0.25, 1]]], 36, classes=10)",
    ),
    "repvit_tiny": (
        "models.repvit",
        "image: f32[b, 3, h, w]",
        "RepViT([[3, 16, 1, 1], [3, 16, 0, 1], [3, 24, 0, 2], [3, 24, 1, 1], [3, 32, 1, 2], [3, 32, 0, 1]], "
        "classes=10)",
    ),
    "unireplknet_tiny": (
        "models.unireplknet",
        "image: f32[b, 3, h, w]",
        "UniRepLKNet([8, 12, 16, 24], [[3], [13, 5], [7], [5]], classes=10)",
    ),
    "fastvit_tiny": (
        "models.fastvit",
        "image: f32[b, 3, h, w]",
        "FastViT([1, 1, 2, 1], [8, 8, 16, 32], [3, 3, 3, 2], attention=true, classes=10)",
    ),
    "ghostnetv3_tiny": (
        "models.ghostnetv3",
        "image: f32[b, 3, 48, 80]",
        GHOSTNET_V3,
    ),
    "mpbn_lif": ("blocks.mpbn", "x: f32[4, b, 6, h, w]", "LIF()"),
    "repvit_timm_tiny": (
        "models.repvit",
        "image: f32[b, 3, h, w]",
        "RepViT([[3, 16, 1, 1], [3, 16, 0, 1], [3, 16, 0, 1], [3, 24, 0, 2], [3, 24, 1, 1], [3, 24, 0, 1], "
        "[3, 32, 0, 2], [3, 32, 1, 1]], classes=10)",
    ),
    "fastvit_timm_tiny": (
        "models.fastvit",
        "image: f32[b, 3, h, w]",
        "FastViT([1, 1, 2, 1], [8, 8, 16, 32], [3, 3, 3, 2], attention=true, classes=10)",
    ),
    "ghostnetv3_timm_tiny": (
        "models.ghostnetv3",
        "image: f32[b, 3, 48, 80]",
        GHOSTNET_V3,
    ),
    "repmode_mode_task0": ("blocks.repmode", "x: f32[b, 3, d, h, w], task: f32[b, 3]", "MoDEConvBN(6)"),
    "repmode_mode_task1": ("blocks.repmode", "x: f32[b, 3, d, h, w], task: f32[b, 3]", "MoDEConvBN(6)"),
    "repmode_mode_final": ("blocks.repmode", "x: f32[b, 4, d, h, w], task: f32[b, 3]", "MoDEConv(2)"),
    "repmode_mixed_batch_defect": ("blocks.repmode", "x: f32[b, 3, d, h, w], task: f32[b, 3]", "MoDEConvBN(6)"),
    "levit_timm_tiny": (
        "models.levit",
        "image: f32[b, 3, 96, 128]",
        "LeViT([16, 24, 32], [1, 1, 1], [2, 3, 4], 8, classes=10)",
    ),
    "efficientvit_m_timm_tiny": (
        "models.efficientvit_m",
        "image: f32[b, 3, 112, 128]",
        "EfficientViT([16, 24, 32], [1, 1, 1], [2, 2, 2], [4, 4, 4], [5, 3], key=[4, 4, 4], classes=10)",
    ),
    "riformer_block": ("models.riformer", "x: f32[b, 8, h, w]", "RIFormerBlock(3, 0.1)"),
    "riformer_tiny": ("models.riformer", "image: f32[b, 3, h, w]", "RIFormer([1, 2, 1, 1], [8, 12, 16, 24], 4, 0.1)"),
}
"""Case → (import, input port, layer)."""

GHOST = (
    "conv_stem",
    "bn1",
    "**.primary_conv",
    "**.conv_dw",
    "**.bn_dw",
    "**.shortcut",
    "blocks.*.*.conv",
    "blocks.*.*.bn1",
)
KEEP = {
    "repghost_module_bn_id": ("primary_conv",),
    "repghostnet_tiny": GHOST,
    "ghostnetv3_tiny": ("conv_stem", "bn1", "**.shortcut", "blocks.*.*.conv", "blocks.*.*.bn1", "**.short_conv"),
    "ghostnetv3_timm_tiny": (
        "conv_stem",
        "bn1",
        "**.shortcut",
        "blocks.*.*.conv",
        "blocks.*.*.bn1",
        "**.short_conv",
    ),
    "fastvit_tiny": ("**.convffn", "network.7.0.norm", "network.*.*.layer_scale*", "**.scale"),
    "fastvit_timm_tiny": ("**.convffn", "network.7.0.norm", "network.*.*.layer_scale*", "**.scale"),
    "yolov6_qarepvgg_v2_block": ("bn",),
    "repmode_mode_task0": ("subsequent_layer",),
    "repmode_mode_task1": ("subsequent_layer",),
    "unireplk_block_k9": ("**.gain",),
    "unireplknet_tiny": ("norm", "downsample_layers", "**.gain"),
    "riformer_block": ("layer_scale_1", "layer_scale_2", "norm2"),
    "riformer_tiny": ("**.layer_scale_1", "**.layer_scale_2", "**.norm2"),
    "levit_timm_tiny": ("logits", "**.attention_biases"),
    "efficientvit_m_timm_tiny": ("**.residual", "**.attention_biases"),
    "repmlpnet_tiny": ("conv_embedding", "embeds", "**.prebn1", "**.prebn2", "**.ffn_block", "head_norm"),
}
"""What the authors' conversion leaves alone."""

DYNAMIC = ("repmode_mixed_batch_defect",)
"""Where the task is a runtime input; the authors' conversion, which takes that of the first sample, is wrong."""

CONVERTED = tuple(case for case in CASES if case not in (*DYNAMIC, "mpbn_lif"))
"""What the authors' code converts rightly; that of MPBN has no conversion."""

NAMES = {"routed_weight": "routed.weight"}
"""What the recorded conversion calls a tensor that has no name in the authors' state_dict."""

LAYOUTS = {
    "repvit_timm_tiny": TIMM_REPVIT,
    "fastvit_timm_tiny": TIMM_FASTVIT,
    "ghostnetv3_timm_tiny": TIMM_GHOSTNET,
}
"""Where a library has other keys than the authors."""

BIND = {
    "repmode_mode_task0": "[1, 0, 0]",
    "repmode_mode_task1": "1",
    "repmode_mode_final": "2",
}
"""The task that a case is compiled for."""


def spec(case: str) -> str:
    """The spec of a case, with the targets that its shipped model has."""
    module, port, layer = CASES[case]
    names = re.findall(r"(\w+):", port)
    given = names[0] if len(names) == 1 else f"({', '.join(names)})"
    keep = "".join(f"  keep {pattern}\n" for pattern in KEEP.get(case, ()))
    bind = f"  bind task = {BIND[case]}\n" if case in BIND else ""
    return (
        f"repc 1\n\nimport {module}\n\nmodel M({port}) = {given} >> {layer}\n\n"
        f"target deploy = onnx of M {{\n{bind}}}\n\ntarget official = torch of M {{\n{keep}{bind}}}\n"
    )
