"""A checkpoint against a network: what fits, and the exact words about what does not."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repc.checkpoints import LAYOUTS, from_memory, match
from repc.checkpoints.matching import Matched
from repc.diagnostics import Diagnostic, Failure
from tests.checkpoints.official import parameter, parameters

NETWORK = parameters(
    {
        "stage0.rbr_dense.conv.weight": (4, 3, 3, 3),
        "stage0.rbr_dense.bn.weight": (4,),
        "stage0.rbr_dense.bn.bias": (4,),
        "stage0.rbr_dense.bn.num_batches_tracked": (),
        "linear.weight": (10, 4),
        "linear.bias": (10,),
    }
)


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        path: torch.tensor(7) if path.endswith("tracked") else torch.randn(p.type.concrete())
        for path, p in NETWORK.items()
    }


def matched(tensors: dict[str, torch.Tensor]) -> Matched:
    return match(from_memory(tensors, "a.pth"), NETWORK, LAYOUTS)


def faults(tensors: dict[str, torch.Tensor]) -> tuple[Diagnostic, ...]:
    with pytest.raises(Failure) as failure:
        matched(tensors)
    return failure.value.diagnostics


def fault(tensors: dict[str, torch.Tensor]) -> Diagnostic:
    (only,) = faults(tensors)
    return only


def test_every_parameter_gets_its_tensor() -> None:
    found = matched(state())
    assert list(found.values) == list(NETWORK)
    assert all(torch.equal(found.values[path], tensor) for path, tensor in state().items())
    assert (found.layout, found.share, found.notes) == ("official", 1, ())


def test_half_precision_is_of_the_right_kind() -> None:
    found = matched({key: t.half() if t.is_floating_point() else t for key, t in state().items()})
    assert found.values["linear.weight"].dtype is torch.float16


def test_a_missing_counter_is_zero_and_said() -> None:
    tensors = state()
    del tensors["stage0.rbr_dense.bn.num_batches_tracked"]
    found = matched(tensors)
    assert found.values["stage0.rbr_dense.bn.num_batches_tracked"] == 0
    assert found.notes == ("1 num_batches_tracked not in the file, taken as 0",)
    assert found.share == 5 / 6


def test_missing_and_unknown_keys_point_at_each_other() -> None:
    tensors = state()
    tensors["stage0.rbr_dense.norm.bias"] = tensors.pop("stage0.rbr_dense.bn.bias")
    tensors["extra"] = torch.zeros(1)
    missing, unknown = faults(tensors)
    assert (missing.code, missing.title) == ("E611", "a.pth lacks 1 key of the model (layout official)")
    assert missing.notes == ("stage0.rbr_dense.bn.bias [4]; the file also has stage0.rbr_dense.norm.bias",)
    assert (unknown.code, unknown.title) == ("E612", "a.pth has 2 keys that the model does not know (layout official)")
    assert unknown.notes == (
        "stage0.rbr_dense.norm.bias [4]; the model misses stage0.rbr_dense.bn.bias",
        "extra [1]",
    )


@given(st.sets(st.sampled_from(sorted(NETWORK)), max_size=3), st.sets(st.text("xyz.", min_size=1), max_size=3))
def test_every_key_is_used_once_or_named(lost: set[str], added: set[str]) -> None:
    kept = {key: tensor for key, tensor in state().items() if key not in lost}
    essential = {key for key in lost if not key.endswith("tracked")}
    tensors = kept | {key: torch.zeros(2) for key in added}
    if not essential and not added:
        assert matched(tensors).values.keys() == NETWORK.keys()
        return
    found = faults(tensors)
    assert {note.split(" [")[0] for d in found if d.code == "E611" for note in d.notes} == essential
    assert {note.split(" [")[0] for d in found if d.code == "E612" for note in d.notes} == added


@pytest.mark.parametrize(
    ("key", "shape", "remedy"),
    [
        (
            "linear.weight",
            (1000, 4),
            "linear was trained with 1000 outputs, the spec has 10: set that number in the spec",
        ),
        ("linear.weight", (4, 10), "the weights are stored transposed, (in, out): transpose them when saving"),
        ("linear.weight", (10, 4, 1, 1), "the sizes agree but for their arrangement: reshape them when saving"),
        ("stage0.rbr_dense.conv.weight", (4, 3, 1, 1), "check that widths, kernels and groups are those"),
    ],
)
def test_a_wrong_shape_shows_both_and_what_to_do(key: str, shape: tuple[int, ...], remedy: str) -> None:
    found = fault(state() | {key: torch.zeros(shape)})
    assert (found.code, found.title) == ("E613", "a.pth has 1 tensor of a wrong shape")
    wanted = list(NETWORK[key].type.concrete())
    assert found.notes == (f"{key}: the file has {list(shape)}, the model {wanted}",)
    assert found.help is not None
    assert found.help.startswith(remedy)


@pytest.mark.parametrize(
    ("key", "tensor", "note"),
    [
        (
            "linear.bias",
            torch.zeros(10, dtype=torch.int32),
            "linear.bias: the file has integer values, the model float",
        ),
        ("linear.bias", torch.zeros(10, dtype=torch.bool), "linear.bias: the file has bool values, the model float"),
        ("linear.bias", torch.zeros(10) * 1j, "linear.bias: the file has complex values, the model float"),
        (
            "stage0.rbr_dense.bn.num_batches_tracked",
            torch.tensor(1.0),
            "stage0.rbr_dense.bn.num_batches_tracked: the file has float values, the model integer",
        ),
        (
            "linear.weight",
            torch.zeros(10, 4).to_sparse(),
            "linear.weight: the file has quantised or sparse values, the model float",
        ),
    ],
)
def test_a_wrong_element_type(key: str, tensor: torch.Tensor, note: str) -> None:
    found = fault(state() | {key: tensor})
    assert (found.code, found.notes) == ("E614", (note,))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_values_that_are_no_numbers(value: float, dtype: torch.dtype) -> None:
    weight = torch.zeros(10, 4, dtype=dtype)
    weight[2, 1] = weight[3, 0] = value
    found = fault(state() | {"linear.weight": weight})
    assert (found.code, found.title) == ("E615", "a.pth has NaN or infinite values in 1 tensor")
    assert found.notes == ("linear.weight: 2 of 40 values",)


def test_values_whose_sum_overflows_are_numbers() -> None:
    assert matched(state() | {"linear.weight": torch.full((10, 4), 6e4, dtype=torch.float16)}).share == 1


def test_eight_bit_floats_are_looked_through_too() -> None:
    weight = torch.zeros(10, 4)
    weight[0, 0] = float("nan")
    assert fault(state() | {"linear.weight": weight.to(torch.float8_e5m2)}).code == "E615"
    assert matched(state() | {"linear.weight": torch.zeros(10, 4).to(torch.float8_e5m2)}).share == 1


def test_all_faults_come_at_once() -> None:
    tensors = state() | {
        "linear.weight": torch.zeros(3, 4),
        "linear.bias": torch.full((10,), float("nan")),
        "x": torch.ones(1),
    }
    del tensors["stage0.rbr_dense.bn.bias"]
    assert [d.code for d in faults(tensors)] == ["E611", "E612", "E613", "E615"]


TIED = {
    "embed.weight": parameter("embed.weight", (5, 2), "head.weight"),
    "bias": parameter("bias", (2,)),
}


@pytest.mark.parametrize("names", [("embed.weight",), ("head.weight",), ("embed.weight", "head.weight")])
def test_tied_keys_may_be_there_once_or_twice(names: tuple[str, ...]) -> None:
    weight = torch.randn(5, 2)
    found = match(from_memory({"bias": torch.ones(2)} | dict.fromkeys(names, weight)), TIED, LAYOUTS)
    assert torch.equal(found.values["embed.weight"], weight)
    assert found.values.keys() == TIED.keys()


@pytest.mark.parametrize("other", [torch.zeros(5, 2), torch.ones(5, 2).half(), torch.ones(2, 5)])
def test_tied_keys_with_different_values(other: torch.Tensor) -> None:
    tensors = {"bias": torch.ones(2), "embed.weight": torch.ones(5, 2), "head.weight": other}
    with pytest.raises(Failure, match=r"E616 .* different values under 1 tied parameter"):
        match(from_memory(tensors), TIED, LAYOUTS)


def test_another_model() -> None:
    found = fault({"encoder.weight": torch.zeros(2), "linear.bias": torch.zeros(10)})
    assert found.code == "E610"
    assert found.title == "a.pth is not of this model: it has 17% of the wanted keys in the best layout (official)"
    assert found.notes == (
        "the file has encoder.weight",
        "the model wants stage0.rbr_dense.conv.weight, stage0.rbr_dense.bn.weight, stage0.rbr_dense.bn.bias and 2 more",
    )


@pytest.mark.parametrize("prefix", ["stage0.rbr_reparam", "stem.reparam_conv"])
def test_a_deployed_checkpoint_for_a_training_spec(prefix: str) -> None:
    found = fault({f"{prefix}.weight": torch.zeros(4, 3, 3, 3), f"{prefix}.bias": torch.zeros(4)})
    assert found.code == "E610"
    assert re.search("branches cannot be recovered", found.help or "")
