"""What was true of the weights of a base and is not true of the merged ones: zeros, few values, orthogonality.

The first rows of each weight tell, read back from what was written: a few kilobytes, whatever the size of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from pathlib import Path

from repc.checkpoints import Header, Stored
from repc.evaluate.properties import lost
from repc.merging.layout import Output
from repc.merging.operands import Operands

LOOKED_AT = 1 << 16
"""Elements of a weight that are looked at."""

SHOWN = 5


def destroyed(operands: Operands, keys: Iterable[str], outputs: Sequence[Output], folder: Path) -> Iterator[str]:
    """What the weights of these keys lost, in words, of which the first few are named.

    `outputs` are the files of the result, which lie in `folder`.
    """
    files = {output.name: Header(output.entries, {}) for output in outputs}
    merged = Stored(folder, files, {key: name for name, header in files.items() for key in header.entries})
    found: list[str] = []
    for key in keys:
        if operands.stored(key) not in operands.base.homes:
            continue
        shape = merged.entry(key).shape
        rows = min(shape[0], max(1, LOOKED_AT // max(1, prod(shape[1:])))) if shape else 0
        if rows:
            before = operands.read(key, 0, 0, rows)
            part = f" (its first {rows} rows)" if rows < shape[0] else ""
            found += [f"{key}{part}: {words}" for words in lost(before, merged.rows(key, 0, rows))]
    yield from found[:SHOWN]
    if len(found) > SHOWN:
        yield f"and {len(found) - SHOWN} more weights that are no longer sparse, quantised or orthogonal"
