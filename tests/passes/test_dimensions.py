"""Every rule in one, two and three dimensions, and transposed where that exists: the table of what is covered.

Each cell is a network with rectangular kernels, strides and groups on which the rule applies; random geometry is in the
tests of the rules themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest

from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ops import AvgPool, Binary, Cast, Concat, LayerNorm, Permute
from repc.passes import catalogue
from repc.verify import certify
from tests.passes.build import EPS, EXACT, Net, folded

SIZES = (7, 6, 5)
KERNEL = (3, 2, 1)
Build = Callable[[Net, int, bool], int]


def image(net: Net, rank: int, channels: int = 4) -> int:
    return net.input(2, channels, *SIZES[:rank])


def conv(net: Net, x: int, path: str, rank: int, transposed: bool, out: int = 4, point: bool = False) -> int:
    """With stride 2 and two groups, or pointwise."""
    kernel = (1,) * rank if point else KERNEL[:rank]
    stride, groups = (1, 1) if point else (2, 2)
    if transposed:
        return net.conv_transpose(x, path, out, kernel, stride=stride, groups=groups)
    return net.conv(x, path, out, kernel, stride=stride, groups=groups)


def same(net: Net, x: int, path: str, rank: int, transposed: bool) -> int:
    """One that keeps the size."""
    make = net.conv_transpose if transposed else net.conv
    return make(x, path, 4, (3,) * rank, padding=1, groups=2)


def f1(net: Net, rank: int, transposed: bool) -> int:
    return net.batch_norm(conv(net, image(net, rank), "conv", rank, transposed), "bn")


def f2(net: Net, rank: int, transposed: bool) -> int:
    """A shift behind which a transposed convolution does not read everything only passes scaled."""
    return conv(net, net.affine(image(net, rank), "affine", shift=not transposed), "conv", rank, transposed)


def f3(net: Net, rank: int, transposed: bool) -> int:
    x = image(net, rank)
    terms = (conv(net, x, path, rank, transposed) for path in "ab")
    return net.sum(*terms, weights=[Fraction(1, 3), Fraction(-2)])


def f4(net: Net, rank: int, transposed: bool) -> int:
    x = image(net, rank)
    return net.sum(same(net, x, "conv", rank, transposed), net.batch_norm(x, "bn"))


def f5(net: Net, rank: int, transposed: bool) -> int:
    return conv(net, conv(net, image(net, rank), "a", rank, transposed), "b", rank, transposed, 2, point=True)


def f6(net: Net, rank: int, transposed: bool) -> int:
    x = image(net, rank)
    pool = AvgPool((3,) * rank, (1,) * rank, ((1, 1),) * rank, False, True)
    return net.sum(same(net, x, "conv", rank, False), net.node(pool, "pool", x=x))


def f7(net: Net, rank: int, transposed: bool) -> int:
    x = net.input(2, 2, *SIZES[:rank])
    tile = 2
    for size in SIZES[:rank]:
        tile *= size
    layer = net.reshape(net.linear(net.reshape(x, 2, tile), "fc", tile), 2, 2, *SIZES[:rank])
    return net.sum(layer, net.conv(x, "conv", 2, (3,) * rank, padding=1))


def f8(net: Net, rank: int, transposed: bool) -> int:
    x = net.input(2, *SIZES[:rank], 4)
    return net.affine(net.node(LayerNorm(1, EPS), "norm", x=x), "affine", rank + 1)


def f9(net: Net, rank: int, transposed: bool) -> int:
    """Channels last, a norm, and back to a convolution."""
    x = net.input(2, *SIZES[:rank], 4)
    parts = {name: net.param(f"norm.{name}", 4) for name in ("weight", "bias")}
    if transposed:
        del parts["bias"]
    y = net.node(LayerNorm(1, EPS), "norm", x=x, **parts)
    y = net.node(Permute((0, rank + 1, *range(1, rank + 1))), "permute", x=y)
    return conv(net, y, "conv", rank, transposed)


def f12(net: Net, rank: int, transposed: bool) -> int:
    y = conv(net, image(net, rank), "conv", rank, transposed)
    y = net.affine(net.relu(y), "scale", shift=False)
    net.values["scale.weight"].abs_()
    return y


def f13(net: Net, rank: int, transposed: bool) -> int:
    make = net.conv_transpose if transposed else net.conv
    y = net.relu(make(image(net, rank), "first", 6, KERNEL[:rank]))
    net.values["first.weight"].select(int(transposed), 2).zero_()
    net.values["first.bias"][2] = -0.5 if transposed else 0.5  # what a transposed one reads has to be zero
    return make(y, "second", 3, KERNEL[:rank])


def f14(net: Net, rank: int, transposed: bool) -> int:
    x = image(net, rank)
    make = net.conv_transpose if transposed else net.conv
    parts = {str(i): make(x, path, 3, KERNEL[:rank], stride=2) for i, path in enumerate("ab")}
    return net.node(Concat(1), "cat", **parts)


def f16(net: Net, rank: int, transposed: bool) -> int:
    y = net.conv(image(net, rank), "a", 2, (1,) * rank)
    return net.conv(y, "b", 2, (3,) * rank, padding=1)


def f17(net: Net, rank: int, transposed: bool) -> int:
    y = net.batch_norm(net.relu(image(net, rank)), "bn")
    fired = net.node(Binary("greater"), "fire", a=y, b=net.param("threshold", 4, *[1] * rank))
    return net.node(Cast("f32"), x=fired)


def f18(net: Net, rank: int, transposed: bool) -> int:
    x = image(net, rank)
    make = net.conv_transpose if transposed else net.conv
    hidden = (make(x, f"{i}.up", 3 + i, KERNEL[:rank], stride=2) for i in range(2))
    ends = [make(net.relu(y), f"{i}.down", 4, KERNEL[:rank]) for i, y in enumerate(hidden)]
    return net.sum(*ends, weights=[Fraction(2), Fraction(-3)])


EITHER, PLAIN = (False, True), (False,)
TABLE: dict[str, tuple[Build, Sequence[bool], dict[str, object]]] = {
    "F1": (f1, EITHER, {}),
    "F2": (f2, EITHER, {}),
    "F3": (f3, EITHER, {}),
    "F4": (f4, EITHER, {}),
    "F5": (f5, EITHER, {"objective": "operators"}),
    "F6": (f6, PLAIN, {}),
    "F7": (f7, PLAIN, {"objective": "operators"}),
    "F8": (f8, PLAIN, {}),
    "F9": (f9, EITHER, {}),
    "F12": (f12, EITHER, {}),
    "F13": (f13, EITHER, {}),
    "F14": (f14, EITHER, {}),
    "F16": (f16, PLAIN, {"border_maps": True, "objective": "operators"}),
    "F17": (f17, PLAIN, {}),
    "F18": (f18, EITHER, {}),
}
"""Rule → a network on which it applies, whether transposed, and options.  No convolution takes part in the others."""
OTHERS = {"F10", "N1", "N2", "N3", "N4", "N5", "N6"}
CELLS = [
    (rule, rank, transposed) for rule, (_, kinds, _) in TABLE.items() for rank in (1, 2, 3) for transposed in kinds
]


def test_every_rule_is_in_the_table() -> None:
    assert TABLE.keys() | OTHERS == catalogue().keys()


@pytest.mark.parametrize(("rule", "rank", "transposed"), CELLS)
def test_it_applies(rule: str, rank: int, transposed: bool) -> None:
    build, _, options = TABLE[rule]
    net = Net()
    net.output(build(net, rank, transposed))
    if rule in ("F12", "F13"):
        values = net.values
        options = {"values": lambda expr: evaluate({"": expr}, TorchField(), values)[""].flatten().tolist()}
    found = folded(net, **options)
    assert rule in found.rules()
    assert found.error() < EXACT
    assert certify(net.graph, found.graph, found.trace.steps)
