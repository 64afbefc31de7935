"""How results are laid out: labelled rows, tables, numbers with units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from repc.diagnostics import Span

LABEL = 10
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def row(label: str, text: str, width: int = LABEL) -> str:
    """``  Label     text``, with further lines of the text under the first."""
    first, *rest = text.split("\n") if text else [""]
    return "\n".join([f"  {label:<{width}}{first}".rstrip(), *(" " * (width + 2) + line for line in rest)])


def table(rows: Iterable[Sequence[str]], align: str) -> str:
    """Columns as wide as they need to be; `align` has a letter for each: < left, > right."""
    lines = [list(cells) for cells in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  "
        + "   ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, align, widths, strict=True)).rstrip()
        for line in lines
    )


def amount(value: float) -> str:
    """A count in three digits and a unit: 1.52 G."""
    for size, unit in UNITS:
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def size(count: int) -> str:
    """A size in bytes, as file managers show it."""
    for step, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= step:
            return f"{count / step:.3g} {unit}"
    return f"{count} B"


def plural(count: int, noun: str) -> str:
    """``1 site``, ``22 sites``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(items: Sequence[str], shown: int = 3) -> str:
    """The first few of many."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more


def place(origin: Sequence[Span]) -> str:
    """The innermost place in the file of the model, past which lies the library."""
    own = [span for span in origin if span.source is origin[0].source]
    return str(own[-1]) if own else ""
