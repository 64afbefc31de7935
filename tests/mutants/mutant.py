"""A wrong fold: the ordinary one, run while functions of the algebra are replaced by wrong ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from repc.ir.expr import Apply, Param, parameters
from repc.ir.graph import Graph
from repc.ir.node import Node
from repc.ir.trace import Trace
from repc.passes import Options, fold
from repc.passes.views import LinearView


@dataclass(frozen=True, eq=False)
class Patch:
    """What stands in the place of an attribute of a module or class, or of an entry of a table."""

    owner: Any
    name: Any
    wrong: Any

    def at(self, prefix: str) -> Patch:
        """The same patch of a function, but only where it is about an operator whose path begins so."""
        right = self.owner[self.name] if isinstance(self.owner, Mapping) else getattr(self.owner, self.name)

        def either(*given: Any, **named: Any) -> Any:
            there = any(path.startswith(prefix) for value in given for path in _paths(value))
            return (self.wrong if there else right)(*given, **named)

        return replace(self, wrong=either)


def _paths(value: object) -> Sequence[str]:
    """The paths of what an argument of the algebra is about."""
    if isinstance(value, Node):
        return [value.path]
    if isinstance(value, LinearView):
        return _paths(value.weight)
    return [*parameters([value])] if isinstance(value, (Param, Apply)) else []


@dataclass(frozen=True, eq=False)
class Witness:
    """A small network on which a fault shows, and the options by which the fold applies the rule to it."""

    name: str
    build: Callable[[], Graph]
    options: Callable[[Graph], Options]


@dataclass(frozen=True, eq=False)
class Mutant:
    """A rule, what is wrong with it, the witness, and how the fault is made."""

    rule: str
    fault: str
    witness: Witness
    patches: tuple[Patch, ...]

    def fold(self) -> tuple[Graph, Graph, Trace]:
        """The witness, and the wrong fold of it."""
        train = self.witness.build()
        return train, *mutated(train, self.patches, self.witness.options(train))

    def __str__(self) -> str:
        return f"{self.rule} {self.fault}"


@contextmanager
def patched(patches: Iterable[Patch]) -> Iterator[None]:
    """Meanwhile the patches are in place."""
    with pytest.MonkeyPatch.context() as patching:
        for patch in patches:
            if isinstance(patch.owner, Mapping):
                patching.setitem(patch.owner, patch.name, patch.wrong)
            else:
                patching.setattr(patch.owner, patch.name, patch.wrong)
        yield


def mutated(graph: Graph, patches: Iterable[Patch], options: Options | None = None) -> tuple[Graph, Trace]:
    """The graph folded while the patches are in place."""
    with patched(patches):
        return fold(graph, options)
