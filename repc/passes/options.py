"""What a target asks of folding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from repc.ir.expr import Expr
from repc.ir.paths import pattern
from repc.ir.target import Override


@dataclass(frozen=True, slots=True)
class Options:
    """`keep`: path patterns of what stays as it is; `objective` and `overrides`: what a fold may cost, and where.

    `values` computes a weight, flat, from the parameters that are to be deployed: with it folding may rely on what is
    true of these values alone.  Without `pin`, no fold may hold for the sizes at hand alone; with `border_maps` a
    border may be made up for by a constant of the size of a value.
    """

    keep: tuple[str, ...] = ()
    objective: str = "default"
    overrides: tuple[Override, ...] = ()
    values: Callable[[Expr], Sequence[float]] | None = None
    pin: bool = True
    border_maps: bool = False

    def keeps(self, path: str) -> bool:
        """Whether a pattern is the path or one of its ancestors."""
        return any(pattern(text).covers(path) for text in self.keep)

    def objective_at(self, path: str) -> str:
        """The objective of a site; the last override that covers it wins."""
        covering = [o.objective for o in self.overrides if pattern(o.pattern).covers(path)]
        return covering[-1] if covering else self.objective
