"""F7: a convolution at a pinned size as a linear layer over all its elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import gcd, prod

from repc.ir.dims import Shape
from repc.ir.expr import Expr, apply
from repc.ir.node import Node, NodeId
from repc.ir.trace import Refusal, Step
from repc.ops import build
from repc.ops.arithmetic import Sum
from repc.ops.conv import Conv
from repc.ops.linear import Linear
from repc.ops.shape import Reshape
from repc.passes.branches import Branch, Chain, unshared
from repc.passes.chains import views
from repc.passes.cost import FLOAT_BYTES, Cost, stored
from repc.passes.kernels import regroup
from repc.passes.legality import pinned
from repc.passes.parallel import diagonal
from repc.passes.rule import Rule
from repc.passes.terms import Terms, sum_node, terms
from repc.passes.views import AffineView, LinearView
from repc.passes.workspace import Workspace


@dataclass(frozen=True, eq=False, slots=True)
class Matrix:
    """A term ``outer(linear(inner(x)))``: all elements of x in one axis, a pointwise layer, and back."""

    inner: NodeId
    linear: NodeId
    outer: NodeId
    view: LinearView


@dataclass(frozen=True, eq=False, slots=True)
class MatrixMatch:
    subject: NodeId
    matrix: Matrix
    members: tuple[Branch, ...]
    before: Cost
    after: Cost


class ConvAsLinear(Rule[MatrixMatch]):
    """Turn convolutions beside a linear layer over all elements of the same value into such layers, to be merged.

    Identity: ``vec(conv(x, K, b)) = M·vec(x) + b ⊗ 1``, where the columns of M are the convolution of the identity
    basis and the bias recurs at each position; groups of channels stay groups of elements.

    Precondition: the spatial size is pinned; a linear layer over the same elements stands in the same sum, so that M
    costs nothing; the layer's groups are whole channels, and divide those of the convolution.

    Trap: the convolution pads at the edges of the tile that the layer sees, not at those of the feature map; a scale
    per channel recurs at every position of that channel.

    Source: Ding et al. 2022 (RepMLPNet), arXiv:2112.11081, section 3.3, locality injection.
    """

    id = "F7"

    def match(self, work: Workspace, id: NodeId) -> MatrixMatch | None:
        node = work.graph[id]
        if not isinstance(node.op, Sum) or len(node.inputs) < 2 or work.kept(id):
            return None
        branches = views(work, id, terms(node).activations)
        for branch in branches:
            matrix = _matrix(work, id, branch.id)
            if matrix is not None:
                source = work.graph[matrix.inner].inputs[0]
                members = [b for b in branches if b.source == source and _convolves(work, b, node)]
                members = unshared(work, members)
                if members:
                    return _weighed(work, id, matrix, members)
        return None

    def check(self, work: Workspace, match: MatrixMatch) -> Refusal | None:
        if match.after.dearer(match.before, work.options.objective_at(work.graph[match.subject].path)):
            reason = f"one linear layer over all elements would cost {match.after.against(match.before)}"
            edge = (match.matrix.linear, match.matrix.outer, match.subject)
            return work.refusal(self.id, edge, match.subject, reason, "set objective = operators to merge anyway")
        return pinned(work, self.id, (match.matrix.linear, match.matrix.outer, match.subject))

    def rewrite(self, work: Workspace, match: MatrixMatch) -> list[Step]:
        node = work.graph[match.subject]
        found = terms(node)
        turned: dict[NodeId, NodeId] = {}
        steps: list[Step] = []
        for branch in match.members:
            name, label = work.name(branch.id), _label(branch)
            turned[branch.id] = _as_linear(work, match.matrix, branch)
            path = work.graph[match.matrix.linear].path
            steps.append(Step(self.id, path, (name,), label, "pinned", work.graph[branch.id].origin))
        activations = tuple((coefficient, turned.get(id, id)) for coefficient, id in found.activations)
        work.replace(match.subject, sum_node(node, Terms(activations, found.constants)))
        return steps


def _matrix(work: Workspace, sum_id: NodeId, outer: NodeId) -> Matrix | None:
    """The term `outer` of a sum as a layer over all elements of some value (n, c, spatial…)."""
    back = work.graph[outer]
    # A term that the sum broadcasts makes other elements than the convolutions beside it.
    if not isinstance(back.op, Reshape) or back.type != work.graph[sum_id].type:
        return None
    if work.other_reader(outer, [sum_id]) is not None:
        return None
    view = work.linear(back.inputs[0])
    if view is None or work.other_reader(back.inputs[0], [outer]) is not None:
        return None
    found = Matrix(view.source, back.inputs[0], outer, view)
    flat = work.graph[found.inner]
    if not isinstance(flat.op, Reshape) or any(map(work.kept, (found.linear, outer))):
        return None
    tiles = work.graph[flat.inputs[0]].type.shape
    sides = ((tiles, flat.type.shape), (back.type.shape, work.graph[found.linear].type.shape))
    return found if _pointwise(view) and all(_flattens(*side, view.groups) for side in sides) else None


def _pointwise(view: LinearView) -> bool:
    """Whether the layer mixes the elements of axis 1 alone."""
    taps = all(window.taps == 1 for window in view.frame)
    return taps and view.mode is None and not view.transposed and view.channel_axis == 1


def _flattens(long: Shape, flat: Shape, groups: int) -> bool:
    """Whether (n, c, spatial…) of pinned sizes lies as (n, elements, 1…), groups of elements being channels."""
    batch, *sizes = long
    rows, _, *single = flat
    pinned = len(sizes) > 1 and all(isinstance(size, int) for size in sizes)
    return pinned and rows == batch and all(size == 1 for size in single) and sizes[0] % groups == 0


def _convolves(work: Workspace, branch: Branch, total: Node) -> bool:
    """Whether a branch is a convolution, or one with a single tap, that makes the sum's shape."""
    if work.graph[branch.id].type != total.type:
        return False
    if isinstance(branch.view, LinearView):
        return isinstance(branch.view.op, Conv)
    return branch.view.axis in (None, 1) and work.graph[branch.source].type == total.type


def _weighed(work: Workspace, id: NodeId, matrix: Matrix, members: list[Branch]) -> MatrixMatch:
    """All members, or where that is dearer those that the layer's groups hold already."""
    objective = work.options.objective_at(work.graph[id].path)
    match = _match(work, id, matrix, members)
    free = [branch for branch in members if _convolution(work, branch)[0].groups % matrix.view.groups == 0]
    if match.after.dearer(match.before, objective) and 0 < len(free) < len(members):
        return _match(work, id, matrix, free)
    return match


def _match(work: Workspace, id: NodeId, matrix: Matrix, members: list[Branch]) -> MatrixMatch:
    view = matrix.view
    elements = prod(view.weight.type.concrete())
    before = Cost(elements, stored(part for part in (view.weight, view.bias) if part is not None), 3)
    positions = prod(_sizes(work, id)[1:])
    convolutions = [_convolution(work, branch) for branch in members]
    for branch, (_, weight, bias) in zip(members, convolutions, strict=True):
        if isinstance(branch.made, Chain):
            before += branch.made.cost.times(positions)
        else:
            before += Cost(0, stored(part for part in (weight, bias) if part is not None), 1)
    biased = view.bias is not None or any(bias is not None for _, _, bias in convolutions)
    elements *= view.groups // gcd(view.groups, *(op.groups for op, _, _ in convolutions))
    after = Cost(elements, FLOAT_BYTES * (elements + (view.out_channels if biased else 0)), 3)
    return MatrixMatch(id, matrix, tuple(members), before, after)


def _convolution(work: Workspace, branch: Branch) -> tuple[Conv, Expr, Expr | None]:
    if isinstance(branch.made, Chain):
        view = branch.made.whole()
        assert isinstance(view.op, Conv)
        return view.op, view.weight, view.bias
    channels, *sizes = _sizes(work, branch.source)
    rank = len(sizes)
    kernel = diagonal(branch, channels, rank)
    return Conv((1,) * rank, ((0, 0),) * rank, (1,) * rank, channels), kernel.weight, kernel.bias


def _sizes(work: Workspace, id: NodeId) -> list[int]:
    """The sizes of a value (n, c, spatial…) beside n."""
    return [size for size in work.graph[id].type.shape[1:] if isinstance(size, int)]


def _label(branch: Branch) -> str:
    if isinstance(branch.view, AffineView):
        return "identity as a linear layer"
    return f"{'x'.join(str(window.taps) for window in branch.view.frame)} as a linear layer"


def _as_linear(work: Workspace, matrix: Matrix, branch: Branch) -> NodeId:
    """The branch as a term like that of the matrix, without its coefficient."""
    layer, outer, origin = work.graph[matrix.linear], work.graph[matrix.outer], work.graph[branch.id].origin
    conv, weight, bias = _convolution(work, branch)
    inputs, outputs = _sizes(work, branch.source), _sizes(work, matrix.outer)
    columns = _columns(conv, weight, inputs, outputs)
    op = matrix.view.op
    if isinstance(op, Linear):
        weight = regroup(columns, conv.groups, 1)
    else:
        assert isinstance(op, Conv)
        op = replace(op, groups=conv.groups)
        weight = build.reshape(columns, (*columns.type.concrete(), *([1] * len(op.stride))))
    weights = {"weight": weight}
    if bias is not None:
        spread = build.expand(build.reshape(bias, (outputs[0], 1)), (outputs[0], prod(outputs[1:])))
        weights["bias"] = build.reshape(spread, (prod(outputs),))
    path = work.graph[branch.id].path
    made = work.add(Node(op, (matrix.inner,), weights, layer.type, path, origin))
    return work.add(replace(outer, inputs=(made,), origin=origin))


def _columns(conv: Conv, weight: Expr, inputs: Sequence[int], outputs: Sequence[int]) -> Expr:
    """The matrix of a convolution, (outputs, inputs of a group): what it makes of the identity basis of each group."""
    size = prod(inputs) // conv.groups
    basis = build.reshape(build.eye(size), (size, 1, inputs[0] // conv.groups, *inputs[1:]))
    spread = build.expand(basis, (size, conv.groups, inputs[0] // conv.groups, *inputs[1:]))
    images = apply(conv, x=build.reshape(spread, (size, *inputs)), weight=weight)
    return build.reshape(build.permute(images, (*range(1, len(outputs) + 1), 0)), (prod(outputs), size))
