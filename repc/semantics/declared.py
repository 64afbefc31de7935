"""Types as they are written: matched with values at ports and results, or made concrete for weights."""

from __future__ import annotations

from math import prod

from repc.diagnostics import Span
from repc.ir.dims import Dim
from repc.ir.types import DTYPES, TensorType
from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.errors import Rejected
from repc.semantics.values import Poison, Tensor, Value, as_dim, describe
from repc.syntax import tree

MAX_ELEMENTS = 2**40


def dtype_of(type: tree.TypeExpr) -> str | None:
    """The element type that is written, None where there is none; raises `Rejected` for an unknown one."""
    if type.dtype is not None and type.dtype not in DTYPES:
        raise Rejected(errors.unknown_dtype(type.span, type.dtype, DTYPES))
    return type.dtype


def size_of(value: Value, span: Span) -> Dim:
    """A value as the size of an axis; raises `Rejected` where it cannot be one."""
    size = as_dim(value)
    if size is None:
        raise Rejected(errors.not_a_size(span, describe(value)))
    if isinstance(size, int) and size < 0:
        raise Rejected(errors.negative_size(span, size))
    return size


# ---------------------------------------------------------------- ports and results


def bind_type(
    ctx: Context, type: tree.TypeExpr, tensor: Tensor, env: Env, span: Span, what: str, *, new: bool = True
) -> None:
    """Match a tensor with a declared type: known names must agree, others are bound if `new` ones are allowed.

    Raises `Rejected` where the element types, ranks or sizes differ.
    """
    dtype, shape = dtype_of(type), tensor.type.shape
    if dtype is not None and dtype != tensor.type.dtype:
        raise Rejected(errors.element_type(span, what, dtype, tensor.type))
    rests = [dim for dim in type.dims if isinstance(dim, tree.Rest)]
    fixed = len(type.dims) - len(rests)
    if len(rests) > 1:
        raise Rejected(errors.two_rests(type.span))
    if (not rests and fixed != len(shape)) or fixed > len(shape):
        raise Rejected(errors.rank(span, what, type.span.text, str(tensor.type)))
    position = 0
    for dim in type.dims:
        if isinstance(dim, tree.Rest):
            width = len(shape) - fixed
            _bind_rest(dim, shape[position : position + width], env, span, what, new)
            position += width
        else:
            _bind_dim(ctx, dim, shape[position], env, span, what, new)
            position += 1


def _bind_rest(dim: tree.Rest, sizes: tuple[Dim, ...], env: Env, span: Span, what: str, new: bool) -> None:
    if dim.name is None:
        return
    if new and not env.has(dim.name):
        env.names[dim.name] = sizes
    known = env.get(dim.name) if env.has(dim.name) else None
    if not isinstance(known, tuple):
        raise Rejected(errors.unknown_rest(dim.span, dim.name, env.visible()))
    if known != sizes:
        raise Rejected(errors.size(span, what, f"...{dim.name}", _list(known), _list(sizes)))


def _list(sizes: tuple[Value, ...]) -> str:
    return f"[{', '.join(str(size) for size in sizes)}]"


def _bind_dim(ctx: Context, dim: tree.Expr, actual: Dim, env: Env, span: Span, what: str, new: bool) -> None:
    if new and isinstance(dim, tree.Name) and not env.has(dim.name):
        env.names[dim.name] = actual
        return
    value = ctx.evaluate(ctx, dim, env)
    if isinstance(value, Poison):
        return
    expected = size_of(value, dim.span)
    if expected != actual:
        raise Rejected(errors.size(span, what, dim.span.text, str(expected), str(actual)))


# ---------------------------------------------------------------- weights


def weight_type(ctx: Context, type: tree.TypeExpr, env: Env) -> TensorType | None:
    """The concrete type of a parameter, None after an error.

    Raises `Rejected` for an unknown element type, and for sizes that are none, negative, symbolic or too large.
    """
    found = stated_type(ctx, type, env, free=False)
    total = 0 if found is None else prod(found.concrete())
    if total > MAX_ELEMENTS:
        raise Rejected(errors.too_many_elements(type.span, total, MAX_ELEMENTS))
    return found


def stated_type(ctx: Context, type: tree.TypeExpr, env: Env, *, free: bool = True) -> TensorType | None:
    """The type that is written, None after an error; a named rest splices a list of sizes.

    Raises `Rejected` for an unknown element type, for sizes that are none or negative, and unless they may be `free`
    for those that are.
    """
    shape: list[Dim] = []
    for dim in type.dims:
        values = _spliced(dim, env) if isinstance(dim, tree.Rest) else (ctx.evaluate(ctx, dim, env),)
        if any(isinstance(value, Poison) for value in values):
            return None
        for size in (size_of(value, dim.span) for value in values):
            if not free and not isinstance(size, int):
                raise Rejected(errors.symbolic_weight(dim.span, str(size)))
            shape.append(size)
    return TensorType(tuple(shape), dtype_of(type) or "f32")


def _spliced(dim: tree.Rest, env: Env) -> tuple[Value, ...]:
    value = env.get(dim.name) if dim.name and env.has(dim.name) else None
    if isinstance(value, (tuple, Poison)):
        return value if isinstance(value, tuple) else (value,)
    raise Rejected(errors.unknown_rest(dim.span, dim.name, env.visible()))
