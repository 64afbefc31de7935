"""A checkpoint against a network: every parameter gets its tensor, every key is used once or named in an error."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from repc.checkpoints import errors
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.layout import Layout
from repc.diagnostics import Diagnostic, Failure, nearest
from repc.ir.node import Parameter
from repc.ir.types import DTYPES, WHOLE

RECOGNISED = 0.5
"""The share of keys from which on a checkpoint is taken for one of this model with faults."""

COUNTER = "num_batches_tracked"
"""A counter of batch norm that no output depends on and that some exporters leave out."""

FOLDED = ("rbr_reparam", "reparam_conv")
"""Labels of folded operators in the known layouts."""

_KIND = {**dict.fromkeys(DTYPES, "float"), **dict.fromkeys(WHOLE, "integer"), "bool": "bool", "c64": "complex"}


@dataclass(frozen=True, eq=False)
class Matched:
    """The tensor of every parameter by path, as the file has it, and the layout whose keys it was found under.

    `share` is the part of the parameters that the file has; `notes` say what was filled in for the rest.
    """

    values: dict[str, Tensor]
    layout: str
    share: float
    notes: tuple[str, ...]


def match(checkpoint: Checkpoint, parameters: Mapping[str, Parameter], layouts: Sequence[Layout]) -> Matched:
    """Give every parameter its tensor under the layout that fits best.

    Raises `Failure` with all faults found: keys missing (E611) or unknown (E612), shapes (E613), element types (E614),
    NaN and infinities (E615), tied keys with different values (E616); E610 alone where no layout fits.
    """
    present = {layout.name: _present(checkpoint, parameters, layout) for layout in layouts}
    shares = [_share(found) for found in present.values()]
    share = max(shares)
    layout = layouts[shares.index(share)]
    found = present[layout.name]
    if share < RECOGNISED:
        raise Failure(_not_of_this_model(checkpoint, layout, share, found))
    faults = [
        *_coverage(checkpoint, parameters, layout, found),
        *_values(checkpoint, parameters, found),
        *_ties(checkpoint, found),
    ]
    if faults:
        raise Failure(faults)
    zero = torch.zeros((), dtype=torch.int64)
    values = {path: checkpoint[keys[0]] if keys else zero.clone() for path, keys in found.items()}
    filled = sum(not keys for keys in found.values())
    notes = (f"{filled} {COUNTER} not in the file, taken as 0",) if filled else ()
    return Matched(values, layout.name, share, notes)


def _present(checkpoint: Checkpoint, parameters: Mapping[str, Parameter], layout: Layout) -> dict[str, list[str]]:
    """For every parameter the keys of the file that hold it, several where it is tied."""
    names = {path: (path, *parameter.aliases) for path, parameter in parameters.items()}
    keys = layout.keys([name for several in names.values() for name in several])
    return {path: [keys[name] for name in several if keys[name] in checkpoint] for path, several in names.items()}


def _share(found: Mapping[str, Sequence[str]]) -> float:
    return sum(bool(keys) for keys in found.values()) / len(found) if found else 1.0


def _not_of_this_model(
    checkpoint: Checkpoint, layout: Layout, share: float, found: Mapping[str, Sequence[str]]
) -> Diagnostic:
    unused = _unused(checkpoint, found)
    folded = any(segment in FOLDED for key in unused for segment in key.split("."))
    wanted = [key for path, key in layout.keys(found).items() if not found[path]]
    return errors.not_of_this_model(checkpoint.name, layout.name, share, unused, wanted, folded=folded)


def _unused(checkpoint: Checkpoint, found: Mapping[str, Sequence[str]]) -> list[str]:
    """The keys of the file that no parameter has; a network without counters, from an ONNX file, does not miss them."""
    used = {key for keys in found.values() for key in keys}
    counts = any(path.endswith(COUNTER) for path in found)
    return [key for key in checkpoint if key not in used and (counts or not key.endswith(COUNTER))]


# ------------------------------------------------------------------------------------------------ keys


def _coverage(
    checkpoint: Checkpoint, parameters: Mapping[str, Parameter], layout: Layout, found: Mapping[str, Sequence[str]]
) -> Iterator[Diagnostic]:
    unused = {key: tuple(checkpoint[key].shape) for key in _unused(checkpoint, found)}
    absent = {
        key: parameters[path].type.concrete()
        for path, key in layout.keys(found).items()
        if not found[path] and not path.endswith(COUNTER)
    }
    if absent:
        yield errors.missing_keys(checkpoint.name, layout.name, _lines(absent, unused, "the file also has"))
    if unused:
        yield errors.unexpected_keys(checkpoint.name, layout.name, _lines(unused, absent, "the model misses"))


def _lines(keys: Mapping[str, tuple[int, ...]], others: Mapping[str, tuple[int, ...]], where: str) -> list[str]:
    """A line per key, with the most similar one of the other side.

    Only keys of the same last segment and shape are compared: the comparison of names is slow, and renamed keys differ
    in front.
    """
    alike: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for other, shape in others.items():
        alike.setdefault((_leaf(other), shape), []).append(other)
    lines: list[str] = []
    for key, shape in keys.items():
        similar = nearest(key, alike.get((_leaf(key), shape), ()))
        lines.append(f"{key} {list(shape)}" + (f"; {where} {similar}" if similar else ""))
    return lines


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _ties(checkpoint: Checkpoint, found: Mapping[str, Sequence[str]]) -> Iterator[Diagnostic]:
    lines = [
        f"{path}: {' and '.join(keys)} differ"
        for path, keys in found.items()
        if not all(_equal(checkpoint[keys[0]], checkpoint[key]) for key in keys[1:])
    ]
    if lines:
        yield errors.tied_keys_differ(checkpoint.name, lines)


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a, b)


# ------------------------------------------------------------------------------------------------ tensors


def _values(
    checkpoint: Checkpoint, parameters: Mapping[str, Parameter], found: Mapping[str, Sequence[str]]
) -> Iterator[Diagnostic]:
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    kinds: list[str] = []
    lost: list[str] = []
    for path, (key, *_) in ((path, keys) for path, keys in found.items() if keys):
        tensor, wanted = checkpoint[key], parameters[path].type
        if tuple(tensor.shape) != wanted.concrete():
            shapes[key] = tuple(tensor.shape), wanted.concrete()
        elif _kind(tensor) != _KIND[wanted.dtype]:
            kinds.append(f"{key}: the file has {_kind(tensor)} values, the model {_KIND[wanted.dtype]}")
        elif count := _not_finite(tensor):
            lost.append(f"{key}: {count} of {tensor.numel()} values")
    if shapes:
        lines = [f"{key}: the file has {list(has)}, the model {list(wants)}" for key, (has, wants) in shapes.items()]
        yield errors.wrong_shapes(checkpoint.name, lines, _shape_remedy(shapes))
    if kinds:
        yield errors.wrong_kinds(checkpoint.name, kinds)
    if lost:
        yield errors.not_finite(checkpoint.name, lost)


def _kind(tensor: Tensor) -> str:
    if tensor.is_meta or tensor.layout is not torch.strided or tensor.is_quantized:
        return "quantised or sparse"
    if tensor.dtype is torch.bool:
        return "bool"
    if tensor.is_complex():
        return "complex"
    return "float" if tensor.is_floating_point() else "integer"


def _not_finite(tensor: Tensor) -> int:
    if not tensor.is_floating_point():
        return 0
    # The eight-bit formats have no arithmetic of their own.
    values = tensor.float() if tensor.itemsize == 1 else tensor
    # A sum is far faster than a look at each value, and it is finite only where all of them are.
    if torch.isfinite(values.sum()):
        return 0
    return tensor.numel() - int(torch.isfinite(values).sum())


def _shape_remedy(shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]) -> str:
    modules = {key.rpartition(".")[0] for key in shapes}
    pairs = list(shapes.values())
    if len(modules) == 1 and all(has and wants and has[1:] == wants[1:] for has, wants in pairs):
        (has, wants), (module,) = pairs[0], modules
        return f"{module} was trained with {has[0]} outputs, the spec has {wants[0]}: set that number in the spec"
    if all(len(has) == 2 and has[::-1] == wants for has, wants in pairs):
        return "the weights are stored transposed, (in, out): transpose them when saving"
    if all(math.prod(has) == math.prod(wants) for has, wants in pairs):
        return "the sizes agree but for their arrangement: reshape them when saving"
    return "check that widths, kernels and groups are those of the model that the file is of"
