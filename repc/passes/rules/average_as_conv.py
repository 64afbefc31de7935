"""F6: an average over windows as a convolution."""

from __future__ import annotations

from collections.abc import Iterable

from repc.ir.node import NodeId
from repc.ir.trace import Step
from repc.ops.pool import AvgPool
from repc.passes.rule import Lemma
from repc.passes.workspace import Workspace


class AverageAsConv(Lemma):
    """See an average over k places as a depthwise convolution with the constant weight 1/k.

    Identity: ``avg(x)_c = conv(x, K)_c`` with ``K = 1/k`` everywhere and one group for each channel.

    Precondition: zeros count in the mean, or there is no padding; sizes are not rounded up.

    Trap: ONNX does not count padding unless it is told to (count_include_pad); then the border is no convolution.

    Source: Ding et al. 2021 (DBB), arXiv:2103.13425, transform V.
    """

    id = "F6"

    @staticmethod
    def steps(work: Workspace, path: str, members: Iterable[NodeId]) -> list[Step]:
        """What is said of the averages among the nodes that an operator at a path takes in."""
        found = [(id, work.graph[id].op) for id in members]
        return [
            Step(AverageAsConv.id, path, (work.name(id),), f"mean of {'x'.join(map(str, op.kernel))} as depthwise")
            for id, op in found
            if isinstance(op, AvgPool)
        ]
