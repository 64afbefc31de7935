"""`repc.fold` on modules: the result is the module, called as the module is, and says what became of it."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import repc
from repc.diagnostics import Failure
from tests.importers.torch.networks import (
    Detector,
    Nested,
    Pair,
    RepConv,
    Shared,
    image,
    randomised,
    relative,
)


def apart(one: nn.Module, two: Any, *args: object, **kwargs: object) -> float:
    """The largest relative difference of two modules' results, which have one structure."""
    with torch.no_grad():
        (first, structure), (second, other) = (pytree.tree_flatten(module(*args, **kwargs)) for module in (one, two))
    assert structure == other
    tensors = [(a, b) for a, b in zip(first, second, strict=True) if isinstance(a, Tensor)]
    assert [a for a in first if not isinstance(a, Tensor)] == [a for a in second if not isinstance(a, Tensor)]
    return max(relative(b, a) for a, b in tensors)


def kinds(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d)]


@pytest.fixture(scope="module")
def detector() -> tuple[Any, Any]:
    module = randomised(Detector())
    return module, repc.fold(module, image(1, 3, 16, 24))


def test_a_detector_folds_with_its_groups(detector: tuple[Any, Any]) -> None:
    module, folded = detector
    assert kinds(folded) == ["Conv2d"] * 8  # six blocks and two heads
    assert apart(module, folded, image(3, 3, 16, 24, seed=1)) < 1e-5
    exact = repc.fold(deepcopy(module).double(), image(1, 3, 16, 24).double(), verify=False)
    assert apart(deepcopy(module).double(), exact, image(3, 3, 16, 24, seed=1).double()) < 1e-12


def test_what_is_not_folded_keeps_its_names(detector: tuple[Any, Any]) -> None:
    module, folded = detector
    state = folded.state_dict()
    assert torch.equal(state["heads.1.weight"], module.state_dict()["heads.1.weight"])
    assert {"stem.dense.weight", "stem.dense.bias", "body.1.dense.weight"} <= set(state)
    assert type(folded.get_submodule("body.0.dense")) is nn.Conv2d


def test_the_report_says_what_was_done(detector: tuple[Any, Any]) -> None:
    report = detector[1].report
    assert report
    assert (report.before["conv"], report.after["conv"]) == (14, 8)
    assert (report.before["batch_norm"], report.after.get("batch_norm", 0)) == (15, 0)
    assert report.inputs == {"x": "f32[batch, 3, 16, 24]"}
    text = str(report)
    assert "14 -> 8" in text
    assert "EQUIVALENT" in text
    assert "original float32" in text
    assert "<table>" in report._repr_html_()
    assert not repc.fold(RepConv(3, 4).eval(), image(1, 3, 5, 7), verify=False).report


def test_folding_twice_changes_nothing(detector: tuple[Any, Any]) -> None:
    folded = detector[1]
    again = repc.fold(folded, image(1, 3, 16, 24))
    assert list(again.state_dict()) == list(folded.state_dict())
    assert not again.report.steps
    assert apart(folded, again, image(2, 3, 16, 24)) == 0


def test_the_signature_is_that_of_the_original() -> None:
    module = Nested().eval()
    shift = {"shift": image(1, 4, 1, 1)}
    folded = repc.fold(module, (image(2, 3, 4, 5), [image(2, 2)]), kwargs={"extra": shift, "scale": 3.0})
    args = image(3, 3, 4, 5), [image(3, 2)]
    assert apart(module, folded, *args, scale=3.0, extra=shift) < 1e-6
    assert apart(module, folded, x=args[0], others=args[1], scale=3.0, extra=shift) < 1e-6
    with torch.no_grad():
        assert isinstance(folded(*args, scale=3.0, extra=shift)[0], Pair)
    assert str(inspect.signature(folded.forward)) == "(x, others, *, scale=2.0, extra=None)"
    with pytest.raises(ValueError, match=r"scale is 2\.0, and this network was made for 3\.0 alone"):
        folded(*args, extra=shift)
    with pytest.raises(ValueError, match=r"others has \[0, 1\], and this network was made for \[0\]"):
        folded(args[0], args[1] * 2, scale=3.0, extra=shift)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'others'"):
        folded(args[0], scale=3.0, extra=shift)


class Kinds(nn.Module):
    """Every kind of parameter, and one that is left at its default."""

    def forward(self, a: Tensor, /, b: Tensor, *rest: Tensor, mode: object = Tensor, **more: Tensor) -> Tensor:
        assert mode is Tensor
        return a * b + sum(rest) + more["c"]


def test_every_kind_of_parameter_is_kept() -> None:
    module, x = Kinds().eval(), image(2, 3)
    folded = repc.fold(module, (x, 2 * x, x, -x), kwargs={"c": x * x})
    assert str(inspect.signature(folded.forward)) == "(a, /, b, *rest, mode=Ellipsis, **more)"
    assert apart(module, folded, x, x, x, x, c=-x) < 1e-6
    with pytest.raises(ValueError, match="mode is 'x'"):
        folded(x, x, x, x, c=x, mode="x")
    with pytest.raises(ValueError, match=r"more has \['d'\]"):
        folded(x, x, x, x, d=x)


@pytest.mark.parametrize(
    "example",
    [image(1, 4, 7, 9), (image(1, 4, 7, 9),), {"x": image(1, 4, 7, 9)}],
    ids=["tensor", "arguments", "keywords"],
)
def test_an_example_is_a_tensor_arguments_or_keywords(example: object) -> None:
    module = randomised(Shared())
    folded = repc.fold(module, example, verify=False)
    assert apart(module, folded, image(3, 4, 7, 9)) < 1e-5
    assert torch.equal(folded.state_dict()["encoder.weight"], module.encoder.weight)


def test_what_is_kept_is_not_folded() -> None:
    module = randomised(nn.Sequential(RepConv(4, 4), RepConv(4, 4)))
    folded = repc.fold(module, image(1, 4, 7, 9), keep=["0"], verify=False)
    assert kinds(folded) == [*kinds(module[0]), "Conv2d"]
    assert set(module[0].state_dict()) == set(folded.get_submodule("0").state_dict())


def test_free_sizes_stay_free_and_conditions_on_them_are_checked() -> None:
    class Tall(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = RepConv(3, 4, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x) * (2 if x.shape[2] > x.shape[3] else 1)

    module = randomised(Tall())
    folded = repc.fold(module, image(1, 3, 9, 7), dynamic={"x": {2: "h", 3: "w"}}, verify=False)
    assert folded.report.inputs == {"x": "f32[batch, 3, h, w]"}
    assert apart(module, folded, image(2, 3, 13, 4)) < 1e-5
    with pytest.raises(ValueError, match="this network was made for inputs with h > w"):
        folded(image(2, 3, 4, 13))
    fixed = repc.fold(module, image(1, 3, 9, 7), verify=False)
    with pytest.raises(ValueError, match="axis 2 has size 13 instead of 9"):
        fixed(image(1, 3, 13, 7))


class Crossing(nn.Module):
    """Branches whose results have equal sizes for even inputs only."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 2, stride=2)
        self.two = nn.Conv2d(3, 4, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.two(x)


def test_a_fold_for_these_sizes_alone_needs_a_word() -> None:
    module, x = Crossing().eval(), image(1, 3, 8, 6)
    plain, pinned = repc.fold(module, x), repc.fold(module, x, pin=True)
    assert (plain.report.after["conv"], pinned.report.after["conv"]) == (2, 1)
    (refusal,) = [refusal for refusal in plain.report.refusals if refusal.remedy == "allow it with pin"]
    assert refusal.reason == "they are equal for these sizes of the input only"
    assert "only for these sizes: one" in str(pinned.report)
    assert apart(module, pinned, image(2, 3, 8, 6)) < 1e-6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_module_stays_in_its_own_type(dtype: torch.dtype) -> None:
    module = randomised(nn.Sequential(RepConv(4, 4, groups=2), nn.Flatten(), nn.Linear(4 * 35, 3))).to(dtype)
    folded = repc.fold(module, image(1, 4, 7, 5).to(dtype))
    assert folded.report
    assert {value.dtype for value in folded.state_dict().values()} == {dtype}
    assert folded(image(2, 4, 7, 5).to(dtype)).dtype == dtype


def test_a_module_is_folded_in_its_own_type_under_autocast() -> None:
    module = randomised(nn.Sequential(RepConv(4, 4, groups=2), nn.BatchNorm2d(4)))
    with torch.autocast("cpu"):
        folded = repc.fold(module, image(1, 4, 7, 5))
        assert folded(image(1, 4, 7, 5)).dtype == torch.bfloat16
    assert folded.report
    assert apart(module, folded, image(2, 4, 7, 5)) < 1e-6


def test_weights_are_rounded_once() -> None:
    module = randomised(RepConv(4, 4)).to(torch.bfloat16)
    folded = repc.fold(module, image(1, 4, 7, 5).bfloat16(), verify=False)
    exact = repc.fold(deepcopy(module).double(), image(1, 4, 7, 5).double(), verify=False)
    for key, value in folded.state_dict().items():
        assert torch.equal(value, exact.state_dict()[key].bfloat16()), key


class Raised(nn.Module):
    """A norm in float32 inside of a network of half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        return nn.functional.layer_norm(y.float(), (8,)).type_as(y) + self.norm(y)


def test_values_above_half_precision_stay_there() -> None:
    module = Raised().eval().to(torch.bfloat16)
    folded = repc.fold(module, image(2, 8).bfloat16())
    assert folded.report
    assert any("float64" in note for note in folded.report.notes)


def test_the_module_and_its_fold_share_nothing() -> None:
    module = randomised(Shared()).double()
    before = deepcopy(module.state_dict())
    folded = repc.fold(module, image(1, 4, 7, 9).double())
    pointers = {value.untyped_storage().data_ptr() for value in module.state_dict().values()}
    assert not any(value.untyped_storage().data_ptr() in pointers for value in folded.state_dict().values())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_the_order_of_channels_in_memory_stays() -> None:
    module: Any = randomised(RepConv(4, 4))
    module.to(memory_format=torch.channels_last)
    folded = repc.fold(module, image(1, 4, 7, 5).contiguous(memory_format=torch.channels_last))
    kernel = folded.state_dict()["dense.weight"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert not kernel.is_contiguous()


def through_pickle(module: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("copy", [through_pickle, deepcopy])
def test_a_folded_module_is_copied_with_its_report(
    detector: tuple[Any, Any], copy: Callable[[nn.Module], nn.Module]
) -> None:
    twin = copy(detector[1])
    assert apart(detector[1], twin, image(2, 3, 16, 24)) == 0
    assert str(twin.report) == str(detector[1].report)


@pytest.mark.slow
def test_torchs_tools_read_a_folded_module(detector: tuple[Any, Any], tmp_path: Path) -> None:
    folded = detector[1]
    compiled = torch.compile(folded, fullgraph=True, backend="eager", dynamic=True)
    assert apart(folded, compiled, image(3, 3, 16, 24)) == 0
    torch.export.save(torch.export.export(folded, (image(2, 3, 16, 24),)), tmp_path / "folded.pt2")
    nested = repc.fold(Nested().eval(), (image(1, 3, 4, 5), [image(1, 2)]), verify=False)
    compiled = torch.compile(nested, fullgraph=True, backend="eager")
    assert apart(nested, compiled, image(1, 3, 4, 5), [image(1, 2)]) == 0


class Drawing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class Infinite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 0.0


@pytest.mark.parametrize(
    ("module", "note"),
    [
        (Drawing(), "not verified, since the network draws random numbers: aten.dropout.default"),
        (Infinite(), "not verified, since the results of the original are not finite on the example"),
    ],
    ids=["random", "infinite"],
)
def test_what_cannot_be_compared_is_said(module: nn.Module, note: str) -> None:
    report = repc.fold(module.eval(), image(2, 3)).report
    assert note in report.notes
    assert not report


class Squeezing(nn.Module):
    """Loses its batch axis where that has one element."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze()


def test_a_batch_that_may_disappear_is_fixed() -> None:
    module = Squeezing().eval()
    folded = repc.fold(module, image(1, 3))
    assert folded(image(1, 3)).shape == (3,)
    assert folded.report.notes == ("the batch is fixed at 1: the network asks whether batch != 1",)


class Rare(nn.Module):
    """Another function for one sample, which torch.export does not notice."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] == 1 else x


def test_a_wrong_result_is_an_error() -> None:
    with pytest.raises(Failure, match="E522 the folded module is not Rare on the example: original float32: "):
        repc.fold(Rare().eval(), image(2, 3))


def test_a_module_without_values_is_refused() -> None:
    with torch.device("meta"):
        module = nn.Linear(3, 4).eval()
    with pytest.raises(Failure, match="E521 the tensors of the module are on meta"):
        repc.fold(module, torch.empty(1, 3, device="meta"))
