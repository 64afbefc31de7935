"""Runs of equal steps under consecutive numbers: ``repeat`` in a sequence, ``for`` among branches.

The arguments of a run may differ from round to round, but for sizes that are not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from repc.backends.spec.slots import Slot
from repc.backends.spec.steps import Body, Ref, Step, Value
from repc.backends.spec.terms import is_symbolic


@dataclass(frozen=True, slots=True)
class Series:
    """The slots of the rounds of a run, one of each."""

    slots: tuple[Slot, ...]


def rolled(body: Body) -> Body:
    """A body with a step for each run."""
    roller = _Roller(body)
    for step in body.steps:
        roller.sequence(step)
    for step in body.steps:
        if step.form.kind == "merge":
            roller.branches(step)
    return roller.body()


class _Roller:
    def __init__(self, body: Body) -> None:
        self.old = body
        self.uses = Counter(ref for step in body.steps for ref in step.operands.values())
        self.uses.update(body.results)
        self.users = {ref: step for step in body.steps for ref in step.operands.values()}
        self.gone: set[Step] = set()
        self.instead: dict[Step, Step] = {}
        self.operands: dict[Step, list[Ref]] = {}

    def sequence(self, step: Step) -> None:
        """Roll up the chain that begins here."""
        if step in self.gone or not _rolls(step) or len(step.operands) != 1:
            return
        run = [step]
        while True:
            result = Value(run[-1])
            following = self.users.get(result)
            if following is None or self.uses[result] != 1 or len(following.operands) != 1:
                break
            if not _follows(run[-1], following):
                break
            run.append(following)
        if len(run) > 1 and _steady(run):
            self.gone.update(run[:-1])
            self.instead[run[-1]] = _run(run)
            self.gone.add(run[-1])

    def branches(self, merge: Step) -> None:
        """Roll up equal branches of a merge that lie side by side."""
        kept: list[Ref] = []
        runs: list[list[Step]] = []
        for ref in merge.operands.values():
            step = ref.step if isinstance(ref, Value) and self.uses[ref] == 1 else None
            if step is None or step in self.gone or not _rolls(step):
                kept.append(ref)
                continue
            last = runs[-1][-1] if runs and kept and kept[-1] == Value(runs[-1][0]) else None
            if last and _follows(last, step) and [*last.operands.values()] == [*step.operands.values()]:
                runs[-1].append(step)
            else:
                runs.append([step])
                kept.append(ref)
        for run in runs:
            if len(run) > 1 and _steady(run):
                self.gone.update(run[1:])
                self.instead[run[0]] = replace(_run(run), operands=run[0].operands, parallel=True)
            elif len(run) > 1:
                at = kept.index(Value(run[0]))
                kept[at + 1 : at + 1] = [Value(step) for step in run[1:]]
        self.operands[merge] = kept

    def body(self) -> Body:
        steps: dict[Step, Step] = {}

        def ref(found: Ref) -> Ref:
            return replace(found, step=steps.get(found.step, found.step)) if isinstance(found, Value) else found

        for step in self.old.steps:
            if step in self.gone and step not in self.instead:
                continue
            new = self.instead.get(step, step)
            operands = new.operands
            if step in self.operands:
                operands = {str(number): found for number, found in enumerate(self.operands[step])}
            steps[step] = replace(new, operands={name: ref(found) for name, found in operands.items()})
        return replace(self.old, steps=[*steps.values()], results=[*map(ref, self.old.results)])


def _rolls(step: Step) -> bool:
    """Whether it can be a round of a run: a block with one result, under a number."""
    return step.form.kind == "block" and step.results == 1 and step.loop is None and _number(step) is not None


def _number(step: Step) -> int | None:
    last = step.label.rpartition(".")[2]
    return int(last) if last.isdecimal() and str(int(last)) == last else None


def _follows(step: Step, other: Step) -> bool:
    a, b = _number(step), _number(other)
    same = step.callee == other.callee and step.label.rpartition(".")[0] == other.label.rpartition(".")[0]
    return same and a is not None and b == a + 1 and list(step.operands) == list(other.operands)


def _steady(run: Sequence[Step]) -> bool:
    """Whether sizes that are not known are the same in all rounds."""
    columns: Iterable[tuple[Slot, ...]] = zip(*(step.form.slots for step in run), strict=True)
    return all(
        not any(is_symbolic(slot.value) for slot in column) or len({slot.value for slot in column}) == 1
        for column in columns
    )


def _run(run: Sequence[Step]) -> Step:
    first = run[0]
    columns = zip(*(step.form.slots for step in run), strict=True)
    slots = (Slot("count", len(run)), *(Slot(column[0].name, Series(column)) for column in columns))
    start = _number(first)
    return replace(first, form=replace(first.form, slots=slots), label=first.label.rpartition(".")[0], loop=start)
