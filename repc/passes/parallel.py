"""One linear operator in the place of several that run side by side: which one, and at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, prod

from repc.ir.expr import Expr
from repc.ops import build
from repc.passes.absorb import vector
from repc.passes.branches import Branch, Chain
from repc.passes.cost import FLOAT_BYTES, Cost, stored
from repc.passes.frames import Frame, Window, enclose, holds, same_for_all_sizes
from repc.passes.kernels import embed, regroup
from repc.passes.views import AffineView


@dataclass(frozen=True, eq=False, slots=True)
class Kernel:
    """A branch as a linear map: a weight with its frame and groups; `cost` is what it takes now.

    The weight and bias of operators in a row are blanks, which `parts` fills.
    """

    branch: Branch
    weight: Expr
    bias: Expr | None
    groups: int
    frame: Frame
    cost: Cost

    @property
    def diagonal(self) -> bool:
        """Whether it is the identity or its like, with no operator whose path and attributes could be kept."""
        return isinstance(self.branch.view, AffineView)

    @property
    def elements(self) -> int:
        return prod(self.weight.type.concrete())

    def parts(self) -> tuple[Expr, Expr | None]:
        """Weight and bias."""
        if not isinstance(self.branch.made, Chain):
            return self.weight, self.bias
        view = self.branch.made.whole()
        return view.weight, view.bias

    def fits(self, frame: Frame, groups: int) -> bool:
        """Whether a kernel with that frame and those groups can be this one."""
        return self.groups % groups == 0 and holds(frame, self.frame)

    def label(self) -> str:
        """``3x3``, with the dilation where there is one."""
        if self.diagonal:
            return "identity"
        taps = "x".join(str(window.taps) for window in self.frame) or "linear"
        wide = any(window.dilation > 1 for window in self.frame)
        return taps + (f" dilation {'x'.join(str(w.dilation) for w in self.frame)}" if wide else "")


def diagonal(branch: Branch, channels: int, rank: int) -> Kernel:
    """F4.  A scale and shift as the kernel of a convolution with `rank` spatial axes; a linear layer has none."""
    view = branch.view
    assert isinstance(view, AffineView)
    shape = (channels, 1, *([1] * rank))
    scale = build.fill(shape, 1) if view.scale is None else build.expand(view.scale, (channels,))
    shift = vector(view.shift, channels)
    # An elementwise map takes no multiply-adds; a scalar shift weighs what the bias does that it would become.
    cost = Cost(0, stored(part for part in (view.scale, shift) if part is not None), int(not branch.plain))
    return Kernel(branch, build.reshape(scale, shape), shift, channels, (Window(1),) * rank, cost)


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """Kernels that become one; it keeps the path and the other attributes of `base`."""

    members: tuple[Kernel, ...]
    base: Kernel
    frame: Frame
    groups: int

    def before(self) -> Cost:
        total = Cost()
        for member in self.members:
            total += member.cost
        return total

    def after(self) -> Cost:
        rows, columns, *_ = self.base.weight.type.concrete()
        elements = rows * columns * self.base.groups // self.groups * prod(window.taps for window in self.frame)
        bias = next((stored([m.bias]) for m in self.members if m.bias is not None), 0)
        return Cost(elements, FLOAT_BYTES * elements + bias, 1)

    def parts(self) -> tuple[Expr, Expr | None]:
        """The sum of the kernels, each with its taps and groups in their places, and of the biases."""
        weights, biases = list[tuple[Fraction, Expr]](), list[tuple[Fraction, Expr]]()
        for member in self.members:
            weight, bias = member.parts()
            placed = embed(regroup(weight, member.groups, self.groups), member.frame, self.frame)
            weights.append((member.branch.coefficient, placed))
            biases += [] if bias is None else [(member.branch.coefficient, bias)]
        return combined(weights), combined(biases) if biases else None

    def exact(self) -> bool:
        """Whether it holds for every size of the input, and not only for the one at hand."""
        return same_for_all_sizes([member.frame for member in self.members])

    def label(self) -> str:
        """``3x3 + 1x1 + identity``."""
        return " + ".join(member.label() for member in self.members)


def combined(terms: Iterable[tuple[Fraction, Expr]]) -> Expr:
    """The sum of the terms; a single one with the coefficient 1 is itself."""
    found = list(terms)
    return build.scale(found[0][1], found[0][0]) if len(found) == 1 else build.combine(found)


def plan(kernels: Sequence[Kernel], transposed: bool, objective: str) -> Plan:
    """The merge of as many of the kernels as the objective allows; it may still be dearer than they are.

    First all of them, in a frame that holds them all.  Where that is too dear, those that fit into the frame and groups
    of one of them, which costs nothing.
    """
    whole = _whole(kernels, transposed)
    if not whole.after().dearer(whole.before(), objective):
        return whole
    shapes: dict[tuple[Frame, int], Kernel] = {}
    for base in _bases(kernels):
        shapes.setdefault((base.frame, base.groups), base)
    subsets = [(base, [k for k in kernels if k.fits(*shape)]) for shape, base in shapes.items()]
    base, members = max(subsets, key=lambda subset: len(subset[1]))
    return Plan(tuple(members), base, base.frame, base.groups) if len(members) > 1 else whole


def _whole(kernels: Sequence[Kernel], transposed: bool) -> Plan:
    groups = gcd(*(kernel.groups for kernel in kernels))
    frames = list(dict.fromkeys(kernel.frame for kernel in kernels))
    holding = [frame for frame in frames if all(holds(frame, other) for other in frames)]
    bases = _bases(kernels)
    frame = min(holding, key=_taps) if holding else enclose(frames, transposed)
    base = next((k for k in bases if (k.frame, k.groups) == (frame, groups)), max(bases, key=lambda k: k.elements))
    return Plan(tuple(kernels), base, frame, groups)


def _bases(kernels: Sequence[Kernel]) -> list[Kernel]:
    return [kernel for kernel in kernels if not kernel.diagonal]


def _taps(frame: Frame) -> int:
    return prod(window.taps for window in frame)
