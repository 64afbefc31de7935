"""What the passes fold: an id that is in both graphs denotes the same value, or this fails."""

from __future__ import annotations

import pytest

from repc.backends.onnx import build
from repc.backends.torch import inference_module
from repc.diagnostics import Source
from repc.passes import fold
from repc.semantics import FileLibrary, elaborate, load
from repc.verify import verify
from repc.verify.cuts import correspondence
from tests.verify.networks import random_parameters, stored

WIDTHS = "[0.0625, 0.0625, 0.0625, 0.0625]"
SPECS = {
    "branches": f"""
import models.repvgg
model M(x: f32[b, 3, h, w]) = x >> RepVGG([1, 2, 1, 1], {WIDTHS}, classes=5, group=2)
""",
    "depthwise": f"""
import models.mobileone
model M(x: f32[b, 3, h, w]) = x >> MobileOne([1, 1, 1, 1], {WIDTHS}, classes=5, branches=2)
""",
    "partitions": """
import models.repmlpnet
model M(x: f32[b, 3, 48, 40]) = x >> RepMLPNet([1, 2], [8, 16], [6, 3], [10, 5], [1, 4], classes=5)
""",
    "adapters": """
import adapters.lora
import adapters.ssf
import models.mlp
import models.repvgg
model Base(x: f32[b, 3, h, w]) = x >> RepVGG([1, 1, 1, 1], [0.0625, 0.0625, 0.0625, 0.0625], classes=5)
adapt Base as M {
  at **.rbr_dense  expect 5 then ssf: SSF()
  at linear.weight expect 1 use lora: DoRA(r=4, alpha=6)
}
""",
}


@pytest.mark.parametrize("name", SPECS)
def test_a_folded_spec_is_equivalent_at_every_value_it_shares(name: str) -> None:
    train = elaborate(load(Source("m.rep", f"repc 1{SPECS[name]}"), FileLibrary()), "M")
    fused, _ = fold(train)
    parameters = random_parameters(train)
    values = stored(fused, parameters)
    model, module = build(fused, values), inference_module(fused, values)
    report = verify(train, fused, parameters, values, model=model, module=module)
    assert report, str(report)
    assert len(correspondence(train, fused).train) > 0.7 * len(fused)
