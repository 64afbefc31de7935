"""The keys of timm's networks (``timm.models.byobnet``, 1.0), trained and re-parameterized.

timm has one block structure for both families, so that several of the authors' words become one.
"""

from repc.checkpoints.layout import Layout, translate

_FRAME = {"stage0": "stem", **{f"stage{i + 1}": f"stages.{i}" for i in range(4)}, "linear": "head.fc"}
_REPVGG = {
    "rbr_dense": "conv_kxk",
    "rbr_1x1": "conv_1x1",
    "rbr_identity": "identity",
    "rbr_reparam": "reparam_conv",
}
_MOBILEONE = {"rbr_conv": "conv_kxk", "rbr_scale": "conv_scale", "rbr_skip": "identity"}
_SQUEEZE_EXCITE = {"se": "attn", "down": "fc1", "up": "fc2", "reduce": "fc1", "expand": "fc2"}

TIMM = Layout("timm", translate(_FRAME | _REPVGG | _MOBILEONE | _SQUEEZE_EXCITE))
