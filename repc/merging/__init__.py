"""Adapters merged into a checkpoint that has no spec, of any size.

    plan       the expression of every tensor that changes, from names and shapes alone
    arithmetic the same for models of one architecture: task vectors, soups, TIES, …
    precision  adapters that were trained beside quantised weights
    layers     a base whose layers are taken anew, some of them several times
    tied       tensors that are one, and what becomes of them
    computed   the new value of one tensor by tiles of its rows, and what rounding loses
    fused      products added to a matrix in one pass
    destroyed  what was true of the weights, and is not any more
    layout     the files of the result: those of the base, with the same tensors at the same places
    stream     tiles through memory: read, computed, rounded once, written
    hashes     of what goes in and comes out
    staging    what is finished so far, so that a merge that was killed goes on where it was
    run        all of that, from files to files
    memory     the same for tensors in memory, in float64
    choices    what the options may be

A tile, and so each bit of the result, depends on the shapes alone: neither on threads and memory nor on where a merge
was interrupted.  Nothing appears under the name of the result before all of it is on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from torch import Tensor

from repc.merging.arithmetic import Policy, combining
from repc.merging.choices import check_options
from repc.merging.memory import Merged, merged
from repc.merging.plan import planning
from repc.merging.report import MergeReport
from repc.merging.run import Options, merge_files
from repc.merging.stream import Say

__all__ = ["MergeReport", "Merged", "Options", "Policy", "Say", "combining", "merge", "merge_files", "planning"]


@overload
def merge(
    base: str | Path | Mapping[str, Tensor],
    adapters: str | Path | Sequence[str | Path],
    out: None = None,
    *,
    compat: bool = False,
    tied: Literal["untie", "share"] | None = None,
) -> Merged: ...
@overload
def merge(
    base: str | Path, adapters: str | Path | Sequence[str | Path], out: str | Path, **options: Any
) -> MergeReport: ...
def merge(base: Any, adapters: str | Path | Sequence[str | Path], out: str | Path | None = None, **options: Any) -> Any:
    """A checkpoint with adapters, all of them active: folders that PEFT wrote, files of kohya's scripts or LyCORIS.

    Without `out` the tensors are computed in memory, in float64; with it they are streamed from file to file, with
    the `Options` that are given by their names, and those of `plan`.  Every tensor keeps its element type.

    Raises `Failure`: E4xx where an adapter does not fit the base, E60x and E62x for what cannot be read, E63x and E64x
    for what cannot be merged, E644 among them for an option that has no such value.
    """
    adapters = [adapters] if isinstance(adapters, str | Path) else adapters
    check_options({"adapters": adapters, **options})
    if out is None:
        return merged(base, adapters, **options)
    told = {name: options.pop(name) for name in ("compat", "base_precision", "quantised") if name in options}
    return merge_files(base, planning(adapters, **told), out, Options(**options))
