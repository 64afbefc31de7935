"""What must not fold, and what is said about it: the edge, the reason and the remedy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from repc.ir.foreign import Hole, TorchCall
from repc.ops import Concat, Multiply, Opaque
from tests.passes.build import Folded, Net, folded


def image(net: Net) -> int:
    return net.input(2, 6, 13, 18)


def relu_between(net: Net) -> int:
    return net.batch_norm(net.relu(net.conv(image(net), "stage1.conv", 6), "stage1.relu"), "stage1.bn")


def opaque_between(net: Net) -> int:
    y = net.conv(image(net), "stage1.conv", 6)
    type = net.graph[y].type
    call = TorchCall("aten.sinc.default", (Hole(0),), ("f32",), (type,))
    return net.batch_norm(net.node(Opaque(call), "stage1.act", **{"0": y}), "stage1.bn")


def read_twice(net: Net) -> int:
    y = net.conv(image(net), "conv", 6)
    return net.sum(net.batch_norm(y, "bn"), net.relu(y), path="sum")


def an_output(net: Net) -> tuple[int, int]:
    y = net.conv(image(net), "conv", 6)
    return y, net.batch_norm(y, "bn")


def tied(net: Net) -> int:
    x = image(net)
    first = net.conv(x, "first", 6, padding=1)
    second = net.conv(net.relu(x), "second", 6, padding=1, weight=net.graph[first].weights["weight"])
    return net.sum(net.batch_norm(first, "bn"), second)


def untracked(net: Net) -> int:
    return net.batch_norm(net.conv(image(net), "conv", 6), "bn", tracked=False)


def border(net: Net) -> int:
    return net.conv(net.batch_norm(image(net), "bn"), "conv", 8, padding=1)


def transposed_border(net: Net) -> int:
    return net.conv_transpose(net.batch_norm(image(net), "bn"), "conv", 8)


def tokens(net: Net) -> int:
    return net.batch_norm(net.linear(net.input(2, 5, 24), "fc", 16), "bn")


def gated(net: Net) -> int:
    x = image(net)
    gate = net.relu(net.conv(x, "gate", 6), "act")
    return net.batch_norm(net.node(Multiply(), "mul", a=net.conv(x, "conv", 6), b=gate), "bn")


def lonely(net: Net) -> int:
    return net.batch_norm(net.relu(image(net)), "bn")


def spread_channels(net: Net) -> int:
    y = net.linear(net.input(2, 6, 4), "fc", 8)
    return net.affine(net.reshape(y, 2, 2, 24), "affine", 2)


def modes(net: Net) -> int:
    x = image(net)
    return net.sum(net.conv(x, "a", 6, padding=1, mode="reflect"), net.conv(x, "b", 6, padding=1))


def strides(net: Net) -> int:
    x = net.input(2, 6, 1, 1)
    return net.sum(net.conv(x, "a", 6, (1, 1), stride=2), net.conv(x, "b", 6, (1, 1)))


def kinds(net: Net) -> int:
    x = image(net)
    cut = net.conv_transpose(x, "b", 6, (1, 1), padding=[(1, 1), (1, 1)])
    return net.sum(net.conv(x, "a", 6, (3, 3)), cut)


def strided_identity(net: Net) -> int:
    x = net.input(2, 6, 1, 1)
    return net.sum(net.conv(x, "a", 6, (1, 1), stride=2), x)


def other_axis(net: Net) -> int:
    x = image(net)
    return net.sum(net.conv(x, "a", 6, padding=1), net.affine(x, "affine", 3))


def two_sources(net: Net) -> int:
    x = image(net)
    return net.sum(net.conv(x, "a", 6, padding=1), net.conv(net.relu(x, "act"), "b", 6, padding=1))


def residual(net: Net) -> int:
    x = image(net)
    return net.sum(x, net.conv(net.relu(net.conv(x, "fc1", 6, (1, 1)), "act"), "fc2", 6, (1, 1)))


def nonlinear_branch(net: Net) -> int:
    x = image(net)
    return net.sum(net.conv(x, "a", 6, padding=1), net.relu(x, "act"))


def branch_read_twice(net: Net) -> tuple[int, int]:
    x = image(net)
    a = net.conv(x, "a", 6, padding=1)
    return net.sum(a, net.conv(x, "b", 6, padding=1)), net.relu(a)


def tied_branch(net: Net) -> tuple[int, int]:
    x = image(net)
    a = net.conv(x, "a", 6, padding=1)
    y = net.sum(a, net.conv(x, "b", 6, padding=1))
    return y, net.conv(net.relu(x), "other", 6, weight=net.graph[a].weights["weight"])


def part_cannot(net: Net) -> int:
    x = image(net)
    both = {"0": net.conv(x, "conv", 6, (1, 1)), "1": net.relu(x, "act")}
    return net.batch_norm(net.node(Concat(1), "cat", **both), "bn")


def term_is_input(net: Net) -> int:
    x = image(net)
    return net.batch_norm(net.sum(net.conv(net.relu(x), "conv", 6, (1, 1)), x, path="sum"), "bn")


def one_reader_cannot(net: Net) -> tuple[int, int]:
    y = net.batch_norm(image(net), "bn")
    return net.conv(y, "conv", 6), net.relu(y, "act")


def reader_is_output(net: Net) -> tuple[int, int]:
    y = net.batch_norm(image(net), "bn")
    return net.conv(y, "conv", 6), y


def reader_is_tied(net: Net) -> int:
    conv = net.conv(net.batch_norm(image(net), "bn"), "conv", 6, (1, 1))
    return net.conv(net.relu(conv), "other", 6, (1, 1), weight=net.graph[conv].weights["weight"])


Said = tuple[str, str, str, str]
CASES: dict[Callable[[Net], int | tuple[int, ...]], Said] = {
    relu_between: (
        "F1",
        "stage1.conv -> stage1.relu -> stage1.bn",
        "stage1.relu is not linear",
        "fold on its own side of the nonlinearity",
    ),
    opaque_between: (
        "F1",
        "stage1.conv -> stage1.act/sinc -> stage1.bn",
        "stage1.act/sinc is the opaque operator aten.sinc.default",
        "fold on its own side of it",
    ),
    read_twice: (
        "F1",
        "conv -> bn",
        "conv is read by bn and by relu",
        "let each have an operator of its own, or fold neither",
    ),
    an_output: (
        "F1",
        "conv -> bn",
        "conv is read by bn and by output y0",
        "let each have an operator of its own, or fold neither",
    ),
    tied: (
        "F1",
        "first -> bn",
        "first.weight is shared by first and second, and folding would untie it",
        "untie the weight, or treat all its uses alike",
    ),
    untracked: (
        "F1",
        "conv -> bn",
        "bn has no running statistics, so that its scale depends on the batch",
        "track running statistics",
    ),
    border: (
        "F2",
        "bn -> conv",
        "conv reads zeros beyond the border, where bn would have put its shift; "
        "up to 1 from the border the result would be wrong",
        "pad before it, or with the value that it makes of zero, or pin the sizes and set border_maps = true",
    ),
    transposed_border: (
        "F2",
        "bn -> conv",
        "not every output of conv reads the shift of bn through every tap",
        "shift after it, or only scale, or pin the sizes and set border_maps = true",
    ),
    tokens: (
        "F1",
        "fc -> bn",
        "bn acts on axis 1, and the channels of fc are axis 2",
        "permute the channels onto that axis",
    ),
    gated: (
        "F1",
        "conv -> mul/multiply -> bn",
        "mul/multiply multiplies by a gate that is computed from the input",
        "a gate is no constant; fold beside it",
    ),
    lonely: (
        "F1",
        "relu -> bn",
        "no linear operator next to bn can take it in",
        "place it right before or after a convolution or linear layer",
    ),
    spread_channels: (
        "F1",
        "fc -> reshape -> affine",
        "affine does not act on the output channels of fc",
        "permute the channels onto that axis",
    ),
    part_cannot: (
        "F1",
        "act/relu -> cat/concat -> bn",
        "act/relu is not linear",
        "fold on its own side of the nonlinearity",
    ),
    term_is_input: (
        "F1",
        "x -> sum -> bn",
        "x is an input",
        "fold on the side of what is computed",
    ),
    one_reader_cannot: (
        "F2",
        "bn -> act/relu",
        "bn is read by conv and by act/relu",
        "let each have an operator of its own, or fold neither",
    ),
    reader_is_output: (
        "F2",
        "bn",
        "bn is read by conv and by output y1",
        "let each have an operator of its own, or fold neither",
    ),
    reader_is_tied: (
        "F2",
        "bn -> conv",
        "conv.weight is shared by conv and other, and folding would untie it",
        "untie the weight, or treat all its uses alike",
    ),
    modes: (
        "F3",
        "x -> b -> sum",
        "a and b pad differently, reflect and constant",
        "use one padding mode in all branches",
    ),
    strides: (
        "F3",
        "x -> b -> sum",
        "a and b have different strides, [2, 2] and [1, 1]",
        "use one stride in all branches",
    ),
    kinds: (
        "F3",
        "x -> b -> sum",
        "a and b are of two kinds, conv and conv_transpose",
        "use one kind in all branches",
    ),
    strided_identity: (
        "F3",
        "x -> a -> sum",
        "a and x have different strides",
        "give the identity the same stride",
    ),
    other_axis: (
        "F3",
        "x -> affine -> sum",
        "a and affine act on different axes",
        "permute the channels onto one axis",
    ),
    two_sources: (
        "F3",
        "act/relu -> b -> sum",
        "a reads x and b reads act/relu",
        "only branches of one value merge",
    ),
    residual: (
        "F3",
        "x -> fc1 -> act/relu -> fc2 -> sum",
        "fc2 reads act/relu, not x",
        "only branches of one value merge",
    ),
    nonlinear_branch: (
        "F3",
        "x -> act/relu -> sum",
        "act/relu is not linear",
        "fold on its own side of the nonlinearity",
    ),
    branch_read_twice: (
        "F3",
        "a -> sum",
        "a is read by sum and by relu",
        "let each have an operator of its own, or fold neither",
    ),
    tied_branch: (
        "F3",
        "x -> a -> sum",
        "a.weight is shared by a and other, and folding would untie it",
        "untie the weight, or treat all its uses alike",
    ),
}


def fold_network(make: Callable[[Net], int | tuple[int, ...]], **options: object) -> Folded:
    net = Net()
    made = make(net)
    return folded(net.output(*(made if isinstance(made, tuple) else (made,))), **options)


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_it_is_refused_in_words(make: Callable[[Net], int | tuple[int, ...]]) -> None:
    found = fold_network(make)
    assert CASES[make] in [(r.rule, r.edge, r.reason, r.remedy) for r in found.trace.refusals]
    assert all(refusal.origin for refusal in found.trace.refusals)
    assert found.trace.steps == []
    assert found.error() == 0


def test_a_branch_that_is_read_elsewhere_leaves_the_others_to_merge() -> None:
    net = Net()
    x = image(net)
    a, b, c = (net.conv(x, name, 6, padding=1) for name in "abc")
    found = folded(net.output(net.sum(a, b, c), net.relu(a)))
    assert found.count() == {"conv": 2, "sum": 1, "function": 1}
    assert [step.absorbed for step in found.trace.steps] == [("c",)]


def test_composition_with_a_padded_intermediate_stays_two() -> None:
    net = Net()
    found = folded(net.output(net.conv(net.conv(image(net), "a", 6, (1, 1)), "b", 6, padding=1)))
    assert found.count() == {"conv": 2}


def test_a_shared_tensor_is_called_by_its_own_name() -> None:
    net = Net()
    x, weight = image(net), net.param("W", 6, 6, 3, 3)
    first = net.conv(x, "first", 6, weight=weight)
    (refusal,) = folded(
        net.output(net.batch_norm(first, "bn"), net.conv(net.relu(x), "b", 6, weight=weight))
    ).trace.refusals
    assert refusal.reason == "W is shared by first and b, and folding would untie it"


def test_a_weight_that_loses_its_second_reader_is_free() -> None:
    """The norm comes first, and is refused until the branch that shares the weight cancels."""
    net = Net()
    x, weight = image(net), net.param("W", 6, 6, 1, 1)
    first = net.batch_norm(net.conv(x, "first", 6, (1, 1), weight=weight), "bn")
    other = net.relu(x, "act")
    branch = net.conv(other, "branch", 6, (1, 1), bias=False, weight=weight)
    found = folded(net.output(first, net.sum(branch, branch, other, weights=[1, -1, 1])))
    assert found.count() == {"conv": 1, "function": 1}


def test_one_weight_in_two_branches_of_one_sum_is_no_hindrance() -> None:
    net = Net()
    x = image(net)
    first = net.conv(x, "first", 6, padding=1)
    second = net.conv(x, "second", 6, padding=2, dilation=2, weight=net.graph[first].weights["weight"])
    assert folded(net.output(net.sum(first, second)), objective="operators").count() == {"conv": 1}
