"""The field of floating-point tensors, by torch: float64 for the reference, any other type for its rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from repc.evaluate.dtypes import DTYPES
from repc.evaluate.expressions import evaluate
from repc.ir.expr import Expr
from repc.ir.foreign import Call

_CONV = (functional.conv1d, functional.conv2d, functional.conv3d)
_CONV_TRANSPOSE = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    # torch is linear above its threshold of 20, which is an error of 2e-9; at 40 there is none left in float64.
    "softplus": partial(functional.softplus, threshold=40.0),
    "mish": functional.mish,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "erf": torch.erf,
    "clip": torch.clamp,
    "pow": torch.pow,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "selu": functional.selu,
    "celu": functional.celu,
    "softsign": functional.softsign,
    "logsigmoid": functional.logsigmoid,
    "logical_not": torch.logical_not,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "power": torch.pow,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "less": torch.lt,
    "less_equal": torch.le,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "where": torch.where,
}


class TorchField:
    """Implements `repc.ir.field.Field` for torch tensors of one floating-point type.

    Gradients flow where the tensors ask for them.  Random numbers come from `generator`, else from torch's own.
    """

    def __init__(self, dtype: torch.dtype = torch.float64, generator: torch.Generator | None = None) -> None:
        self.dtype = dtype
        self.generator = generator
        self._last: tuple[Call, list[Tensor], list[Tensor]] | None = None

    def shape(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape)

    def lift(self, x: Tensor) -> Tensor:
        return x.to(self.dtype) if x.is_floating_point() else x

    def fill(self, shape: Sequence[int], value: Fraction) -> Tensor:
        return torch.full(tuple(shape), float(value), dtype=self.dtype)

    def constant(self, shape: Sequence[int], values: Sequence[Fraction]) -> Tensor:
        return torch.tensor([float(value) for value in values], dtype=self.dtype).reshape(tuple(shape))

    def sample(self, distribution: str, shape: Sequence[int], low: float, high: float) -> Tensor:
        made = torch.empty(tuple(shape), dtype=self.dtype)
        if distribution == "uniform":
            return made.uniform_(low, high, generator=self.generator)
        return made.normal_(low, high, generator=self.generator)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def sub(self, a: Tensor, b: Tensor) -> Tensor:
        return a - b

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def div(self, a: Tensor, b: Tensor) -> Tensor:
        return a / b

    def sum(self, x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
        """Over no axes this is x itself; torch would sum over all of them."""
        return x.sum(tuple(axes), keepdim=keep) if axes else x

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        return a @ b

    def conv(self, x: Tensor, w: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int) -> Tensor:
        convolve = _CONV[len(stride) - 1]
        return convolve(x, w, stride=tuple(stride), dilation=tuple(dilation), groups=groups)

    def conv_transpose(
        self, x: Tensor, w: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int
    ) -> Tensor:
        convolve = _CONV_TRANSPOSE[len(stride) - 1]
        return convolve(x, w, stride=tuple(stride), dilation=tuple(dilation), groups=groups)

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.reshape(tuple(shape))

    def permute(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(tuple(axes))

    def expand(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.expand(tuple(shape))

    def concat(self, xs: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(tuple(xs), axis)

    def take(self, x: Tensor, axis: int, indices: Sequence[int]) -> Tensor:
        if isinstance(indices, range):
            return x[(slice(None),) * axis + (slice(indices.start, indices.stop, indices.step),)]
        return x.index_select(axis, torch.tensor(indices))

    def gather(self, x: Tensor, axis: int, index: Tensor) -> Tensor:
        return x[(slice(None),) * axis + (index.long(),)]

    def take_along(self, x: Tensor, axis: int, index: Tensor) -> Tensor:
        return x.take_along_dim(index.long().remainder(x.shape[axis]), axis)

    def order(self, x: Tensor, axis: int, largest: bool) -> Tensor:
        return x.sort(dim=axis, descending=largest, stable=True).indices

    def pad(self, x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
        return functional.pad(x, [width for pair in reversed(widths) for width in pair])

    def function(self, name: str, attributes: tuple[Fraction, ...], *xs: Tensor) -> Tensor:
        return _FUNCTIONS[name](*xs, *(float(value) for value in attributes))

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        return x.to(self.dtype if DTYPES[dtype].is_floating_point else DTYPES[dtype])

    def softmax(self, x: Tensor, axis: int) -> Tensor:
        return torch.softmax(x, axis)

    def max(self, x: Tensor, axis: int) -> Tensor:
        return torch.amax(x, axis)

    def opaque(self, call: Call, result: int, xs: Sequence[Tensor]) -> Tensor:
        """The original call, made once for all its results where they are asked for one after another."""
        from repc.evaluate.foreign import results

        known = self._last
        if known is None or known[0] is not call or any(a is not b for a, b in zip(known[1], xs, strict=True)):
            known = self._last = (call, list(xs), results(call, xs, self.dtype))
        return known[2][result]


def flat(expr: Expr, parameters: Mapping[str, Tensor]) -> list[float]:
    """The values of a weight expression in float64, in row-major order."""
    value = evaluate({"": expr}, TorchField(torch.float64), parameters)[""]
    return [float(element) for element in value.flatten().numpy()]
