"""N1 to N5 and shared values: sums and chains in a form that the algebra sees through."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repc.ir.foreign import Hole, TorchCall
from repc.ir.operator import Operator
from repc.ops import Concat, Detach, Dropout, Expand, Opaque, Pad, Permute, Reshape, Slice, Sum, build
from repc.ops.opaque import opaque_names
from repc.passes import fold
from tests.passes import draw as d
from tests.passes.build import EXACT, Net, folded

# ---------------------------------------------------------------- N1


@pytest.mark.parametrize(
    "op",
    [
        Dropout(0.3),
        Detach(),
        Reshape((2, 4, 6)),
        Permute((0, 1, 2)),
        Expand((2, 4, 6)),
        Slice(1, 0, 4),
        Pad(((0, 0),) * 3),
    ],
    ids=lambda op: op.name,
)
def test_the_identity_goes(op: Operator) -> None:
    net = Net()
    x = net.relu(net.input(2, 4, 6))
    found = folded(net.output(net.relu(net.node(op, x=x), "last")))
    assert found.count() == {"function": 2}
    assert found.error() == 0


def test_a_concatenation_of_one_goes_and_others_stay() -> None:
    net = Net()
    x = net.input(2, 4, 4)
    turned = net.node(Permute((0, 2, 1)), x=net.node(Concat(1), **{"0": x}))
    found = folded(net.output(net.relu(net.reshape(turned, 2, 2, 8))))
    assert found.count() == {"permute": 1, "reshape": 1, "function": 1}


def test_an_output_that_is_an_input_keeps_its_operator() -> None:
    net = Net()
    assert folded(net.output(net.node(Dropout(0.3), x=net.input(2, 4)))).count() == {"dropout": 1}


def test_the_name_of_a_sum_of_one_goes_to_what_it_summed() -> None:
    net = Net()
    y = net.sum(net.conv(net.input(2, 4, 6), "conv", 4, (3,)), path="merged", named=True)
    assert folded(net.output(y)).stored() == ["merged.bias", "merged.weight"]


# ---------------------------------------------------------------- N2


@d.quick
@given(st.data())
def test_chains_of_scales_and_shifts_become_one(data: st.DataObject) -> None:
    net = Net()
    y = net.relu(net.input(2, 4, 6))
    for i in range(data.draw(st.integers(2, 5))):
        y = d.affine(data.draw, net, y, f"affine{i}")
        y = net.sum(y, weights=[data.draw(st.sampled_from([1, -2]))], path=f"sum{i}")
    found = folded(net.output(y))
    assert found.count() == {"function": 1, "affine": 1}
    assert found.error() < EXACT


def test_two_numbers_and_a_shift_are_one_sum() -> None:
    net = Net()
    x = net.relu(net.input(2, 4, 6))
    y = net.sum(net.sum(x, weights=[3]), build.fill((), 2), weights=[-1, 1])
    found = folded(net.output(x, y))
    assert found.count() == {"function": 1, "sum": 1}
    assert found.error() < EXACT


def test_scales_on_two_axes_stay_two() -> None:
    net = Net()
    y = net.affine(net.affine(net.relu(net.input(2, 4, 6)), "a", 1), "b", 2)
    found = folded(net.output(y))
    assert found.count() == {"function": 1, "affine": 2}
    assert found.trace.refusals[-1].reason == "b acts on axis 2, a on 1"


# ---------------------------------------------------------------- N3


def test_nested_sums_flatten_and_equal_terms_add_up() -> None:
    net = Net()
    x = net.input(2, 4, 6)
    a, b = net.relu(x, "a"), net.relu(net.affine(x, "affine"), "b")
    inner = net.sum(a, b, net.param("c", 4, 1), path="inner", weights=[2, -1, 3])
    terms = (inner, a, inner, net.param("d"))
    found = folded(net.output(net.sum(*terms, path="outer", weights=[Fraction(1, 2), 1, 1, 1])))
    assert found.count() == {"affine": 1, "function": 2, "sum": 1}
    (total,) = (node for node in map(found.graph.__getitem__, found.graph) if node.op.name == "sum")
    assert total.op == Sum((Fraction(4), Fraction(-3, 2), Fraction(1)))
    assert list(total.weights) == ["2"]
    assert found.error() < EXACT


def test_a_number_times_a_constant_is_a_constant() -> None:
    net = d.Net()
    table = net.param("table", 4, 5, 7)
    inner = net.node(Sum((Fraction(2), Fraction(-3))), "inner", **{"0": net.relu(net.input(2, 4, 5, 7)), "1": table})
    found = folded(net.output(net.node(Sum((Fraction(5),)), "outer", **{"0": inner})))
    (total,) = [found.graph[id].op for id in found.graph if isinstance(found.graph[id].op, Sum)]
    assert isinstance(total, Sum)
    assert total.coefficients == (10, 1)
    assert found.error() < EXACT


def test_what_cancels_goes() -> None:
    net = Net()
    a, b = net.relu(net.input(2, 4, 6), "a"), net.relu(net.input(2, 4, 6, name="z"), "b")
    found = folded(net.output(net.sum(net.sum(a, b), a, path="outer", weights=[1, -1])))
    assert found.count() == {"function": 1}
    assert found.error() < EXACT


def test_what_cancels_stays_where_it_gives_the_shape() -> None:
    net = Net()
    wide, narrow = net.relu(net.input(2, 4, 6), "a"), net.relu(net.input(2, 4, 1, name="z"), "b")
    found = folded(net.output(net.sum(wide, narrow, wide, weights=[1, 1, -1])))
    assert found.count() == {"function": 2, "sum": 1}
    assert found.error() < EXACT


def test_a_sum_that_is_read_elsewhere_stays_itself() -> None:
    net = Net()
    a, b = net.relu(net.input(2, 4), "a"), net.relu(net.input(2, 4, name="z"), "b")
    inner = net.sum(a, b, path="inner")
    assert folded(net.output(net.sum(inner, a, path="outer"), inner)).count() == {"function": 2, "sum": 2}


# ---------------------------------------------------------------- N4


@d.quick
@given(st.data())
def test_scales_of_one_value_become_one(data: st.DataObject) -> None:
    net = Net()
    x = net.relu(net.input(2, 4, 6))
    terms = [x, *(d.affine(data.draw, net, x, f"affine{i}") for i in range(data.draw(st.integers(1, 3))))]
    y = net.sum(*terms, path="total", weights=[data.draw(st.sampled_from([1, -1, 3])) for _ in terms], named=True)
    found = folded(net.output(y))
    assert found.count() == {"function": 1, "affine": 1}
    assert set(found.stored()) <= {"total.weight", "total.bias"}
    assert found.error() < EXACT


def test_a_mixer_that_is_a_norm_disappears() -> None:
    """RIFormer: x + ls·(affine(n) − n) with n = norm(x) is x + a norm with other weights."""
    net = Net()
    x = net.input(2, 4, 6, 6)
    n = net.batch_norm(x, "norm", tracked=False)
    mixed = net.sum(net.affine(n, "affine"), n, path="mixer", weights=[1, -1])
    found = folded(net.output(net.sum(x, net.affine(mixed, "scale", shift=False), path="residual")))
    assert found.count() == {"batch_norm": 1, "sum": 1}
    assert found.error() < EXACT


# ---------------------------------------------------------------- N5 and shared values


@pytest.mark.parametrize("op", [Reshape((4, 12)), Permute((2, 0, 1))])
def test_what_is_moved_alike_is_added_first(op: Operator) -> None:
    net = Net()
    parts = [net.relu(net.input(2, 4, 6, name=name), f"{name}.relu") for name in "abc"]
    other = net.relu(net.input(*net.graph[net.node(op, x=parts[0])].type.shape, name="d"), "d.relu")
    terms = [net.node(op, x=part) for part in parts]
    found = folded(net.output(net.sum(other, *terms, weights=[1, 2, -3, Fraction(1, 2)])))
    assert found.count() == {"function": 4, "sum": 2, op.name: 1}
    assert found.error() < EXACT


def test_movement_of_other_types_stays() -> None:
    net = Net()
    a = net.reshape(net.relu(net.input(2, 4, 6, name="a"), "a.relu"), 48)
    b = net.reshape(net.relu(net.input(4, 12, name="b"), "b.relu"), 48)
    assert folded(net.output(net.sum(a, b))).count() == {"function": 2, "reshape": 2, "sum": 1}


def test_equal_movement_of_one_value_is_one_value() -> None:
    net = Net()
    x = net.input(2, 3, 8)
    branches = [net.linear(net.reshape(x, 6, 8), f"fc{i}", 5) for i in range(3)]
    found = folded(net.output(net.sum(*branches)))
    assert found.count() == {"reshape": 1, "linear": 1}
    assert found.error() < EXACT


def test_calls_that_nobody_knows_stay_apart() -> None:
    """They may be random; but the same result of the same call is one value."""
    net = Net()
    x = net.input(2, 3, 8)
    calls = [TorchCall("aten.rand_like.default", (Hole(0),), ("f32",), (net.graph[x].type,)) for _ in "ab"]
    drawn = [net.node(Opaque(call), "", **{"0": x}) for call in (*calls, calls[0])]
    graph, _ = fold(net.output(net.sum(*[net.relu(y, f"act{i}") for i, y in enumerate(drawn)])).graph)
    assert sorted(opaque_names(graph).values()) == ["aten.rand_like.default"] * 2


def test_what_no_output_needs_goes() -> None:
    net = Net()
    x = net.input(2, 4)
    net.relu(net.relu(x, "a"), "b")
    assert folded(net.output(net.linear(x, "fc", 3))).count() == {"linear": 1}
