"""Methods that no merged weight equals: each stays, and the trace names the edge and the reason."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import repc
from repc.diagnostics import Failure
from tests.fixtures import adapter

HEAD = "repc 1\n\nimport std.conv\nimport adapters.lora\nimport adapters.orthogonal\nimport adapters.tensors\n\n"
BASE = "model Base(x: f32[b, 8]) = x >> fc: Linear(6)\n\n"
BOTTLENECK = """\
block Bottleneck<r>(x: [...s, c]) = sum as tuned { x | x >> down: Linear(r) >> ReLU() >> up: Linear(c) }

"""

REFUSED = {
    "bottleneck adapters (Houlsby, Pfeiffer)": (
        BOTTLENECK + BASE + "adapt Base as Net { at fc expect 1 then adapter: Bottleneck(3) }\n",
        "fc.adapter/relu -> fc.adapter.up -> fc.adapter.tuned/sum",
        "fc.adapter.up reads fc.adapter/relu",
    ),
    "Compacter": (
        """\
block PHM<co>(x: [...s, ci]) {
  weight A: [2, 2, 2] = normal(0, 1)
  weight S: [2, co // 2, ci // 2] = normal(0, 1)
  return linear(x, reshape(einsum(A, S, "nab,ncd->acbd"), [co, ci]))
}
block Compacter(x: [...s, c]) = sum { x | x >> down: PHM(2) >> GELU() >> up: PHM(c) }
"""
        + BASE
        + "adapt Base as Net { at fc expect 1 then adapter: Compacter() }\n",
        "fc.adapter/gelu -> fc.adapter.up -> fc.adapter/sum",
        "fc.adapter.up reads fc.adapter/gelu",
    ),
    "MixPHM": (
        """\
block Expert<r>(x: [...s, c]) = x >> down: Linear(r) >> GELU() >> up: Linear(c)
block Mixed(x: [...s, c]) = sum { x | mean { x >> 0: Expert(2) | x >> 1: Expert(2) } }
"""
        + BASE
        + "adapt Base as Net { at fc expect 1 then adapter: Mixed() }\n",
        "fc.adapter.0/gelu -> fc.adapter.0.up -> fc.adapter/sum",
        "fc.adapter.0.up reads fc.adapter.0/gelu",
    ),
    "LoRETTA-adp": (
        """\
block TrainedLinear<rows, columns>(x: [...s, ci]) {
  weight a: [rows[0], 2] = normal(0, 1)
  weight b: [2, rows[1] * columns[0], 2] = normal(0, 1)
  weight c: [2, columns[1]] = normal(0, 1)
  return linear(x, reshape(Train()(a, b, c), [product(rows), product(columns)]))
}
block Adp(x: [...s, c]) =
  sum { x | x >> down: TrainedLinear([2, 2], [3, 2]) >> ReLU() >> up: TrainedLinear([2, 3], [2, 2]) }
"""
        + BASE
        + "adapt Base as Net { at fc expect 1 then adapter: Adp() }\n",
        "fc.adapter/relu -> fc.adapter.up -> fc.adapter/sum",
        "fc.adapter.up reads fc.adapter/relu",
    ),
    "ladder side networks (LST, UniPT)": (
        """\
model Net(x: f32[b, 8]) {
  let h = x >> fc1: Linear(8) >> ReLU()
  weight gate: [1] = 0.5
  let mixed = sigmoid(gate) * h + (1 - sigmoid(gate)) * (x >> side1: Linear(8))
  return mixed >> side2: Linear(6)
}
""",
        "x -> fc1 -> relu -> sum",
        "relu is not linear",
    ),
    "prompt and prefix tuning": (
        """\
model Net(x: f32[2, 4, 8]) {
  weight prompt: [2, 3, 8] = normal(0, 1)
  return (prompt: concat(axis=1) { prompt | x }) >> fc: Linear(6)
}
""",
        "x -> prompt",
        "constants are put beside x, which no weight behind it can stand for",
    ),
    "LoReFT": (
        """\
block LoReFT<r>(x: [b, t, c]) {
  weight R: [r, c] = normal(0, 1)
  let first = x[:, :1]
  let moved = first + linear((first >> source: Linear(r)) - linear(first, R), R.T)
  return concat(axis=1) { moved | x[:, 1:] }
}
model Base(x: f32[b, 4, 8]) = x >> fc: Linear(6)
adapt Base as Net { at fc expect 1 then reft: LoReFT(2) }
""",
        "fc -> fc.reft/concat",
        "parts of fc are treated apart, so that no one weight equals it",
    ),
    "routed mixtures (X-LoRA, Arrow, MoE, DAS)": (
        """\
block Routed<r>(x: [b, c], y: [b, o]) {
  let g = x >> router: Linear(2) >> Softmax()
  let one = x >> down0: Linear(r, bias=false) >> up0: Linear(o, bias=false)
  let two = x >> down1: Linear(r, bias=false) >> up1: Linear(o, bias=false)
  return y + g[:, :1] * one + g[:, 1:] * two
}
model Net(x: f32[b, 8]) = (x, x >> fc: Linear(6)) >> lora: Routed(3)
""",
        "x -> lora.router -> lora/softmax -> lora/slice -> lora/multiply -> lora/sum",
        "lora/multiply multiplies by a gate that is computed from the input",
    ),
    "activated LoRA": (
        """\
model Net(x: f32[b, 8], active: f32[b, 1]) {
  let y = x >> fc: Linear(6)
  return y + active * (x >> lora: Linear(6, bias=false))
}
""",
        "x -> fc -> sum",
        "fc reads x, not multiply",
    ),
    "token-dependent Householder (PaTH, DeltaProduct)": (
        """\
model Net(x: f32[b, 8]) {
  let (u, y) = (x >> direction: Linear(8), x >> first: Linear(8))
  return (y - 2 * u * sum(u * y, axis=1, keep=true)) >> fc: Linear(6)
}
""",
        "x -> direction -> sum -> multiply -> sum",
        "multiply multiplies by a gate that is computed from the input",
    ),
    "hypernetworks of an input": (
        """\
block Hyper<co>(x: [b, ci], z: [k]) {
  weight H: [co * ci, k] = normal(0, 1)
  return linear(x, reshape(linear(z, H), [co, ci]))
}
model Net(x: f32[b, 8], z: f32[3]) = (x, z) >> hyper: Hyper(5)
""",
        "hyper/reshape -> hyper/linear",
        "its weight is computed from z",
    ),
    "selective state spaces": (
        """\
model Net(x: f32[b, 4, 8]) {
  let dt = x >> dt: Linear(8) >> Softplus()
  return exp(-dt[:, 0]) * x[:, 0] + x[:, 1]
}
""",
        "dt -> softplus -> slice -> reshape -> sum",
        "softplus is not linear",
    ),
}


def opened(text: str, folder: Path) -> repc.Model:
    (folder / "net.rep").write_text(HEAD + text)
    return repc.load(folder / "net.rep", "Net")


@pytest.mark.parametrize("method", REFUSED)
def test_the_edge_is_named(method: str, tmp_path: Path) -> None:
    text, edge, reason = REFUSED[method]
    fused = opened(text, tmp_path).fuse()
    found = {(refusal.edge, refusal.reason): refusal.remedy for refusal in fused.trace.refusals}
    (remedy,) = (remedy for (where, why), remedy in found.items() if where == edge and reason in why)
    assert remedy
    assert fused.verify()


def test_a_hypernetwork_of_a_bound_input_is_a_weight(tmp_path: Path) -> None:
    text = REFUSED["hypernetworks of an input"][0]
    model = opened(text, tmp_path).bound({"z": (1, -2, Fraction(1, 2))})
    fused = model.fuse()
    assert fused.counts() == {"Gemm": 1}
    assert fused.trace.refusals == []


def test_generators_of_constant_prefixes_are_weights(tmp_path: Path) -> None:
    text = """\
model Net(x: f32[2, 4, 8]) {
  weight prefix: [2, 3, 5] = normal(0, 1)
  let key = prefix >> up: Linear(8) >> Tanh()
  let keys = (keys: concat(axis=1) { key | x })
  return attention(x, keys, keys)
}
"""
    counts = opened(text, tmp_path).fuse().counts()
    assert (counts["Concat"], counts.get("Tanh", 0), counts.get("Gemm", 0)) == (1, 0, 0)


def test_a_stored_base_of_whole_numbers_is_not_merged_into() -> None:
    """LoRA and EoRA on a quantised base: what is stored are codes, and a sum with them means nothing."""
    base = load_file(adapter("lora") / "base.safetensors")
    base["block.fc1.weight"] = (base["block.fc1.weight"] * 100).to(torch.int8)
    with pytest.raises(Failure) as failure:
        repc.load("repc:mlp/MLP", adapter=adapter("lora")).fuse(base)
    assert [d.code for d in failure.value.diagnostics] == ["E614"]


def test_neighbouring_sandwich_layers_share_a_map(tmp_path: Path) -> None:
    text = (
        "import blocks.orthogonal\nmodel Net(x: f32[b, 8]) = x >> 0: Sandwich(7) >> 1: Sandwich(5) >> 2: Sandwich(4)\n"
    )
    fused = opened(text, tmp_path).fuse()
    assert fused.counts() == {"Gemm": 4, "Relu": 3}
    assert fused.verify()
