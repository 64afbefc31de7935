"""Products of matrices in the order that costs least, and structured factors that are never made dense.

A weight is often said as its paper has it: ``W (I - 2uuᵀ) (I - 2vvᵀ)``, ``B A X``, ``diag(c) W``, ``P W``.  All are
products, and the same value may take fewer multiply-adds: ``W - 2 (W u) uᵀ``, ``B (A X)``, scaled rows, rows of W.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import TypeVar

from repc.ir.expr import Apply, Expr, apply, walk
from repc.ops.arithmetic import Divide, Multiply, Sum
from repc.ops.build import add, div, mul, permute, reshape, scale
from repc.ops.constant import Eye
from repc.ops.linear import MatMul
from repc.ops.select import Gather
from repc.ops.shape import Permute
from repc.ops.work import multiply_adds_of

K = TypeVar("K")
DEEPEST = 150  # levels of an expression that is looked into, which is done by recursion
LONGEST = 40  # factors of one product; the time to order them grows with the cube of their number


@dataclass(frozen=True)
class _Term:
    """``coefficient · Π scales · Π factors``; a scale is a single number, and whether it divides."""

    coefficient: Fraction
    scales: tuple[tuple[Expr, bool], ...]
    factors: tuple[Expr, ...]


@dataclass(frozen=True)
class _Made:
    """An expression, and the multiply-adds of the products that were put into it."""

    expr: Expr
    cost: int


def cheaper(exprs: Mapping[K, Expr]) -> dict[K, Expr]:
    """Expressions of the same values that take no more multiply-adds; those without a better order are the same."""
    roots = list(exprs.values())
    uses = Counter(arg for part in walk(roots) if isinstance(part, Apply) for arg in part.args.values())
    uses.update(roots)
    products = [part for part in walk(roots) if isinstance(part, Apply) and isinstance(part.op, MatMul)]
    inner = {arg for part in products for arg in part.args.values() if uses[arg] == 1}
    depth: dict[Expr, int] = {}
    for part in walk(roots):
        depth[part] = 1 + max((depth[arg] for arg in part.args.values()), default=0) if isinstance(part, Apply) else 1
    order = _Order(uses, inner | {product for product in products if depth[product] > DEEPEST})
    new: dict[Expr, Expr] = {}
    for part in walk(roots):
        new[part] = order.rebuilt(part)
    found = {key: new[expr] for key, expr in exprs.items()}
    return found if multiply_adds_of(found.values()) < multiply_adds_of(roots) else dict(exprs)


class _Order:
    """Looks through products and sums that nothing else uses, operands before what is made of them."""

    def __init__(self, uses: Mapping[Expr, int], left: Set[Expr]) -> None:
        """`left` are products that are part of another one, or too deep."""
        self._uses, self._left = uses, left
        self._new: dict[Expr, Expr] = {}

    def rebuilt(self, expr: Expr) -> Expr:
        """The expression over rebuilt operands, and its products in their best order."""
        found = expr
        if isinstance(expr, Apply):
            args = {name: self._new[arg] for name, arg in expr.args.items()}
            if any(args[name] is not arg for name, arg in expr.args.items()):
                found = replace(expr, args=args)
            if isinstance(expr.op, MatMul) and expr not in self._left:
                found = self._ordered(expr, found)
        self._new[expr] = found
        return found

    def _ordered(self, product: Apply, found: Expr) -> Expr:
        """A product that is no part of another one in its best order, if that is better than what was found."""
        term = self._term(product, root=True)
        if not 2 <= len(term.factors) <= LONGEST:
            return found
        best = self._product(self._scaled(term)).expr
        return best if multiply_adds_of([best]) < multiply_adds_of([found]) else found

    # ------------------------------------------------------------ reading

    def _inside(self, expr: Expr, root: bool) -> bool:
        return root or self._uses[expr] == 1

    def _term(self, expr: Expr, root: bool = False) -> _Term:
        """A matrix as a product; whatever is none is its only factor."""
        if isinstance(expr, Apply) and expr.type.rank == 2 and self._inside(expr, root):
            args = expr.args
            match expr.op:
                case MatMul() if all(arg.type.rank == 2 for arg in args.values()):
                    a, b = self._term(args["a"]), self._term(args["b"])
                    return _Term(a.coefficient * b.coefficient, a.scales + b.scales, a.factors + b.factors)
                case Sum((coefficient,)):
                    inner = self._term(args["0"])
                    return replace(inner, coefficient=coefficient * inner.coefficient)
                case Permute():
                    inner = self._term(args["x"])
                    if len(inner.factors) > 1:
                        return replace(inner, factors=tuple(_turned(factor) for factor in reversed(inner.factors)))
                case Multiply() | Divide():
                    number, other = self._number(expr)
                    if number is not None:
                        inner = self._term(other)
                        return replace(inner, scales=(*inner.scales, (number, isinstance(expr.op, Divide))))
                case _:
                    pass
        return _Term(Fraction(1), (), (expr,))

    def _number(self, expr: Apply) -> tuple[Expr | None, Expr]:
        """What a matrix is multiplied with, or divided by, where that is one number."""
        a, b = expr.args["a"], expr.args["b"]
        ways = [(b, a)] if isinstance(expr.op, Divide) else [(b, a), (a, b)]
        single = (way for way in ways if prod(way[0].type.concrete()) == 1 and way[1].type == expr.type)
        return next(single, (None, expr))

    def _terms(self, expr: Expr) -> list[_Term]:
        """The products that a factor is the sum of; none where it is no sum that is used here alone."""
        if not (isinstance(expr, Apply) and isinstance(expr.op, Sum) and self._inside(expr, False)):
            return []
        if len(expr.args) < 2 or any(arg.type != expr.type for arg in expr.args.values()):
            return []
        terms = [self._term(arg) for arg in expr.args.values()]
        return [
            replace(term, coefficient=term.coefficient * c) for term, c in zip(terms, expr.op.coefficients, strict=True)
        ]

    # ------------------------------------------------------------ writing

    def _product(self, factors: tuple[Expr, ...]) -> _Made:
        """The cheapest order, by the cost of every stretch of factors (Godbole 1973)."""
        count = len(factors)
        best = {(i, i): self._alone(factor) for i, factor in enumerate(factors)}
        for width in range(1, count):
            for i in range(count - width):
                j = i + width
                tried = [self._split(best[i, k], best[k + 1, j], factors, i, k, j) for k in range(i, j)]
                best[i, j] = min(tried, key=lambda made: made.cost)
        return best[0, count - 1]

    def _split(self, a: _Made, b: _Made, factors: tuple[Expr, ...], i: int, k: int, j: int) -> _Made:
        """One matrix times another, either of which may be a factor whose structure is of use."""
        (m, n), (_, p) = a.expr.type.concrete(), b.expr.type.concrete()
        ways = [_Made(apply(MatMul(), a=a.expr, b=b.expr), a.cost + b.cost + m * n * p)]
        if k + 1 == j:
            ways += self._structured(a, factors[j], left=False)
        if i == k:
            ways += self._structured(b, factors[i], left=True)
        return min(ways, key=lambda made: made.cost)

    def _structured(self, x: _Made, factor: Expr, left: bool) -> list[_Made]:
        """A matrix and a factor to its left or right, without the factor as a dense matrix."""
        ways: list[_Made] = []
        direct = _direct(x.expr, factor, left, self._new)
        if direct is not None:
            ways.append(_Made(direct, x.cost))
        terms = self._terms(factor)
        if terms:
            parts = [self._beside(x.expr, term, left) for term in terms]
            ways.append(_Made(add(*(part.expr for part in parts)), x.cost + sum(part.cost for part in parts)))
        return ways

    def _beside(self, x: Expr, term: _Term, left: bool) -> _Made:
        """A matrix times a term of a sum; the identity leaves it as it is."""
        self._new.setdefault(x, x)
        factors = [factor for factor in term.factors if not _is(factor, Eye)]
        factors.insert(len(factors) if left else 0, x)
        return self._product(self._scaled(replace(term, factors=tuple(factors))))

    def _alone(self, factor: Expr) -> _Made:
        """A factor by itself; a sum has to be made first."""
        return _Made(self._renewed(factor), sum(self._product(t.factors).cost for t in self._terms(factor)))

    def _renewed(self, factor: Expr) -> Expr:
        if factor not in self._new:  # a transpose that was made here
            assert isinstance(factor, Apply)
            self._new[factor] = permute(self._new[factor.args["x"]], (1, 0))
        return self._new[factor]

    def _scaled(self, term: _Term) -> tuple[Expr, ...]:
        """The factors with the smallest of them times the numbers, which takes the least time."""
        least = min(range(len(term.factors)), key=lambda k: prod(term.factors[k].type.concrete()))
        made = scale(self._renewed(term.factors[least]), term.coefficient)
        for number, divides in term.scales:
            made = div(made, self._new[number]) if divides else mul(made, self._new[number])
        self._new.setdefault(made, made)
        unscaled = term.coefficient == 1 and not term.scales
        return term.factors if unscaled else (*term.factors[:least], made, *term.factors[least + 1 :])


def _direct(x: Expr, factor: Expr, left: bool, new: Mapping[Expr, Expr]) -> Expr | None:
    """The identity, a diagonal, or rows of the identity times a matrix."""
    if _is(factor, Eye):
        return x
    if not isinstance(factor, Apply):
        return None
    args = factor.args
    if isinstance(factor.op, Multiply) and _is(args["b"], Eye) and args["a"].type.shape == (factor.type.shape[0], 1):
        column = new[args["a"]]
        return mul(column, x) if left else mul(x, reshape(column, (1, *column.type.shape[:1])))
    if left and isinstance(factor.op, Gather) and not factor.op.axis and _is(args["x"], Eye):
        return apply(Gather(0), x=x, index=new[args["index"]])
    return None


def _is(expr: Expr, kind: type[Eye]) -> bool:
    return isinstance(expr, Apply) and isinstance(expr.op, kind)


def _turned(factor: Expr) -> Expr:
    """The transpose, taken back where it is one."""
    if isinstance(factor, Apply) and isinstance(factor.op, Permute):
        return factor.args["x"]
    return permute(factor, (1, 0))
