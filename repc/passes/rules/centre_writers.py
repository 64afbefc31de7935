"""F10: layer norms of a stream that only centred values are written to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from repc.ir.dims import Dim
from repc.ir.expr import Expr, Param
from repc.ir.node import NodeId
from repc.ir.trace import Step, Trace
from repc.ir.types import TensorType
from repc.ops import build
from repc.ops.arithmetic import Sum
from repc.ops.norm import LayerNorm, RMSNorm
from repc.ops.shape import Concat
from repc.passes import movement
from repc.passes.absorb import absorbed
from repc.passes.maps import Map
from repc.passes.rule import Lemma
from repc.passes.workspace import Workspace

OBJECTIVE = "macs"


class CentreWriters(Lemma):
    """Turn layer norms into RMS norms by centring what is written to the stream that they read.

    Identity: with ``C = I − 11ᵀ/d``, ``LN(x) = RMS(C x)``, and ``C (Σ Wᵢ xᵢ + bᵢ) = Σ (C Wᵢ) xᵢ + C bᵢ``.

    Precondition: the target minds multiply-adds there; the stream is read by layer norms only, none of which has a bias
    left, and everything that is written to it comes from linear operators with weights of their own, or is constant.

    Trap: a single writer that is not centred, or a reader other than a norm (a head without a norm, an output), sees
    the mean that all others lost.

    Source: Ashkboos et al. 2024 (SliceGPT), arXiv:2401.15024, section 3.2; Jiang et al. 2023, arXiv:2305.14858.
    """

    id = "F10"

    def run(self, work: Workspace, trace: Trace) -> None:
        """Do it for every stream; each is looked at once."""
        seen: set[NodeId] = set()
        for id in work.graph.order():
            if isinstance(work.graph[id].op, LayerNorm) and id not in seen:
                stream = Stream(work)
                stream.follow(id)
                seen.update(stream.norms)
                if stream.sound:
                    trace.steps.append(self._centre(work, stream))

    def _centre(self, work: Workspace, stream: Stream) -> Step:
        work.revalue(stream.axes)
        for id in stream.writers:
            view = work.linear(id)
            assert view is not None
            parts = {
                "weight": _centred(view.weight, int(view.transposed)),
                "bias": view.bias and _centred(view.bias, 0),
            }
            work.replace(id, absorbed(work, id, (), view.op, parts))
        for id in stream.adders:
            node = work.graph[id]
            weights = {name: _centred(e, stream.axis_of(id, e)) for name, e in node.weights.items()}
            work.replace(id, replace(node, weights=weights))
        for id in stream.norms:
            node = work.graph[id]
            assert isinstance(node.op, LayerNorm)
            work.replace(id, replace(node, op=RMSNorm(node.op.axes, node.op.eps)))
        first, names = stream.norms[0], tuple(work.name(id) for id in stream.writers)
        detail = f"{len(stream.norms)} layer norms without their means"
        return Step(self.id, work.name(first), names, detail, origin=work.graph[first].origin)


@dataclass(eq=False)
class Stream:
    """Values that are sums and movements of each other, each with the axis along which it is to be centred.

    `writers` make them of other values, `adders` add or concatenate constants, `norms` read them; it is `sound` as long
    as nothing else does.
    """

    work: Workspace
    axes: dict[NodeId, int] = field(default_factory=dict[NodeId, int])
    writers: list[NodeId] = field(default_factory=list[NodeId])
    adders: list[NodeId] = field(default_factory=list[NodeId])
    norms: list[NodeId] = field(default_factory=list[NodeId])
    sound: bool = True
    _waiting: list[NodeId] = field(default_factory=list[NodeId])

    def follow(self, norm: NodeId) -> None:
        """Find the whole stream that a norm reads, also where it is not sound."""
        node = self.work.graph[norm]
        self._join(node.inputs[0], node.type.rank - 1)
        while self._waiting:
            id = self._waiting.pop()
            self._made(id)
            for user in dict.fromkeys(self.work.graph.users(id)):
                self._read(id, user)
            self.sound &= not self.work.graph.is_output(id)

    def axis_of(self, id: NodeId, constant: Expr) -> int:
        """The axis of a constant that meets that of a value; negative where there is none."""
        return self.axes[id] - self.work.graph[id].type.rank + constant.type.rank

    # ------------------------------------------------------------ how values make each other

    def _made(self, id: NodeId) -> None:
        """What makes a value of the stream."""
        node, axis = self.work.graph[id], self.axes[id]
        view = self.work.linear(id)
        if view is not None:
            grouped = view.transposed and view.groups > 1
            alone = self.work.sharer(id, {id}) is None and not self.work.kept(id)
            self.sound &= view.channel_axis == axis and alone and not grouped
            self.writers.append(id)
        elif self._gathers(id, axis):
            for source in node.inputs:
                self._join(source, axis if self._size(source, axis) == self._size(id, axis) else None)
            if node.weights:
                self.adders.append(id)
                along = ((e, self.axis_of(id, e)) for e in node.weights.values())
                self.sound &= all(at >= 0 and e.type.shape[at] == self._size(id, axis) for e, at in along)
        else:
            before = movement.before(self.work, id, self._probe(id), signed=False) or ()
            self.sound &= bool(before)
            for source, probe in before:
                self._join(source, self._carried(id, source, probe))

    def _read(self, id: NodeId, user: NodeId) -> None:
        """What reads a value of the stream."""
        node, axis = self.work.graph[user], self.axes[id]
        if isinstance(node.op, LayerNorm):
            wanted = self.work.options.objective_at(node.path) == OBJECTIVE and not self.work.kept(user)
            self.sound &= wanted and node.op.axes == 1 and axis == node.type.rank - 1 and "bias" not in node.weights
            self.norms.append(user)
        elif self._gathers(user, axis):
            self._join(user, axis if node.type.rank == self.work.graph[id].type.rank else None)
        else:
            behind = movement.behind(self.work, user, id, self._probe(id))
            self._join(user, None if behind is None else self._carried(id, user, behind))

    def _gathers(self, id: NodeId, axis: int) -> bool:
        """Whether a node adds values, or concatenates them along another axis."""
        op = self.work.graph[id].op
        return isinstance(op, Sum) or (isinstance(op, Concat) and op.axis != axis)

    def _join(self, id: NodeId, axis: int | None) -> None:
        if axis is None or self.axes.get(id, axis) != axis:
            self.sound = False
        elif id not in self.axes:
            self.axes[id] = axis
            self._waiting.append(id)

    def _size(self, id: NodeId, axis: int) -> Dim | None:
        shape = self.work.graph[id].type.shape
        return shape[axis] if axis < len(shape) else None

    def _probe(self, id: NodeId) -> Map:
        """A map along the axis, to see where movement takes it."""
        axis = self.axes[id]
        return Map((axis,), Param("probe", TensorType((self.work.graph[id].type.shape[axis],))))

    def _carried(self, id: NodeId, other: NodeId, probe: Map) -> int | None:
        """The axis in the other value where it is whole there, in whatever order."""
        if len(probe.axes) != 1 or self._size(other, probe.axes[0]) != self._size(id, self.axes[id]):
            return None
        return probe.axes[0]


def _centred(part: Expr, axis: int) -> Expr:
    """A weight without its mean along an axis."""
    return build.sub(part, build.reduce(part, "mean", (axis,), keep=True))
