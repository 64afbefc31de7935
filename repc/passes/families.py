"""Branches of one source that could be one linear operator, and the operator that they become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from repc.ir.types import TensorType
from repc.passes.branches import Branch, Chain, unshared
from repc.passes.parallel import Kernel, Plan, diagonal
from repc.passes.views import AffineView, LinearView
from repc.passes.workspace import Workspace


def families(work: Workspace, group: Sequence[Branch]) -> Iterator[tuple[list[Kernel], bool]]:
    """The branches of one source that could be one operator, as kernels; and whether it is a transposed one."""
    linears = [branch for branch in group if isinstance(branch.made, Chain)]
    kinds = dict.fromkeys(_kind(work, branch) for branch in linears)
    for kind in kinds:
        alike = [branch for branch in linears if _kind(work, branch) == kind]
        for mode in dict.fromkeys(_mode(branch) for branch in alike if _mode(branch)) or (None,):
            same = [branch for branch in alike if _mode(branch) in (None, mode)]
            same.sort(key=lambda branch: _distance(work, branch))
            fitting = [branch for branch in group if _fits(work, branch, same[0])]
            members = unshared(work, [*same, *fitting])
            bases = [branch for branch in members if isinstance(branch.made, Chain)]
            if bases and len(members) > 1:
                yield [_kernel(branch, _linear(bases[0])) for branch in members], _linear(bases[0]).transposed


def merged(plan: Plan) -> LinearView:
    """The operator that the kernels of a plan become."""
    view = _linear(plan.base.branch)
    modes = (kernel.branch.view.mode for kernel in plan.members if isinstance(kernel.branch.view, LinearView))
    op = view.operator(plan.groups, plan.frame, next((mode for mode in modes if mode), None))
    weight, bias = plan.parts()
    return LinearView(view.source, op, weight, bias, view.channel_axis)


def _distance(work: Workspace, branch: Branch) -> tuple[bool, int]:
    """How far a branch is from being a single operator with a stored kernel, whose name the merged one should keep."""
    return isinstance(branch.made, Chain) and work.linear(branch.made.base) is None, len(branch.nodes)


def _linear(branch: Branch) -> LinearView:
    assert isinstance(branch.view, LinearView)
    return branch.view


def _kind(work: Workspace, branch: Branch) -> tuple[type, tuple[int, ...], TensorType]:
    view = _linear(branch)
    return type(view.op), view.stride, work.graph[branch.id].type


def _mode(branch: Branch) -> str | None:
    return _linear(branch).mode


def _fits(work: Workspace, branch: Branch, base: Branch) -> bool:
    """Whether an affine branch is a convolution with one tap like the base."""
    view, beside = branch.view, _linear(base)
    if not isinstance(view, AffineView):
        return False
    types = {work.graph[id].type for id in (branch.id, branch.source, base.id)}
    return len(types) == 1 and set(beside.stride) <= {1} and view.axis in (None, beside.channel_axis)


def _kernel(branch: Branch, base: LinearView) -> Kernel:
    view, made = branch.view, branch.made
    if not isinstance(view, LinearView) or not isinstance(made, Chain):
        return diagonal(branch, base.out_channels, len(base.frame))
    return Kernel(branch, view.weight, view.bias, view.groups, view.frame, made.cost)
