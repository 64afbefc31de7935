"""The keys of timm's networks (1.0), trained and re-parameterized, where they are not the authors'."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection

from repc.checkpoints.layout import Layout, each, translate

# ------------------------------------------------------------------------------------------------ timm.models.byobnet
#
# One block structure for RepVGG and MobileOne, so that several of the authors' words become one.

_FRAME = {"stage0": "stem", **{f"stage{i + 1}": f"stages.{i}" for i in range(4)}, "linear": "head.fc"}
_REPVGG = {
    "rbr_dense": "conv_kxk",
    "rbr_1x1": "conv_1x1",
    "rbr_identity": "identity",
    "rbr_reparam": "reparam_conv",
}
_MOBILEONE = {"rbr_conv": "conv_kxk", "rbr_scale": "conv_scale", "rbr_skip": "identity"}
_SQUEEZE_EXCITE = {"down": "fc1", "up": "fc2", "reduce": "fc1", "expand": "fc2"}

TIMM = Layout("timm", each(translate(_FRAME | _REPVGG | _MOBILEONE | _SQUEEZE_EXCITE | {"se": "attn"})))

# ------------------------------------------------------------------------------------------------ timm.models.ghostnet

TIMM_GHOSTNET = Layout("timm ghostnet", each(translate({"bn": "bn1"})))

# ------------------------------------------------------------------------------------------------ timm.models.fastvit

_FASTVIT = {
    **_MOBILEONE,
    **_SQUEEZE_EXCITE,
    "patch_embed": "stem",
    "lkb_origin": "large_conv",
    "lkb_reparam": "reparam_conv",
    "pe": "pos_enc",
    "convffn": "mlp",
    "layer_scale": "layer_scale.gamma",
    "layer_scale_1": "layer_scale_1.gamma",
    "layer_scale_2": "layer_scale_2.gamma",
    "conv_exp": "final_conv",
    "head": "head.fc",
}


def _fastvit(path: str) -> str:
    """Stages and what is between them are numbered through by the authors; before attention stands a position code."""
    path = re.sub(r"^network\.6\.(?=pe|reparam_conv)", "stages.3.pos_emb.", path)
    path = re.sub(r"^network\.[67]\.", "stages.3.blocks.", path)
    path = re.sub(r"^network\.([024])\.", lambda match: f"stages.{int(match[1]) // 2}.blocks.", path)
    path = re.sub(r"^network\.([135])\.", lambda match: f"stages.{int(match[1]) // 2 + 1}.downsample.", path)
    return translate(_FASTVIT)(path)


TIMM_FASTVIT = Layout("timm fastvit", each(_fastvit))

# ------------------------------------------------------------------------------------------------ timm.models.repvit

_REPVIT = {
    "features.0.0": "stem.conv1",
    "features.0.2": "stem.conv2",
    "classifier.classifier": "head.head",
    "classifier.classifier_dist": "head.head_dist",
    "classifier": "head",
}
_BLOCK = {
    "token_mixer.0": "token_mixer",
    "token_mixer.1": "se",
    "channel_mixer.m.0": "channel_mixer.conv1",
    "channel_mixer.m.2": "channel_mixer.conv2",
}
_DOWNSAMPLE = {
    "token_mixer.0": "spatial_downsample",
    "token_mixer.2": "channel_downsample",
    "channel_mixer.m.0": "ffn.conv1",
    "channel_mixer.m.2": "ffn.conv2",
}


def _repvit(paths: Collection[str]) -> dict[str, str]:
    """The authors number all blocks through; a block that halves the size starts a stage, with the block before it."""
    halving = sorted({int(m[1]) for path in paths if (m := re.match(r"features\.(\d+)\.token_mixer\.2\.", path))})

    def key(path: str) -> str:
        match = re.match(r"features\.([1-9]\d*)\.(.*)", path)
        if match is None:
            return _replaced(path, _REPVIT)
        number, part = int(match[1]), match[2]
        stage = bisect_right(halving, number)
        if number in halving:
            return f"stages.{stage}.downsample.{_replaced(part, _DOWNSAMPLE)}"
        if number + 1 in halving:
            return f"stages.{stage + 1}.downsample.pre_block.{_replaced(part, _BLOCK)}"
        first = halving[stage - 1] + 1 if stage else 1
        return f"stages.{stage}.blocks.{number - first}.{_replaced(part, _BLOCK)}"

    return each(key)(paths)


def _replaced(path: str, names: dict[str, str]) -> str:
    """The path with its beginning under another name."""
    old = next((name for name in names if path.startswith(f"{name}.")), "")
    return names[old] + path[len(old) :] if old else path


TIMM_REPVIT = Layout("timm repvit", _repvit)
