"""Every lowering against the meaning of its operator, in float64, as a function and as a layer of torch.nn."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from repc.backends.torch import Network, inference_module
from repc.backends.torch.layers import LAYERS
from repc.backends.torch.lowerings import LOWERINGS, TRAINING, lower, values
from repc.backends.torch.lowerings import linear as linear_lowerings
from repc.backends.torch.text import Value
from repc.diagnostics import Failure
from repc.evaluate.floating import TorchField
from repc.ir.dims import symbol
from repc.ir.expr import Param
from repc.ir.operator import Operator
from repc.ir.types import TensorType
from repc.ops import OPERATORS, BatchNorm, Conv, Expand, Input, MaxPool, Pad, Random, Reshape
from repc.ops.function import FUNCTIONS
from tests.backends.networks import Builder
from tests.ops.cases import choice, elementwise, linear, norm, shape, windows
from tests.ops.cases.case import Case, agree, type_of

CASES = {**windows.CASES, **linear.CASES, **norm.CASES, **elementwise.CASES, **shape.CASES, **choice.CASES}
B, N = symbol("b"), symbol("n")
TOLERANCE = 1e-12
SOFTPLUS_TOLERANCE = 1e-8  # torch's softplus is linear above 20


def as_text(case: Case) -> Tensor:
    """What the text of the operator computes."""
    operands = {name: Value(f"given[{name!r}]", type_of(x)) for name, x in case.operands.items()}
    space = {"torch": torch, "F": F, "given": case.operands, "like": torch.empty((), dtype=torch.float64)}
    return eval(lower(case.op, operands), space)


def as_module(case: Case) -> Network:
    """A module with the operator in it: optional operands are weights, so that layers hold them; sizes are free."""
    builder = Builder()
    builder.input("unused", 1)
    operands = {}
    for name, x in case.operands.items():
        if name in (*case.op.optional, "weight"):
            operands[name] = Param(f"op.{name}", type_of(x))
        else:
            free = case.free.get(name, ())
            sizes = [symbol(f"s{n}") if i in free and n != 1 else n for i, n in enumerate(x.shape)]
            operands[name] = builder.input(f"in_{name}", *sizes, dtype=type_of(x).dtype)
    graph = builder.output(y=builder.node(case.op, "op", **operands))
    return inference_module(graph, {f"op.{name}": x for name, x in case.operands.items()})


def run_module(case: Case) -> Tensor:
    module = as_module(case)
    given = {f"in_{name}": x for name, x in case.operands.items()}
    names = [port.name for port in module._program.ports][1:]
    return module(torch.zeros(1, dtype=torch.float64), *(given[name] for name in names))


def check(case: Case) -> None:
    expected = case.op.apply(TorchField(), case.operands)
    tolerance = SOFTPLUS_TOLERANCE if getattr(case.op, "function", "") in ("softplus", "mish") else TOLERANCE
    assert agree(as_text(case), expected, tolerance, least=1)
    assert agree(run_module(case), expected, tolerance, least=1)


def test_every_operator_has_a_lowering() -> None:
    """Inputs are given, and random numbers are for initial values only."""
    assert {*LOWERINGS, Input, Random} == set(OPERATORS)
    assert {*TRAINING, *LAYERS} <= set(LOWERINGS)
    assert set(values.FUNCTIONS) == set(FUNCTIONS)


@pytest.mark.parametrize("operator", LOWERINGS, ids=lambda operator: operator.name)
def test_a_lowering_computes_what_the_operator_means(operator: type[Operator]) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(CASES[operator])
    def every_case(case: Case) -> None:
        check(case)

    every_case()


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=2, deadline=None)
@given(st.data())
def test_a_function_computes_what_it_means(name: str, data: st.DataObject) -> None:
    check(data.draw(elementwise.function(name)))


def test_a_wrong_lowering_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.randn(1, 2, 6, dtype=torch.float64), torch.randn(3, 2, 3, dtype=torch.float64)
    case = Case(Conv((1,), ((1, 1),), (1,)), {"x": x, "weight": weight}, x)
    check(case)
    monkeypatch.setitem(LOWERINGS, Conv, lambda op, given: linear_lowerings.conv(replace(op, mode="reflect"), given))
    with pytest.raises(AssertionError):
        check(case)


@pytest.mark.parametrize(
    ("op", "shape", "text"),
    [
        (Reshape((B, 12)), (B, 3, 4), "x.flatten(1)"),
        (Reshape((B * 2, 6)), (B, 3, 4), "x.reshape(-1, 6)"),
        (Reshape((B, N, 2, 2)), (B, N, 4), "x.reshape(x.shape[0], x.shape[1], 2, 2)"),
        (Reshape((B * N, 4)), (B, N, 4), "x.reshape(-1, 4)"),
        (Reshape((B // 2 * 2, N)), (B // 2 * N, 2), "x.reshape(2 * (b // 2), n)"),
        (Expand((B, 3)), (1, 3), "x.expand(b, 3)"),
        (MaxPool((3,), (2,), ((1, 1),), (1,)), (1, 1, 8), "F.max_pool1d(x, kernel_size=3, stride=2, padding=1)"),
        (Pad(((0, 0), (0, 0), (1, 2)), "reflect"), (1, 1, 8), 'F.pad(x, (1, 2), mode="reflect")'),
        (Pad(((0, 0), (0, 0), (0, 0), (1, 2)), "constant"), (1, 1, 8, 8), "F.pad(x, (1, 2))"),
        (BatchNorm(Fraction(0)), (2, 3), "F.batch_norm(x, None, None, training=True, eps=0.0)"),
    ],
)
def test_text_is_what_a_person_writes(op: Operator, shape: tuple, text: str) -> None:
    assert lower(op, {"x": Value("x", TensorType(shape))}) == text


def test_padding_that_torch_lacks_is_refused_where_the_size_is_free() -> None:
    op = Pad(((0, 0), (1, 1), (0, 0), (0, 0), (0, 0)), "reflect")
    known, free = TensorType((2, 3, 4, 4, 4)), TensorType((2, symbol("c"), 4, 4, 4))
    assert lower(op, {"x": Value("x", known)}) == "x[:, [1, 0, 1, 2, 1]]"
    with pytest.raises(Failure, match="E723 torch cannot pad axis 1"):
        lower(op, {"x": Value("x", free)})
