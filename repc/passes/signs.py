"""Which weights cannot be negative, whatever the values of the parameters."""

from __future__ import annotations

from repc.ir.expr import Expr, Param
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.ops.constant import Eye, Fill
from repc.ops.function import Function, Softmax
from repc.ops.reduce import Reduce
from repc.ops.shape import Concat, Expand, Pad, Permute, Reshape, Slice

POSITIVE = ("exp", "sqrt", "rsqrt", "abs", "sigmoid", "hardsigmoid", "softplus", "relu", "relu6")
KEEPS = (Multiply, Divide, Reduce, Concat, Expand, Pad, Permute, Reshape, Slice)


def nonnegative(expr: Expr) -> bool:
    """Whether it follows from how a weight is made: of roots, norms and positive constants, by products and sums."""
    waiting, seen = [expr], set[int]()
    while waiting:
        part = waiting.pop()
        if id(part) in seen or _made_so(part):
            continue
        if isinstance(part, Param) or not _keeps(part.op):
            return False
        seen.add(id(part))
        waiting.extend(part.args.values())
    return True


def _made_so(expr: Expr) -> bool:
    """Whether every value of the operator is such, whatever its operands are."""
    if isinstance(expr, Param):
        return False
    match expr.op:
        case Fill(value=value):
            return value >= 0
        case Function(function=name):
            return name in POSITIVE
        case Reduce(kind=kind):
            return kind == "norm"
        case op:
            return isinstance(op, Softmax | Eye)


def _keeps(op: object) -> bool:
    """Whether the values of the operator are such where those of its operands are."""
    return isinstance(op, KEEPS) or (isinstance(op, Sum) and min(op.coefficients) >= 0)
