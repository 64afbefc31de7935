"""How long folding takes as networks grow: `make scaling`.

Networks of 1,000 and of 10,000 operators in several shapes are folded; the graph is there before the clock starts, and
proof and weights are not part of it.  The table goes into benchmarks/README.md.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from itertools import count

from benchmarks.readme import write_section
from repc.ir.collection import uninterrupted
from repc.ops import Concat
from repc.passes import fold
from tests.passes.build import Net

SIZES = (1000, 10000)
ROUNDS = 2
LIMIT = 30.0


def chain(operators: int) -> Net:
    """Convolution, norm, relu, again and again."""
    net = Net()
    x = net.input(1, 2, 5, 5)
    for i in range(operators // 3):
        y = net.conv(x, f"{i}.conv", 2, padding=1, bias=False)
        x = net.relu(net.batch_norm(y, f"{i}.bn"), f"{i}.act")
    return net.output(x)


def linear(operators: int) -> Net:
    """Linear layers in a row, which are one."""
    net = Net()
    x = net.input(2, 4)
    for i in range(operators):
        x = net.linear(x, f"{i}", 4)
    return net.output(x)


def points(operators: int) -> Net:
    """1 x 1 convolutions and norms in a row, which are one."""
    net = Net()
    x = net.input(1, 3, 5, 5)
    for i in range(operators // 2):
        x = net.batch_norm(net.conv(x, f"{i}.conv", 3, (1, 1)), f"{i}.bn")
    return net.output(x)


def apart(operators: int) -> Net:
    """Rows and columns in a row, of which no two are cheaper as one."""
    net = Net()
    x = net.input(1, 2, 4 * operators, 4 * operators)
    for i in range(operators):
        x = net.conv(x, f"{i}", 2, (1, 5) if i % 2 else (5, 1), groups=2)
    return net.output(x)


def wide(operators: int) -> Net:
    """One sum of convolutions with norms, all of one value."""
    net = Net()
    x = net.input(1, 2, 5, 5)
    branches = range(operators // 2)
    return net.output(net.sum(*(net.batch_norm(net.conv(x, f"{i}", 2, padding=1), f"{i}.bn") for i in branches)))


def parallel(operators: int) -> Net:
    """Convolutions of one value, each with a norm and a relu, side by side."""
    net = Net()
    x = net.input(1, 2, 5, 5)
    branches = range(operators // 3)
    ends = (net.relu(net.batch_norm(net.conv(x, f"{i}", 2), f"{i}.bn"), f"{i}.act") for i in branches)
    return net.output(net.node(Concat(1), "cat", **{str(i): part for i, part in enumerate(ends)}))


def stacked(operators: int) -> Net:
    """Convolutions of one value, concatenated."""
    net = Net()
    x = net.input(1, 2, 5, 5)
    branches = (net.batch_norm(net.conv(x, f"{i}", 2), f"{i}.bn") for i in range(operators // 2))
    return net.output(net.node(Concat(1), "cat", **{str(i): part for i, part in enumerate(branches)}))


def blocks(operators: int) -> Net:
    """RepVGG's block."""
    net = Net()
    x = net.input(1, 2, 5, 5)
    for i in range(operators // 7):
        dense = net.batch_norm(net.conv(x, f"{i}.dense", 2, padding=1, bias=False), f"{i}.dense.bn")
        point = net.batch_norm(net.conv(x, f"{i}.point", 2, (1, 1), bias=False), f"{i}.point.bn")
        x = net.relu(net.sum(dense, point, net.batch_norm(x, f"{i}.bn"), path=f"{i}"), f"{i}.act")
    return net.output(x)


def residual(operators: int) -> Net:
    """A stream that every block adds to."""
    net = Net()
    x = net.input(1, 2, 5, 5)
    for i in range(operators // 6):
        y = net.relu(net.batch_norm(net.conv(x, f"{i}.a", 2, padding=1, bias=False), f"{i}.bn"), f"{i}.act")
        x = net.sum(x, net.affine(net.conv(y, f"{i}.b", 2, padding=1), f"{i}.scale", shift=False), path=f"{i}")
    return net.output(x)


def nested(operators: int) -> Net:
    """Residual branches inside each other, all linear, which are one."""
    net, number = Net(), count()

    def branch(x: int, left: int) -> int:
        path = f"{next(number)}"
        if left < 4:
            return net.batch_norm(net.conv(x, path, 2, (1, 1)), f"{path}.bn")
        inner = branch(branch(x, (left - 1) // 2), (left - 1) // 2)
        return net.sum(x, inner, path=f"{path}.sum")

    return net.output(branch(net.input(1, 2, 5, 5), operators))


def skips(operators: int) -> Net:
    """Every fourth value is added again far behind: U-shaped."""
    net = Net()
    x, kept = net.input(1, 2, 5, 5), list[int]()
    for i in range(operators // 8):
        x = net.relu(net.batch_norm(net.conv(x, f"down.{i}", 2, padding=1), f"down.{i}.bn"), f"down.{i}.act")
        kept.append(x)
    for i, skip in enumerate(reversed(kept)):
        y = net.batch_norm(net.conv(x, f"up.{i}", 2, padding=1), f"up.{i}.bn")
        x = net.relu(net.sum(y, net.conv(skip, f"skip.{i}", 2, (1, 1)), path=f"up.{i}.sum"), f"up.{i}.act")
    return net.output(x)


SHAPES = (chain, linear, points, apart, wide, parallel, stacked, blocks, residual, nested, skips)


def measured(make: Callable[[int], Net], operators: int) -> tuple[int, int, float]:
    """Operators before and after, and seconds of processor time, the least of some rounds."""
    with uninterrupted():
        net = make(operators)
        before = len(net.graph) - 1
        best, after = float("inf"), 0
        for _ in range(ROUNDS):
            started = time.process_time()
            graph, _ = fold(net.graph)
            best, after = min(best, time.process_time() - started), len(graph) - 1
    return before, after, best


def main() -> None:
    lines = [
        "Made by `make scaling`: seconds of processor time to fold a graph, without weights and proof. The last column",
        "is how many times as long ten times the operators take; 10 is linear.",
        "",
        f"| network | operators | left | {SIZES[0]:,} | {SIZES[1]:,} | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for make in SHAPES:
        small, large = (measured(make, size) for size in SIZES)
        ratio = large[2] / small[2] * small[0] / large[0] * SIZES[1] / SIZES[0]
        what = (make.__doc__ or "").rstrip(".")
        lines.append(f"| {what} | {large[0]:,} | {large[1]:,} | {small[2]:.2f} s | {large[2]:.1f} s | {ratio:.1f} |")
        print(lines[-1], flush=True)
        assert large[2] < LIMIT, f"{make.__name__} takes {large[2]:.0f} s"
    lines += ["", f"Python {platform.python_version()}, one thread."]
    if "--dry" not in sys.argv:
        write_section("scaling", "\n".join(lines))


if __name__ == "__main__":
    main()
