"""Nonlinearities: elementwise tables, softmax, conversions, and dropout, which is the identity in evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

from repc.ir.field import Field, T
from repc.ir.notation import Term, call
from repc.ir.operator import Operator
from repc.ir.types import DTYPES, REAL, ShapeError, TensorType
from repc.ops.operands import along, check_axes, one_dtype

# Every elementwise function and the names of its constants.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "relu": (),
    "relu6": (),
    "leaky_relu": ("slope",),
    "elu": ("alpha",),
    "gelu": (),
    "gelu_tanh": (),
    "silu": (),
    "sigmoid": (),
    "tanh": (),
    "hardswish": (),
    "hardsigmoid": (),
    "softplus": (),
    "mish": (),
    "exp": (),
    "log": (),
    "sqrt": (),
    "rsqrt": (),
    "abs": (),
    "sin": (),
    "cos": (),
    "atan": (),
    "erf": (),
    "clip": ("low", "high"),
    "pow": ("exponent",),
    "sign": (),
    "floor": (),
    "ceil": (),
    "round": (),
    "selu": (),
    "celu": ("alpha",),
    "softsign": (),
    "logsigmoid": (),
}


def check_real(x: TensorType, user: str) -> TensorType:
    """The operand x, which must be of a floating-point type."""
    if x.dtype not in REAL:
        raise ShapeError(f"{user} takes real numbers, not {x}", "x", "use a floating-point tensor")
    return x


def check_bool(given: Mapping[str, TensorType], operand: str, user: str) -> TensorType:
    """An operand that must be true or false."""
    found = given[operand]
    if found.dtype != "bool":
        raise ShapeError(f"{user} takes true and false, not {found}", operand, "compare it with something first")
    return found


@dataclass(frozen=True)
class Function(Operator):
    """An elementwise function of `FUNCTIONS`, with its constants in the order given there."""

    name = "function"
    required = ("x",)

    function: str
    attributes: tuple[Fraction, ...] = ()

    @property
    def title(self) -> str:
        return self.function

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        if self.function not in FUNCTIONS:
            raise ShapeError(f"there is no function {self.function!r}", "x", f"one of {', '.join(FUNCTIONS)}")
        wanted = FUNCTIONS[self.function]
        if len(self.attributes) != len(wanted):
            raise ShapeError(
                f"{self.function} has {len(wanted)} constants, not {len(self.attributes)}", "x", f"give {list(wanted)}"
            )
        return check_real(given["x"], self.function)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.function(self.function, self.attributes, given["x"])

    def notation(self, operands: Mapping[str, Term]) -> Term:
        return call(self.function, operands.values(), [str(value) for value in self.attributes])


@dataclass(frozen=True)
class PRelu(Operator):
    """max(x, 0) + weight · min(x, 0), with one weight for all channels or one for each (axis 1)."""

    name = "prelu"
    required = ("x", "weight")

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        one_dtype(given)
        x, weight = check_real(given["x"], self.name), given["weight"]
        if weight.shape != (1,) and (x.rank < 2 or weight.shape != x.shape[1:2]):
            raise ShapeError(
                f"the weight is {weight} and x is {x}", "weight", "give one weight, or one for each channel of axis 1"
            )
        return x

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        x, weight = given["x"], given["weight"]
        if field.shape(weight) != (1,):
            weight = along(field, weight, 1, len(field.shape(x)))
        positive = field.function("relu", (), x)
        return field.add(positive, field.reshape(field.mul(weight, field.sub(x, positive)), field.shape(x)))


@dataclass(frozen=True)
class LogSoftmax(Operator):
    """The logarithm of softmax along one axis: x minus the logarithm of the sum of exp(x)."""

    name = "log_softmax"
    required = ("x",)

    axis: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        check_axes((self.axis,), given["x"])
        return check_real(given["x"], self.name)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        """From the largest element down, so that nothing overflows."""
        shape = list(field.shape(given["x"]))
        shape[self.axis] = 1
        x = field.sub(given["x"], field.reshape(field.max(given["x"], self.axis), shape))
        total = field.sum(field.function("exp", (), x), (self.axis,), keep=True)
        return field.sub(x, field.function("log", (), total))


@dataclass(frozen=True)
class Softmax(Operator):
    """exp(x) divided by its sum along one axis."""

    name = "softmax"
    required = ("x",)

    axis: int

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        check_axes((self.axis,), given["x"])
        return check_real(given["x"], self.name)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.softmax(given["x"], self.axis)


@dataclass(frozen=True)
class Dropout(Operator):
    """The identity; in training, elements are dropped with probability `rate` and the rest divided by 1 − rate."""

    name = "dropout"
    required = ("x",)

    rate: float

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        if not 0 <= self.rate < 1:
            raise ShapeError(f"a dropout rate of {self.rate} is no probability below 1", "x", "use a rate in [0, 1)")
        return given["x"]

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return given["x"]


@dataclass(frozen=True)
class Cast(Operator):
    """x as another element type; numbers lose their fraction where that is a whole one, and bool is x ≠ 0."""

    name = "cast"
    required = ("x",)

    dtype: str

    def infer(self, given: Mapping[str, TensorType]) -> TensorType:
        if self.dtype not in DTYPES:
            raise ShapeError(f"there is no element type {self.dtype!r}", "x", f"one of {', '.join(DTYPES)}")
        return replace(given["x"], dtype=self.dtype)

    def apply(self, field: Field[T], given: Mapping[str, T]) -> T:
        return field.cast(given["x"], self.dtype)
