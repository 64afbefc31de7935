"""Every operator against torch in float64, and its types against the shapes that come out."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repc.evaluate.floating import TorchField
from repc.ir import dims
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import OPERATORS, Affine, Conv, Input, Pad
from repc.ops.function import FUNCTIONS
from tests.ops.cases import choice, elementwise, linear, norm, shape, windows
from tests.ops.cases.case import Case, agree, type_of

CASES = {**windows.CASES, **linear.CASES, **norm.CASES, **elementwise.CASES, **shape.CASES, **choice.CASES}
TOLERANCE = 1e-12
MANY: dict[type[Operator], int] = {Conv: 80}


def field() -> TorchField:
    return TorchField(generator=torch.Generator().manual_seed(0))


def symbolic_types(case: Case) -> tuple[dict[str, TensorType], dict[str, int]]:
    """The operand types with free sizes; equal sizes get one symbol, so that every relation between them stays."""
    types, sizes = {}, {}
    for name, x in case.operands.items():
        shape = list(type_of(x).shape)
        for axis in case.free.get(name, ()):
            if x.shape[axis] != 1:
                shape[axis] = dims.symbol(f"s{x.shape[axis]}")
                sizes[f"s{x.shape[axis]}"] = x.shape[axis]
        types[name] = type_of(x).with_shape(shape)
    return types, sizes


def check(case: Case) -> None:
    types = {name: type_of(x) for name, x in case.operands.items()}
    inferred = case.op.infer(types)
    assert inferred.shape == tuple(case.expected.shape)
    symbolic, sizes = symbolic_types(case)
    assert tuple(dims.evaluate(size, sizes) for size in case.op.infer(symbolic).shape) == inferred.shape
    assert agree(case.op.apply(field(), case.operands), case.expected, TOLERANCE)


def test_every_operator_has_cases() -> None:
    assert {*CASES, Input} == set(OPERATORS)
    assert len(OPERATORS) == len(set(OPERATORS))


@pytest.mark.parametrize("operator", CASES, ids=lambda operator: operator.name)
def test_an_operator_means_what_torch_computes(operator: type[Operator]) -> None:
    @settings(max_examples=MANY.get(operator, 40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(CASES[operator])
    def every_case(case: Case) -> None:
        assert type(case.op) is operator
        check(case)

    every_case()


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_a_function_is_its_textbook_formula(name: str, data: st.DataObject) -> None:
    check(data.draw(elementwise.function(name)))


def test_an_input_has_its_declared_type_and_is_never_computed() -> None:
    type = TensorType((dims.symbol("b"), 3))
    op = Input("image", type)
    assert op.infer({}) == type
    with pytest.raises(AssertionError, match="image"):
        op.apply(field(), {})


def test_infinity_pads_as_other_values_do() -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    value = torch.tensor(-torch.inf, dtype=torch.float64)
    found = Pad(((0, 0), (1, -1), (0, 2))).apply(field(), {"x": x, "value": value})
    assert torch.equal(found, torch.nn.functional.pad(x, (0, 2, 1, -1), value=-torch.inf))


class Shifted(Affine):
    """A twin that is wrong by less than a float32 could show."""

    def apply(self, field, given):
        return super().apply(field, given) * (1 + 1e-11)


class Transposed(Affine):
    """A twin whose type is wrong."""

    def infer(self, given):
        return given["x"].with_shape(given["x"].shape[::-1])


@pytest.mark.parametrize("wrong", [Shifted(1), Transposed(1)])
def test_a_wrong_operator_is_caught(wrong: Affine) -> None:
    x = torch.ones(2, 3, dtype=torch.float64)
    check(Case(Affine(1), {"x": x}, x))
    with pytest.raises(AssertionError):
        check(Case(wrong, {"x": x}, x))
