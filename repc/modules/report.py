"""What folding a module did, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape

from repc.ir.graph import Graph
from repc.ir.trace import Refusal, Step, Trace
from repc.ops.opaque import opaque_names
from repc.verify import Report

SHOWN = 5  # refusals that are listed before the rest is counted
HIDDEN = ("input", "opaque")


@dataclass(frozen=True, eq=False)
class FoldReport:
    """What was folded, what was not and why, and how it was checked; true where it was found to be equal.

    `before` and `after` count operators by name, `opaque` those that repc has no meaning for.  `free` are the sizes of
    inputs that stay free and `fixed` the inputs that have their sizes from the example.
    """

    name: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    opaque: Mapping[str, int]
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]
    inputs: Mapping[str, str]
    notes: tuple[str, ...]
    verification: Report | None

    def __bool__(self) -> bool:
        return self.verification is not None and bool(self.verification)

    def __str__(self) -> str:
        head = [f"{self.name}: {self._folded()}"]
        changed = [(name, *counts) for name, counts in self._counts().items() if counts[0] != counts[1]]
        width = max((len(name) for name, *_ in changed), default=0)
        rows = [f"{name:<{width}}   {before:>5} -> {after}" for name, before, after in changed]
        blocks = [head, rows, *self._details()]
        return "\n\n".join("\n".join(f"  {line}" for line in block) for block in blocks if block)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{before}</td><td>{after}</td></tr>"
            for name, (before, after) in self._counts().items()
        )
        head = "<tr><th>operator</th><th>before</th><th>after</th></tr>"
        lines = "".join(f"<p>{'<br>'.join(map(escape, block))}</p>" for block in self._details())
        return f"<p><b>{escape(self.name)}</b>: {escape(self._folded())}</p><table>{head}{rows}</table>{lines}"

    def _folded(self) -> str:
        rules = {step.rule for step in self.steps}
        return f"{len(self.steps)} folds by {len(rules)} rules" if rules else "nothing to fold"

    def _counts(self) -> dict[str, tuple[int, int]]:
        names = dict.fromkeys((*self.before, *self.after))
        return {name: (self.before.get(name, 0), self.after.get(name, 0)) for name in names}

    def _details(self) -> list[list[str]]:
        """What is left, what it holds for, and the verdict."""
        refused = [f"kept {refusal.edge}: {refusal.reason}; {refusal.remedy}" for refusal in self.refusals[:SHOWN]]
        if len(self.refusals) > SHOWN:
            refused.append(f"and {len(self.refusals) - SHOWN} more, in .refusals")
        opaque = [f"opaque {name}: {count}" for name, count in self.opaque.items()]
        sizes = [f"input {name}: {type}" for name, type in self.inputs.items()]
        pinned = [f"only for these sizes: {step.path}" for step in self.steps if step.exactness == "pinned"]
        verdict = [str(self.verification)] if self.verification is not None else ["not verified"]
        return [block for block in (refused, opaque, [*sizes, *pinned], list(self.notes), verdict) if block]


def report(
    before: Graph, after: Graph, trace: Trace, notes: tuple[str, ...], verification: Report | None
) -> FoldReport:
    """The report on a fold; places in the source are left out, so that it can be stored with the module."""
    return FoldReport(
        before.name,
        _kinds(before),
        _kinds(after),
        Counter(opaque_names(before).values()),
        tuple(replace(step, origin=()) for step in trace.steps),
        tuple(replace(refusal, origin=()) for refusal in trace.refusals),
        {name: str(before[id].type) for name, id in before.inputs.items()},
        notes,
        verification,
    )


def _kinds(graph: Graph) -> dict[str, int]:
    return dict(Counter(graph[id].op.title for id in graph.order() if graph[id].op.name not in HIDDEN))
