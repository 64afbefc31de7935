"""Two networks against each other, wherever they are from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from math import prod, sqrt
from pathlib import Path
from typing import TypeAlias

import onnx
import torch
from torch import Tensor, nn

from repc.diagnostics import Failure
from repc.verify.checks import Noise, accuracy, agreement
from repc.verify.cuts import Cut
from repc.verify.errors import no_data
from repc.verify.options import LIMIT
from repc.verify.report import NOT_COVERED, Report
from repc.verify.runs import ModuleRun, OnnxRun, tensors_of
from repc.verify.sampling import Batch, describe
from repc.verify.subject import Subject, compare_all

Data: TypeAlias = Tensor | Sequence[Tensor]


def compare(
    a: nn.Module, b: nn.Module | onnx.ModelProto | str | Path, data: Tensor | Iterable[Data], *, limit: float = LIMIT
) -> Report:
    """Compare the outputs of a network with those of `a`, in evaluation mode, on batches of real data.

    A batch is a tensor, or a sequence of them in the order of the inputs; a single tensor is one batch.  The reference
    is `a` in float64.  In its own floating-point type (float32 for a file), `b` may be `limit` times as far off as `a`
    is in that type; in float64, 1e-11 relative (‖Δ‖∞/‖y‖∞); a file, about √n units in the last place if that is more,
    for n positions of the inputs.  Neither module is changed.
    """
    dtype = _dtype(b)
    sample = [_batch([item] if isinstance(item, Tensor) else item, dtype) for item in _batches(data)]
    same, double = _copy(a, dtype), _copy(a, torch.float64)
    with torch.no_grad():
        count = len(tensors_of(same(*sample[0].inputs.values())))
        outputs = [Cut(f"output {i}" if count > 1 else "output") for i in range(count)]
        oracle = Subject("reference", ModuleRun(double, outputs, {}, torch.float64))
        noise = Subject("noise", ModuleRun(same, outputs, {}))
        found = _subject(b, outputs, dtype)
        compare_all(oracle, [noise, found], sample)
    if oracle.fault:
        check = agreement("reference (float64)", oracle)
    else:
        unit = torch.finfo(dtype).eps
        slack = {} if isinstance(b, nn.Module) else dict.fromkeys(outputs, limit * unit * sqrt(positions(sample)))
        check = accuracy(found.name, found, Noise(noise, dtype, limit, slack))
    return Report(type(a).__name__, describe(sample, "given"), (check,), NOT_COVERED)


def _dtype(b: nn.Module | onnx.ModelProto | str | Path) -> torch.dtype:
    tensors = b.state_dict().values() if isinstance(b, nn.Module) else ()
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)


def positions(sample: Sequence[Batch]) -> int:
    """How many values a pool over all of an input would add up, which ONNX Runtime does one after another."""
    return max(prod(x.shape[2:]) for batch in sample for x in batch.inputs.values())


def _batches(data: Tensor | Iterable[Data]) -> list[Data]:
    found: list[Data] = [data] if isinstance(data, Tensor) else list(data)
    if not found:
        raise Failure(no_data())
    return found


def _batch(inputs: Sequence[Tensor], dtype: torch.dtype) -> Batch:
    samples = len(inputs[0]) if inputs[0].dim() else 1
    return Batch({str(i): x.to(dtype) if x.is_floating_point() else x for i, x in enumerate(inputs)}, samples)


def _copy(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    return deepcopy(module).to(dtype).eval()


def _subject(b: nn.Module | onnx.ModelProto | str | Path, outputs: Sequence[Cut], dtype: torch.dtype) -> Subject:
    kind = str(dtype).removeprefix("torch.")
    if isinstance(b, nn.Module):
        return Subject(f"torch CPU {kind}", ModuleRun(_copy(b, dtype), outputs, {}))
    return Subject(f"ONNX Runtime CPU {kind}", OnnxRun(Path(b) if isinstance(b, str) else b, outputs, {}))
