"""A method and its formula: how a catalogue of specs is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Method:
    """An attached block, the weight it is attached to, and what it makes of it.

    `given` draws what is not any number: indices, masks.  With `biased` it takes weight and bias; `shared` are weights
    of the adapter itself, and one that is `fixed` has none that is trained.
    """

    module: str
    call: str
    formula: Callable[..., Tensor | tuple[Tensor, Tensor]]
    shape: tuple[int, ...] = (6, 8)
    biased: bool = False
    shared: str = ""
    given: Mapping[str, Callable[[tuple[int, ...]], Tensor]] = field(
        default_factory=dict[str, Callable[[tuple[int, ...]], Tensor]]
    )
    fixed: bool = False

    @property
    def name(self) -> str:
        return self.call.partition("(")[0]

    @property
    def columns(self) -> int:
        """The size of the second axis."""
        return self.shape[1]

    @property
    def source(self) -> str:
        """What a spec imports."""
        return self.module if "." in self.module else f"adapters.{self.module}"


@dataclass(frozen=True)
class Layer:
    """A layer, its input, its output as a formula, and how many operators are left when it is folded."""

    module: str
    call: str
    ports: str
    formula: Callable[..., Tensor]
    left: Mapping[str, int]
    given: Mapping[str, Callable[[tuple[int, ...]], Tensor]] = field(
        default_factory=dict[str, Callable[[tuple[int, ...]], Tensor]]
    )

    @property
    def name(self) -> str:
        return self.call.partition("(")[0]
