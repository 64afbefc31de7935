"""Shapes: what does not fit together."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, Span
from repc.ir.dims import Dim
from repc.ir.types import ShapeError, TensorType
from repc.semantics.errors.base import error

FREE_SIZES = "pin the size (`--size name=n`), or state in the model what divides it (`require h % 4 == 0`)"


def shape(span: Span, name: str, fault: ShapeError) -> Diagnostic:
    """An operator whose operands do not fit together."""
    operand = fault.operand
    if operand is not None:
        operand = f"operand {int(operand) + 1}" if operand.isdecimal() else f"operand `{operand}`"
    return error(
        "E301",
        f"{name}: {fault.reason}",
        span,
        f"{operand} does not fit" if operand else "the operands do not fit",
        fault.remedy or "check the sizes that lead here (`repc show --types`)",
    )


def rank(span: Span, what: str, declared: str, actual: str) -> Diagnostic:
    """A value with another number of axes than its declared type, or several values instead of one."""
    return error(
        "E302",
        f"{what} is declared as {declared} but gets {actual}",
        span,
        f"this is {actual}",
        "reshape or flatten the value, or change the declared type",
    )


def size(span: Span, what: str, name: str, expected: str, actual: str) -> Diagnostic:
    """A size that differs from the declared one."""
    return error(
        "E303",
        f"{what}: size `{name}` is {expected} but gets {actual}",
        span,
        f"{actual} here",
        "make the sizes equal; if they are equal for your inputs only, pin them, or give them one name in the model",
    )


def two_rests(span: Span) -> Diagnostic:
    """A type with more than one rest."""
    return error("E304", "a type can have one `...rest`", span, "several rests", "name the other axes")


def rest_in_model(span: Span) -> Diagnostic:
    """A model whose input has an unknown number of axes."""
    return error(
        "E305",
        "the input of a model needs every axis by name",
        span,
        "number of axes unknown",
        "write them out: `image: f32[b, 3, h, w]`; blocks may use `...s`",
    )


def not_a_size(span: Span, kind: str) -> Diagnostic:
    """Something that is not a size stands where one is needed."""
    return error(
        "E306",
        f"{kind} is not a size",
        span,
        "expected an integer or a named size",
        "sizes are integers; use `//` for whole division",
    )


def negative_size(span: Span, size: int) -> Diagnostic:
    """A weight or input with a negative size."""
    return error("E307", f"a size of {size}", span, "negative", "check the sizes that lead here")


def symbolic_weight(span: Span, size: str) -> Diagnostic:
    """A weight whose size depends on an input."""
    return error(
        "E308",
        f"a weight cannot have the size {size}, which is only known when the network runs",
        span,
        "depends on the size of an input",
        "pin the size in the model's port, or with `--size name=n`",
    )


def no_such_axis(span: Span, axis: int, type: TensorType) -> Diagnostic:
    """An axis that a value does not have."""
    return error(
        "E309",
        f"{type} has no axis {axis}",
        span,
        f"axes are 0 to {type.rank - 1}, or negative from the end" if type.rank else "it has no axes",
        "count axes from zero; axis 1 is usually the channels",
    )


def not_a_vector(span: Span, type: TensorType) -> Diagnostic:
    """Something other than a vector along an axis."""
    return error(
        "E310",
        f"`along` needs a vector, not {type}",
        span,
        "not a vector",
        "broadcasting several axes needs no `along`",
    )


def not_divisible(span: Span, whole: Dim, part: Dim) -> Diagnostic:
    """A size that must be divisible and cannot be shown to be."""
    return error(
        "E311",
        f"{whole} cannot be shown to be divisible by {part}",
        span,
        "not divisible",
        "choose a divisor" if isinstance(whole, int) else f"choose a divisor, or {FREE_SIZES}",
    )


def unequal_volume(span: Span, whole: Dim, other: Dim) -> Diagnostic:
    """A reshape to another number of elements."""
    return error(
        "E312",
        f"a tensor of {whole} elements cannot have a shape of {other}",
        span,
        "the number of elements changes",
        "let one size be -1, it is then computed",
    )


def unsolved_axes(span: Span, group: str, whole: Dim, known: Dim, unknown: Sequence[str]) -> Diagnostic:
    """A rearrange whose axes cannot be solved."""
    if len(unknown) > 1:
        label = "sizes missing for " + ", ".join(unknown[1:])
    else:
        label = f"{known} does not divide it" if unknown else f"its parts make {known}"
    remedy = "give the sizes of split axes by name (`s=2`), all but one"
    return error(
        "E313",
        f"`({group})` does not fit a size of {whole}",
        span,
        label,
        remedy if isinstance(whole, int) else f"{remedy}; {FREE_SIZES}",
    )


def too_many_indices(span: Span, count: int, type: TensorType) -> Diagnostic:
    """More indices than axes."""
    return error("E314", f"{count} indices for {type}", span, "too many", f"it has {type.rank} axes")


def unknown_size(span: Span, axis: int, type: TensorType) -> Diagnostic:
    """An index into an axis whose size is only known when the network runs."""
    return error(
        "E315",
        f"axis {axis} of {type} has no known size to take parts of",
        span,
        "only known when the network runs",
        "leave the axis whole (`:`), pin the size, or divide it with `rearrange`",
    )


def index_out_of_range(span: Span, axis: int, type: TensorType) -> Diagnostic:
    """An index outside of an axis."""
    return error(
        "E316",
        f"out of range on axis {axis} of {type}",
        span,
        "empty or beyond the end",
        "indices count from zero, `a:b` excludes b",
    )


def element_type(span: Span, what: str, expected: str, actual: TensorType) -> Diagnostic:
    """A value with other elements than its declared type."""
    return error(
        "E317",
        f"{what} takes {expected} but gets {actual}",
        span,
        f"this is {actual}",
        "elements are never converted; change the declared type, or leave it out to take any",
    )
