"""What a merge did, or would do: for people, for machines, and as the manifest beside the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import prod
from pathlib import Path
from typing import Any

from repc.merging.computed import Loss
from repc.merging.hashes import Kind

MUCH = 0.1
"""The share of a change that rounding may lose before it is worth a warning."""
REMEDY = "the stored type is too coarse for this change; a base in float32 would keep it"
SHOWN = 5


@dataclass(frozen=True)
class Change:
    """A tensor that changes: its new value, what it is stored as, and what rounding loses, None where not measured."""

    expression: str
    dtype: str
    shape: tuple[int, ...]
    new: bool
    loss: Loss | None

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"expression": self.expression, "dtype": self.dtype, "shape": list(self.shape)}
        if self.new:
            found["new"] = True
        if self.loss is not None:
            found["lost"], found["unchanged"] = self.loss.relative, self.loss.unchanged
            found["measured"] = self.loss.count
        return found


@dataclass(frozen=True, eq=False)
class MergeReport:
    """What was merged into what.

    `out` is None after a dry run.  `adapters`, or models, are in the order by which expressions know them.  `kept`
    counts the tensors that are the base's own; `files` and `inputs` map files to their hashes of one kind, None
    where none was asked for; `resumed` counts files that an earlier run had finished.
    """

    out: Path | None
    base: str
    adapters: Sequence[str]
    arithmetic: str
    changes: Mapping[str, Change]
    kept: int
    hash: Kind | None
    files: Mapping[str, str | None]
    inputs: Mapping[str, str | None]
    notes: tuple[str, ...]
    resumed: int = 0

    def lossy(self) -> dict[str, Loss]:
        """The tensors that lose much of their change, the worst first."""
        found = {key: c.loss for key, c in self.changes.items() if c.loss is not None and c.loss.relative > MUCH}
        return dict(sorted(found.items(), key=lambda item: -item[1].relative))

    @property
    def total(self) -> Loss:
        """The loss of all tensors together, each by its size and not by how much of it was measured."""
        found = [(change.loss, prod(change.shape)) for change in self.changes.values() if change.loss is not None]
        return sum((loss.of(size) for loss, size in found), Loss())

    def summary(self) -> Iterator[tuple[str, str]]:
        """What there is to say, each part with its label."""
        made = sum(change.new for change in self.changes.values())
        new = f", {made} of them new" if made else ""
        tensors = "tensor" if len(self.changes) == 1 else "tensors"
        yield "Changed", f"{len(self.changes)} {tensors}{new}; {self.kept} kept · computed in {self.arithmetic}"
        total = self.total
        if total.count:
            lost = f"loses {total.relative:.1%} of the change"
            yield "Rounding", f"{lost}; {total.unchanged:.1%} of the weights stay as they were"
        lossy = [
            f"{key} loses {loss.relative:.0%}, {loss.unchanged:.0%} unchanged" for key, loss in self.lossy().items()
        ]
        if lossy:
            more = [f"and {len(lossy) - SHOWN} more tensors that lose over 10 %"] if len(lossy) > SHOWN else []
            yield "Warning", "\n".join([*lossy[:SHOWN], *more, REMEDY])
        if self.notes:
            yield "Notes", "\n".join(self.notes)
        if self.resumed:
            yield "Resumed", f"{self.resumed} {'file' if self.resumed == 1 else 'files'} of an earlier run kept"

    def __str__(self) -> str:
        rows = [*self.summary(), *([("Wrote", str(self.out))] if self.out is not None else [])]
        return "\n".join(f"  {label:<10}" + text.replace("\n", "\n" + " " * 12) for label, text in rows)

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def written(self) -> list[tuple[str, int]]:
        """The files of the result, and their sizes."""
        if self.out is None:
            return []
        folder = self.out if self.out.is_dir() else self.out.parent
        return [(str(folder / name), (folder / name).stat().st_size) for name in self.files]

    def to_dict(self) -> dict[str, Any]:
        """The manifest: nothing in it is of this run alone, so that the same merge has the same manifest."""
        return {
            "base": self.base,
            "adapters": list(self.adapters),
            "arithmetic": self.arithmetic,
            "hash": self.hash,
            "inputs": dict(self.inputs),
            "files": dict(self.files),
            "kept": self.kept,
            "changed": {key: change.to_dict() for key, change in self.changes.items()},
            "lost": self.total.relative,
            "unchanged": self.total.unchanged,
            "notes": list(self.notes),
        }
