"""Values: of the wrong kind, or beyond a limit."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, Span
from repc.semantics.errors.base import error, one_line


def not_a_condition(span: Span, kind: str) -> Diagnostic:
    """A condition that is neither true nor false."""
    return error(
        "E240",
        f"a condition must be true or false, not {kind}",
        span,
        "not a condition",
        "compare it: `x == 1`, `x > 0`",
    )


def bad_operands(span: Span, operator: str, *kinds: str) -> Diagnostic:
    """An operator on values that it is not defined for."""
    return error(
        "E241",
        f"`{operator}` is not defined for {' and '.join(kinds)}",
        span,
        "these do not combine" if len(kinds) > 1 else "not a number",
        "numbers have `+ - * / // %`, sizes all of these but `/`, lists `+`; tensors combine with tensors and numbers",
    )


def division_by_zero(span: Span) -> Diagnostic:
    """A static division by zero."""
    return error(
        "E242",
        "division by zero",
        span,
        "the divisor is zero",
        "check the sizes that lead here, or guard it with `require`",
    )


def too_large(span: Span) -> Diagnostic:
    """A static number with too many digits: an integer beyond 63 bits, a fraction of numbers beyond 252."""
    return error(
        "E243",
        "a number has too many digits",
        span,
        "too large, or too fine",
        "sizes and counts stay far below; look for a loop that multiplies",
    )


def undecided(span: Span, left: str, right: str) -> Diagnostic:
    """A comparison of sizes that are only known when the network runs."""
    return error(
        "E244",
        f"`{one_line(span)}` cannot be decided before the network runs",
        span,
        f"compares {left} with {right}",
        "pin the size in the model's port (`image: [b, 3, 224, 224]`) or with `--size name=n`; "
        "a divisor of a free size can be stated by the model itself (`require h % 4 == 0`)",
    )


def list_too_long(span: Span, limit: int) -> Diagnostic:
    """A list that grows beyond the limit."""
    return error(
        "E245",
        f"a list grows beyond {limit:,} entries",
        span,
        "too long",
        "look for a loop or a recursion that doubles it",
    )


def bad_static_arguments(span: Span, name: str, kinds: Sequence[str]) -> Diagnostic:
    """A static function of values that it is not defined for."""
    return error(
        "E246",
        f"`{name}` is not defined for {' and '.join(kinds)}",
        span,
        "wrong kind of argument",
        "it takes numbers, or a list of them, that are known before the network runs",
    )


def negative_root(span: Span, kind: str) -> Diagnostic:
    """The square root of a negative number."""
    return error("E247", f"no square root of {kind}", span, "negative", "check the sign of what leads here")


def bad_attribute(span: Span, function: str, name: str, expected: str, kind: str) -> Diagnostic:
    """An attribute with a value that it cannot have."""
    return error("E248", f"`{name}` of `{function}` cannot be {kind}", span, f"expected {expected}", f"give {expected}")


def not_static(span: Span, kind: str) -> Diagnostic:
    """A tensor where a block's parameter must be known beforehand."""
    return error(
        "E249",
        f"a parameter of a block must be known before the network runs, not {kind}",
        span,
        "depends on a tensor",
        "give tensors through the ports: `(x, gate) >> Block()`",
    )


def not_a_tensor(span: Span, kind: str) -> Diagnostic:
    """Something that is not a tensor stands where one is needed."""
    return error(
        "E250",
        f"expected a tensor, not {kind}",
        span,
        "not a tensor",
        "apply a layer to a value first; take several values apart with `let (a, b) = …`; "
        "a weight whose `when` is false is none",
    )


def stray_along(span: Span) -> Diagnostic:
    """A vector along an axis outside of arithmetic."""
    return error(
        "E251",
        "`along` only has a meaning next to an arithmetic operator",
        span,
        "no other operand",
        "combine it: `x * along(scale, 1)`",
    )


def two_axes(span: Span, first: int, second: int) -> Diagnostic:
    """Two vectors along different axes are combined."""
    return error(
        "E252",
        f"vectors along axis {first} and axis {second} do not combine",
        span,
        "different axes",
        "combine each with the tensor: `x * along(a, 1) * along(b, 2)`",
    )


def not_an_index(span: Span, kind: str) -> Diagnostic:
    """An index that is not an integer."""
    return error(
        "E253",
        f"an index must be an integer, not {kind}",
        span,
        "not an integer",
        "tensors and lists are indexed with integers and ranges `a:b`",
    )


def not_indexable(span: Span, kind: str) -> Diagnostic:
    """Brackets behind something that cannot be indexed."""
    return error(
        "E254",
        f"{kind} cannot be indexed like this",
        span,
        "neither a tensor nor a list with one index",
        "lists take one index or range, tensors one for each axis",
    )


def list_index(span: Span, index: int, length: int) -> Diagnostic:
    """An index beyond the end of a list."""
    return error(
        "E255",
        f"index {index} in a list of {length}",
        span,
        "out of range",
        f"valid indices are 0 to {length - 1}" if length else "the list is empty",
    )


def not_a_count(span: Span, kind: str) -> Diagnostic:
    """The bounds of a loop, an axis or a number of places that are not integers."""
    return error(
        "E256",
        f"expected an integer here, not {kind}",
        span,
        "not an integer",
        "use `//` for whole division, `int(…)` to round towards zero; pin a size that is free",
    )


def unpacking(span: Span, expected: int, kind: str) -> Diagnostic:
    """A `let` of several names with another number of values."""
    return error(
        "E257", f"{expected} names, but {kind}", span, f"does not give {expected} values", "as many names as values"
    )


def requirement(span: Span, message: str | None) -> Diagnostic:
    """A `require` that does not hold."""
    return error(
        "E258",
        message or "a requirement does not hold",
        span,
        f"required: {one_line(span)}",
        "change the parameters or sizes that lead here",
    )


def not_initial(span: Span, kind: str) -> Diagnostic:
    """An initial value that is none."""
    return error(
        "E259",
        f"{kind} is no initial value",
        span,
        "expected an initialiser, a number, or a weight expression",
        "for example `zeros`, `ones`, `kaiming_uniform(a=sqrt(5))`, `norm(W, axis=1)`",
    )


def initial_shape(span: Span, expected: object, actual: object) -> Diagnostic:
    """An initial value of another type than its weight."""
    return error(
        "E260",
        f"the initial value is {actual}, the weight {expected}",
        span,
        f"this is {actual}",
        "give the initial value the type of the weight",
    )


def no_fan(span: Span, type: object) -> Diagnostic:
    """An initialiser that needs at least two axes."""
    return error(
        "E261",
        f"{type} has no fan-in",
        span,
        "needs a weight with at least two axes",
        "use `uniform(low, high)` or `zeros` for vectors",
    )


def not_square(span: Span, type: object) -> Diagnostic:
    """The identity as initial value of something that is not a square matrix."""
    return error(
        "E262",
        f"{type} is not a square matrix",
        span,
        "identity needs [n, n]",
        "use `zeros` or give the weight a square shape",
    )


def alias_of_nothing(span: Span, kind: str) -> Diagnostic:
    """An alias of something that is not a declared weight."""
    return error(
        "E263",
        f"{kind} has no key of its own",
        span,
        "expected a weight",
        "alias the weight as it was declared, before adapters",
    )


def constant_result(span: Span, kind: str) -> Diagnostic:
    """A model that returns something that no input reaches."""
    return error(
        "E264",
        f"the model returns {kind}",
        span,
        "does not depend on an input",
        "return a value that is computed from a port",
    )


def no_tensor_operator(span: Span, operator: str) -> Diagnostic:
    """An operator that tensors do not have."""
    return error(
        "E265",
        f"`{operator}` is not defined for tensors",
        span,
        "not an operation on tensors",
        "tensors have `+ - * / @`; comparisons are for static values",
    )


def too_deep(span: Span, limit: int) -> Diagnostic:
    """Calls of blocks that nest beyond the limit."""
    return error(
        "E270",
        f"blocks call each other more than {limit} levels deep",
        span,
        "the call that went too far",
        "a recursion must end: guard it with `if`",
    )


def too_many_rounds(span: Span, limit: int) -> Diagnostic:
    """Loops, and layers that they or a recursion apply, more often than the limit."""
    return error(
        "E271",
        f"more than {limit:,} rounds of loops and applications of layers",
        span,
        "too many",
        "a network of that size cannot be compiled; check the bounds, and layers that are composed with themselves",
    )


def too_many_elements(span: Span, count: int, limit: int) -> Diagnostic:
    """A weight with more elements than the limit."""
    return error(
        "E273", f"a weight of {count:,} elements", span, f"the limit is {limit:,}", "check the sizes that lead here"
    )


def too_large_size(span: Span) -> Diagnostic:
    """A size beyond 63 bits, or a formula of free sizes that grows beyond the limits."""
    return error(
        "E274",
        "a size grows beyond all use",
        span,
        "too large, or too long a formula",
        "check the sizes that lead here; look for a loop or a recursion that multiplies",
    )
