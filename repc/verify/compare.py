"""Two networks against each other, wherever they are from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
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
    is `a` in float64.  In float32, `b` may be `limit` times as far off as `a` itself; a module is compared in float64
    too, to 1e-11 relative (‖Δ‖∞/‖y‖∞).  Neither module is changed.
    """
    sample = [_batch([item] if isinstance(item, Tensor) else item) for item in _batches(data)]
    single, double = _copy(a, torch.float32), _copy(a, torch.float64)
    with torch.no_grad():
        count = len(tensors_of(single(*sample[0].inputs.values())))
        outputs = [Cut(f"output {i}" if count > 1 else "output") for i in range(count)]
        oracle = Subject("reference", ModuleRun(double, outputs, {}, torch.float64))
        noise = Subject("noise", ModuleRun(single, outputs, {}))
        found, exact = _subjects(b, outputs)
        compare_all(oracle, [noise, found, *exact], sample)
    checks = [agreement("float64", subject) for subject in exact]
    checks.append(accuracy(found.name, found, Noise(noise, torch.finfo(torch.float32).eps, limit)))
    if oracle.fault:
        checks = [agreement("reference (float64)", oracle)]
    return Report(type(a).__name__, describe(sample, "given"), tuple(checks), NOT_COVERED)


def _batches(data: Tensor | Iterable[Data]) -> list[Data]:
    found: list[Data] = [data] if isinstance(data, Tensor) else list(data)
    if not found:
        raise Failure(no_data())
    return found


def _batch(inputs: Sequence[Tensor]) -> Batch:
    samples = len(inputs[0]) if inputs[0].dim() else 1
    return Batch({str(i): x.float() if x.is_floating_point() else x for i, x in enumerate(inputs)}, samples)


def _copy(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    return deepcopy(module).to(dtype).eval()


def _subjects(
    b: nn.Module | onnx.ModelProto | str | Path, outputs: Sequence[Cut]
) -> tuple[Subject, tuple[Subject, ...]]:
    """The network in float32, and where it is a module, in float64."""
    if isinstance(b, nn.Module):
        double = ModuleRun(_copy(b, torch.float64), outputs, {}, torch.float64)
        return Subject("torch CPU float32", ModuleRun(_copy(b, torch.float32), outputs, {})), (
            Subject("float64", double),
        )
    model = Path(b) if isinstance(b, str) else b
    return Subject("ONNX Runtime CPU float32", OnnxRun(model, outputs, {})), ()
