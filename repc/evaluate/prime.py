"""The prime field of p = 514,751 elements, in which an equality of random values is a proof up to a stated chance.

Residues are centred, |x| < 2¹⁸, and held in float64.  A product is below 2³⁶, and a sum of `TERMS` products below 2⁵¹:
every float64 kernel is exact there in whatever order it adds, and one rounded multiplication by 1/p finds the quotient.
Longer sums are split.  Products of matrices and convolutions are plain matrix products in eager mode on the CPU, with
no algorithm that would trade exactness for speed.

What is no arithmetic is a random table: a function that nothing is known about, one for each name and its constants.
Functions that are made of others are computed so (`repc.evaluate.defined`), a softmax is ``e(x) / Σ e(x)``, and a
maximum is that of a random order: identities that follow from such definitions hold, and no other.

Whole numbers and truth values are what they are elsewhere; a position that is gathered is taken modulo the size of its
axis, so that every one is valid.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from hashlib import sha256
from itertools import product
from math import prod

import torch
from torch import Tensor
from torch.nn import functional

from repc.evaluate.defined import DEFINED
from repc.evaluate.raw import raw
from repc.ir.foreign import Call
from repc.ir.types import WHOLE

P = 514_751
"""The greatest prime below 2¹⁹ for which −1 is no square and every prime up to 37 is one.

Where a sign is a Legendre symbol, −1 is negative then, and constants such as 1/3 are positive.
"""
LARGEST = (P - 1) // 2
TERMS = 2**15  # products that are summed at once
PIECE = 2**15  # elements that are reduced at once
DECIDED = 3  # a size that only an opaque call knows

POSITIVE = ("exp", "sigmoid", "softplus")
"""Functions whose values are positive, and where signs matter, squares."""

Attributes = tuple[Fraction, ...]


class PrimeField:
    """Implements `repc.ir.field.Field` over the integers modulo `P`.

    All that is random follows from `seed`: graphs that are compared share one field.  With `signs`, a residue has the
    sign of its Legendre symbol, which multiplies as signs do: −1 is negative, and ``|r·x| = r·|x|`` where r is a square
    and so positive.  Without, a root and so an absolute value is a table, which tells more in one draw.  An inverse of
    zero is zero, and `divided_by_zero` remembers that it was asked for.
    """

    def __init__(self, seed: str, signs: bool = False) -> None:
        self.seed = seed
        self.signs = signs
        self.divided_by_zero = False
        self._tables: dict[tuple[str, Attributes], Tensor] = {}

    def draw(self, shape: Sequence[int], name: str) -> Tensor:
        """Uniform residues, always the same for one name."""
        return torch.randint(-LARGEST, LARGEST + 1, tuple(shape), dtype=torch.float64, generator=self._generator(name))

    def draw_positive(self, shape: Sequence[int], name: str) -> Tensor:
        """The same, of squares other than zero."""
        root = self.draw(shape, name)
        return _reduced(root * root + (root == 0))

    def shape(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape)

    def lift(self, x: Tensor) -> Tensor:
        """The bound on residues is asserted here; every operation keeps it."""
        if x.is_floating_point() and x.numel():
            low, high = x.aminmax()
            assert float(low) >= -LARGEST and float(high) <= LARGEST, "no centred residues"
        return x

    def fill(self, shape: Sequence[int], value: Fraction) -> Tensor:
        return torch.full(tuple(shape), _residue(value), dtype=torch.float64)

    def constant(self, shape: Sequence[int], values: Sequence[Fraction]) -> Tensor:
        return torch.tensor([_residue(value) for value in values], dtype=torch.float64).reshape(tuple(shape))

    def sample(self, distribution: str, shape: Sequence[int], low: float, high: float) -> Tensor:
        """Every distribution is uniform here."""
        return self.draw(shape, f"{distribution} {low} {high}")

    # ------------------------------------------------------------ arithmetic

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return _reduced(a + b)

    def sub(self, a: Tensor, b: Tensor) -> Tensor:
        return _reduced(a - b)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return _reduced(a * b)

    def div(self, a: Tensor, b: Tensor) -> Tensor:
        """Whole numbers are cut off, as in ONNX."""
        return self.mul(a, self._inverse(b)) if b.is_floating_point() else a.div(b, rounding_mode="trunc")

    def sum(self, x: Tensor, axes: Sequence[int], keep: bool) -> Tensor:
        assert x.numel() <= TERMS * P, "too long a sum"
        return _reduced(x.sum(tuple(axes), keepdim=keep)) if axes else x

    def matmul(self, a: Tensor, b: Tensor) -> Tensor:
        terms, inner = a.shape[-1], max(b.dim() - 2, 0)
        products = [
            _reduced(a.narrow(-1, start, count) @ b.narrow(inner, start, count))
            for start in range(0, terms, TERMS)
            for count in (min(TERMS, terms - start),)
        ]
        return products[0] if len(products) == 1 else self.sum(torch.stack(products), (0,), keep=False)

    def conv(self, x: Tensor, w: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int) -> Tensor:
        """One matrix product for each group, with the windows of x as columns."""
        batch, channels, kernel = x.shape[0], x.shape[1], w.shape[2:]
        for axis, (size, step, gap) in enumerate(zip(kernel, stride, dilation, strict=True), start=2):
            x = x.unfold(axis, gap * (size - 1) + 1, step)[..., ::gap]
        spatial = x.shape[2 : 2 + len(kernel)]
        columns = x.reshape(batch, groups, channels // groups, prod(spatial), prod(kernel)).transpose(2, 3)
        columns = columns.permute(1, 0, 2, 3, 4).reshape(groups, batch * prod(spatial), -1)
        rows = w.reshape(groups, w.shape[0] // groups, -1).transpose(1, 2)
        y = self.matmul(columns, rows).reshape(groups, batch, prod(spatial), -1)
        return y.permute(1, 0, 3, 2).reshape(batch, w.shape[0], *spatial)

    def conv_transpose(
        self, x: Tensor, w: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int
    ) -> Tensor:
        """One matrix product for each group, whose results are added up where each tap puts them."""
        batch, channels, *spatial = x.shape
        out, *kernel = w.shape[1:]
        rows = x.reshape(batch, groups, channels // groups, -1).transpose(2, 3)
        taps = self.matmul(rows, w.reshape(groups, channels // groups, -1))
        taps = taps.transpose(2, 3).reshape(batch, groups * out, *kernel, *spatial)
        geometry = list(zip(spatial, kernel, stride, dilation, strict=True))
        y = torch.zeros(batch, groups * out, *((n - 1) * s + d * (k - 1) + 1 for n, k, s, d in geometry), dtype=x.dtype)
        for tap in product(*map(range, kernel)):
            places = [slice(i * d, i * d + (n - 1) * s + 1, s) for i, (n, _, s, d) in zip(tap, geometry, strict=True)]
            y[(..., *places)] += taps[(slice(None), slice(None), *tap)]
        return _reduced(y)

    # ------------------------------------------------------------ movement

    def reshape(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.reshape(tuple(shape))

    def permute(self, x: Tensor, axes: Sequence[int]) -> Tensor:
        return x.permute(tuple(axes))

    def expand(self, x: Tensor, shape: Sequence[int]) -> Tensor:
        return x.expand(tuple(shape))

    def concat(self, xs: Sequence[Tensor], axis: int) -> Tensor:
        return torch.cat(tuple(xs), axis)

    def take(self, x: Tensor, axis: int, indices: Sequence[int]) -> Tensor:
        return x.index_select(axis, torch.tensor(indices, dtype=torch.int64))

    def gather(self, x: Tensor, axis: int, index: Tensor) -> Tensor:
        return x[(slice(None),) * axis + (index.remainder(x.shape[axis]),)]

    def take_along(self, x: Tensor, axis: int, index: Tensor) -> Tensor:
        return x.take_along_dim(index.remainder(x.shape[axis]), axis)

    def pad(self, x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
        return functional.pad(x, [width for pair in reversed(widths) for width in pair])

    def cast(self, x: Tensor, dtype: str) -> Tensor:
        if dtype == "bool":
            return x != 0
        if dtype in WHOLE:
            return x.to(torch.int64)
        return x if x.is_floating_point() else _reduced(x.to(torch.float64))

    # ------------------------------------------------------------ tables

    def function(self, name: str, attributes: Attributes, *xs: Tensor) -> Tensor:
        definition = DEFINED.get(name)
        return definition(self, attributes, *xs) if definition else self.table(name, attributes, *xs)

    def softmax(self, x: Tensor, axis: int) -> Tensor:
        weights = self.table("exp", (), x)
        return self.div(weights, self.sum(weights, (axis,), keep=True))

    def max(self, x: Tensor, axis: int) -> Tensor:
        """The last in a random order of all residues, so that maxima of maxima are maxima."""
        return x.take_along_dim(self._ranks(x).argmax(axis, keepdim=True), axis).squeeze(axis)

    def order(self, x: Tensor, axis: int, largest: bool) -> Tensor:
        """In that order, the last one first; the smallest elements are the largest of −x."""
        return self._ranks(x if largest else -x).sort(dim=axis, descending=True, stable=True).indices

    def opaque(self, call: Call, result: int, xs: Sequence[Tensor]) -> Tensor:
        """Drawn anew for every other call and for every change of an operand."""
        operands = b"".join(raw(x + 0.0).tobytes() for x in xs)  # there are two zeros
        shape = [size if isinstance(size, int) else DECIDED for size in call.types[result].shape]
        drawn = self.draw(shape, f"{call.key} {result} {sha256(operands).hexdigest()}")
        return self.cast(drawn, call.types[result].dtype)

    def table(self, name: str, attributes: Attributes, x: Tensor, *others: Tensor) -> Tensor:
        """A random function without zeros, so that one may divide by its values."""
        for i, other in enumerate(others):
            x = self.add(self.table(f"{name} {i}", attributes, x), other)
        key = name, attributes
        if key not in self._tables:
            draw = self.draw_positive if self.signs and name in POSITIVE else self.draw
            drawn = draw((P,), f"{name} {attributes}")
            self._tables[key] = drawn + (drawn == 0)
        return self._tables[key][_places(x)]

    def sqrt(self, x: Tensor) -> Tensor:
        """With signs, the root that is positive; where there is none, that of −x."""
        if not self.signs:
            return self._inverse(self.table("rsqrt", (), x))
        return powers((P + 1) // 4)[_places(x)]

    def absolute(self, x: Tensor) -> Tensor:
        """x times its sign, or an even table."""
        return self.mul(x, self.sign(x)) if self.signs else self.sqrt(self.mul(x, x))

    def sign(self, x: Tensor) -> Tensor:
        """1, −1, or 0 for zero: the Legendre symbol, whatever the signs of other functions are."""
        return powers((P - 1) // 2)[_places(x)]

    def _ranks(self, x: Tensor) -> Tensor:
        """The place of each residue in a random order; whole numbers have their own."""
        if not x.is_floating_point():
            return x
        order = self._tables.setdefault(("order", ()), torch.randperm(P, generator=self._generator("order")))
        return order[_places(x)]

    def _inverse(self, x: Tensor) -> Tensor:
        self.divided_by_zero |= bool((x == 0).any())
        return powers(P - 2)[_places(x)]

    def _generator(self, name: str) -> torch.Generator:
        digest = sha256(f"{self.seed}\n{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def _residue(value: Fraction) -> int:
    exact = Fraction(value)
    found = exact.numerator * pow(exact.denominator, -1, P) % P
    return found - P if found > LARGEST else found


def _reduced(x: Tensor) -> Tensor:
    """The centred residues of integers below 2⁵¹, where 1/p rounded puts the quotient on the right side of one half.

    It works in the place of x, a result of torch that nobody else holds and that has no gaps, and piece by piece, so
    that the quotients stay in the cache.  Integers stay what they are.
    """
    if x.is_floating_point():
        flat = x.as_strided((x.numel(),), (1,))
        for start in range(0, x.numel(), PIECE):
            piece = flat[start : start + PIECE]
            piece.sub_((piece * (1 / P)).round_(), alpha=P)
    return x


def _places(x: Tensor) -> Tensor:
    """Residues as positions in a table of p entries."""
    return (x + LARGEST).to(torch.int64)


@cache
def powers(exponent: int) -> Tensor:
    """Every residue to that power: to p − 2 its inverse (Fermat), to (p − 1) / 2 its Legendre symbol (Euler)."""
    base = torch.arange(-LARGEST, LARGEST + 1, dtype=torch.float64)
    power = torch.ones_like(base)
    for digit in f"{exponent:b}":
        power = _reduced(power * power)
        if digit == "1":
            power = _reduced(power * base)
    return power
