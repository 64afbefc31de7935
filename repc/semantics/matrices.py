"""Functions of whole matrices: solve, qr, svd, fft and their like, and elements that are put where an index says.

Each is a call of torch that repc does not look into, so that it is made as it is in evaluation and training, and is a
table of all its arguments in a proof.  Random numbers are those of torch's CPU generator, in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from repc.ir.dims import Dim
from repc.ir.expr import apply
from repc.ir.foreign import Hole, Named, Seed, Template, TorchCall
from repc.ir.types import TensorType
from repc.ops.arithmetic import Multiply
from repc.ops.constant import Eye
from repc.ops.opaque import Opaque
from repc.ops.shape import Reshape
from repc.semantics import errors
from repc.semantics.call import Call
from repc.semantics.emission import emit, emit_all
from repc.semantics.errors import Rejected
from repc.semantics.values import Value

COMPLEX = "c64"
"""Complex numbers of the compute type."""


def solve(c: Call) -> Value:
    """x of a x = b, for every matrix of a stack; ``torch.linalg.solve``."""
    a, b = _matrix(c, "a"), _matrix(c, "b")
    if a.shape[-1] != a.shape[-2] or a.shape[:-1] != b.shape[:-1]:
        raise c.misfit("a", "square, with the rows of b")
    return _calls(c, "torch.linalg.solve", [b])[0]


def qr(c: Call) -> Value:
    """Q with orthonormal columns and R, the reduced factors; ``torch.linalg.qr``."""
    x = _matrix(c, "x")
    *stack, rows, columns = x.shape
    inner = _least(c, rows, columns)
    return _calls(c, "torch.linalg.qr", [_like(x, *stack, rows, inner), _like(x, *stack, inner, columns)])


def svd(c: Call) -> Value:
    """U, S and Vᵀ, the reduced factors with falling singular values; ``torch.linalg.svd``."""
    x = _matrix(c, "x")
    *stack, rows, columns = x.shape
    inner = _least(c, rows, columns)
    types = [_like(x, *stack, rows, inner), _like(x, *stack, inner), _like(x, *stack, inner, columns)]
    return _calls(c, "torch.linalg.svd", types, {"full_matrices": False})


def topk(c: Call) -> Value:
    """The largest values along the last axis, falling, and their positions; ``torch.topk``."""
    x, count = c.type("x"), c.integer("k", least=1)
    kept = (*x.shape[:-1], count)
    if not x.rank or (isinstance(x.shape[-1], int) and count > x.shape[-1]):
        raise c.misfit("x", f"with at least {count} elements on its last axis")
    return _calls(c, "torch.topk", [x.with_shape(kept), TensorType(kept, "i64")], {"k": count})


def index_add(c: Call) -> Value:
    """x with `values` added at the positions of an index along its first axis; ``torch.index_add``."""
    return _indexed(c, "torch.index_add")


def index_copy(c: Call) -> Value:
    """x with `values` in the place of its rows at the positions of an index; ``torch.index_copy``."""
    return _indexed(c, "torch.index_copy")


def randn(c: Call) -> Value:
    """Normal random numbers of a seed; ``torch.randn``."""
    shape = c.sizes("shape")
    return _seeded(c, "torch.randn", shape, TensorType(shape), {"dtype": Named("torch.float32")})


def rand(c: Call) -> Value:
    """Random numbers of a seed in [0, 1); ``torch.rand``."""
    shape = c.sizes("shape")
    return _seeded(c, "torch.rand", shape, TensorType(shape), {"dtype": Named("torch.float32")})


def kaiming_uniform(c: Call) -> Value:
    """Random numbers of a seed, as wide as the fan-in of a shape asks for; ``torch.nn.init.kaiming_uniform_``."""
    shape = c.sizes("shape")
    if len(shape) < 2:
        raise c.wrong("shape", "at least two sizes, since the second is the fan-in")
    empty = TorchCall("torch.empty", (shape,), (), (TensorType(shape),), {"dtype": Named("torch.float32")})
    return _seeded(c, "torch.nn.init.kaiming_uniform_", empty, TensorType(shape), {"a": float(c.fraction("a"))})


def randperm(c: Call) -> Value:
    """The numbers below n in a random order of a seed; ``torch.randperm``."""
    n = c.integer("n", least=0)
    return _seeded(c, "torch.randperm", n, TensorType((n,), "i64"), {})


def fft(c: Call) -> Value:
    """The discrete Fourier transform along an axis, complex; ``torch.fft.fft``."""
    return _spectral(c, "torch.fft.fft", COMPLEX, {"dim": c.axis("axis")})


def ifft(c: Call) -> Value:
    """The inverse of `fft`, complex; ``torch.fft.ifft``."""
    return _spectral(c, "torch.fft.ifft", COMPLEX, {"dim": c.axis("axis")})


def real(c: Call) -> Value:
    """The real part of complex numbers; ``torch.real``."""
    if c.type("x").dtype != COMPLEX:
        raise c.misfit("x", "complex, as `fft` gives it")
    return _spectral(c, "torch.real", "f32", {})


def triangle(upper: bool) -> Callable[[Call], Value]:
    """The rows and columns of the elements of a triangle of a square, row by row; ``torch.triu_indices``, or tril."""

    def build(c: Call) -> Value:
        size, offset = c.integer("size", least=1), c.integer("offset")
        counts = (
            [size - min(max(row + offset, 0), size) for row in range(size)]
            if upper
            else [min(max(row + offset + 1, 0), size) for row in range(size)]
        )
        type = TensorType((2, sum(counts)), "i64")
        target = f"torch.tri{'u' if upper else 'l'}_indices"
        return emit_all(c.ctx, Opaque(TorchCall(target, (size, size, offset), (), (type,))), [], c.span)

    return build


def diag(c: Call) -> Value:
    """The square matrix with a vector on its diagonal and zeros elsewhere."""
    x = c.type("x")
    if x.rank != 1 or not isinstance(x.shape[0], int):
        raise c.misfit("x", "a vector of a known size")
    column = emit(c.ctx, Reshape((*x.shape, 1)), {"x": c.tensor("x")}, c.span)
    return emit(c.ctx, Multiply(), {"a": column, "b": apply(Eye(x.shape[0]))}, c.span)


def _spectral(c: Call, target: str, dtype: str, keywords: Mapping[str, Template]) -> Value:
    return _calls(c, target, [TensorType(c.type("x").shape, dtype)], keywords)[0]


def _seeded(c: Call, target: str, given: Template, type: TensorType, keywords: Mapping[str, Template]) -> Value:
    call = TorchCall(target, (given,), (), (type,), {**keywords, "generator": Seed(c.integer("seed", least=0))})
    return emit_all(c.ctx, Opaque(call), [], c.span)


def _indexed(c: Call, target: str) -> Value:
    x, index, values = c.type("x"), c.type("index"), c.type("values")
    if index.rank != 1 or index.dtype != "i64":
        raise c.misfit("index", "a vector of whole numbers")
    if not x.rank or values.shape != (*index.shape, *x.shape[1:]):
        raise c.misfit("values", f"one row of {x} for each position of {index}")
    call = TorchCall(target, (Hole(0), 0, Hole(1), Hole(2)), (x.dtype, index.dtype, values.dtype), (x,))
    return emit_all(c.ctx, Opaque(call), list(c.operands.values()), c.span)


def _calls(
    c: Call, target: str, types: list[TensorType], keywords: Mapping[str, Template] | None = None
) -> tuple[Value, ...]:
    """The results of a call on all operands."""
    operands = list(c.operands.values())
    dtypes = tuple(value.type.dtype for value in operands)
    call = TorchCall(target, tuple(Hole(i) for i in range(len(operands))), dtypes, tuple(types), dict(keywords or {}))
    return tuple(emit_all(c.ctx, Opaque(call, i), operands, c.span) for i in range(len(types)))


def _matrix(c: Call, operand: str) -> TensorType:
    type = c.type(operand)
    if type.rank < 2:
        raise c.misfit(operand, "a matrix or a stack of matrices")
    return type


def _least(c: Call, rows: Dim, columns: Dim) -> int:
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise Rejected(errors.unknown_size(c.span, c.type("x").rank - 1, c.type("x")))
    return min(rows, columns)


def _like(x: TensorType, *shape: Dim) -> TensorType:
    return x.with_shape(shape)
