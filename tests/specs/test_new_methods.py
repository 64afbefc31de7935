"""A method that is in no table is a few lines of spec: trained, merged, and merged without a spec of the base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import repc
from repc.diagnostics import Failure, Source
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.target import Target
from repc.ir.types import TensorType
from repc.semantics import FileLibrary, adapt_stored, load
from tests.specs.bases import BASES

METHODS: dict[str, tuple[str, Callable[[Tensor, dict[str, Tensor]], Tensor]]] = {
    # a low-rank update whose elements pass through a sine, which raises its rank
    "Sine(r=3, frequency=2.5)": (
        """\
block Sine<r, frequency>(W: [o, i]) {
  weight A: [r, i] = normal(0, 1)
  weight B: [o, r] = zeros
  return W + sin(frequency * (B @ A)) / sqrt(r)
}
""",
        lambda w, p: w + torch.sin(2.5 * p["B"] @ p["A"]) / 3**0.5,
    ),
    # one value for each diagonal of the weight
    "Toeplitz()": (
        """\
block Toeplitz(W: [o, i]) {
  weight t: [o + i - 1] = zeros
  let diagonal = reshape(arange(o), [o, 1]) - reshape(arange(i), [1, i]) + (i - 1)
  return W + gather(t, cast(diagonal, "i64"))
}
""",
        lambda w, p: w + p["t"][torch.arange(len(w))[:, None] - torch.arange(w.shape[1]) + w.shape[1] - 1],
    ),
    # two block-diagonal factors with a shuffle between them, and a gate for each output
    "Shuffled(blocks=4)": (
        """\
block Shuffled<blocks>(W: [o, i]) {
  weight L: [blocks, blocks, i // blocks] = normal(0, 1)
  weight R: [blocks, o // blocks, blocks] = zeros
  weight gate: [o] = ones
  let both = einsum(R, L, "pas,spn->pasn")
  return along(gate, 0) * (W + reshape(both, [o, i]))
}
""",
        lambda w, p: p["gate"][:, None] * (w + torch.einsum("pas,spn->pasn", p["R"], p["L"]).reshape(w.shape)),
    ),
}


def adapt(method: str, base: str = "") -> str:
    attached = f"adapt Mlp as New {{\n  at block.*.weight expect 2 use new: {method}\n}}\n"
    return f"repc 1\n\n{base}\n{METHODS[method][0]}\n{attached}"


def random(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("method", METHODS)
def test_a_new_method_trains_and_merges(method: str, tmp_path: Path) -> None:
    text, formula = METHODS[method]
    assert len(text.splitlines()) <= 10
    (tmp_path / "new.rep").write_text(adapt(method, BASES["Mlp"]))
    model = repc.load(tmp_path / "new.rep", "New")
    state = {path: random(p.type.concrete(), k) for k, (path, p) in enumerate(model.graph.parameters.items())}
    fused, own = model.fuse(state, Target("kept", "torch", keep=("head",)), dtype="f64"), ".new."
    for layer in ("block.fc1", "block.fc2"):
        parts = {path.rpartition(".")[2]: t for path, t in state.items() if path.startswith(f"{layer}{own}")}
        torch.testing.assert_close(fused.state_dict()[f"{layer}.weight"], formula(state[f"{layer}.weight"], parts))
    net = model.module().double()
    net.load_state_dict(state)
    x = random((2, 3, 24), 99)
    torch.testing.assert_close(net(x), fused.module()(x))
    net(x).square().mean().backward()
    assert {name for name, p in net.named_parameters() if p.grad is not None} == {n for n in state if own in n}


@pytest.mark.parametrize("method", METHODS)
def test_it_applies_to_a_checkpoint_without_a_spec(method: str) -> None:
    types = {
        "block.fc1.weight": TensorType((8, 12)),
        "block.fc2.weight": TensorType((4, 8)),
        "head.bias": TensorType((3,)),
    }
    found = adapt_stored(load(Source("new", adapt(method)), FileLibrary()), "New", types)
    assert found.weights.keys() == types.keys() - {"head.bias"}
    state = {path: random(p.type.concrete(), k) for k, (path, p) in enumerate(found.graph.parameters.items())}
    for key, value in evaluate(found.weights, TorchField(torch.float64), state).items():
        home = key.replace(".weight", ".new.")
        parts = {path.removeprefix(home): t for path, t in state.items() if path.startswith(home)}
        torch.testing.assert_close(value, METHODS[method][1](state[key], parts))


def test_a_checkpoint_is_not_adapted_by_what_adapts_a_spec() -> None:
    module = load(Source("new", adapt("Toeplitz()", BASES["Mlp"])), FileLibrary())
    with pytest.raises(Failure) as failure:
        adapt_stored(module, "New", {"block.fc1.weight": TensorType((8, 12))})
    assert [d.code for d in failure.value.diagnostics] == ["E409"]
