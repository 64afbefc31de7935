"""Calls that repc has no meaning for, made where they come from: by torch, or by an ONNX runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from repc.evaluate.dtypes import DTYPES
from repc.ir.foreign import Call, Dtype, Hole, Named, OnnxCall, Seed, Template, TorchCall

if TYPE_CHECKING:
    import onnx


def results(call: Call, xs: Sequence[Tensor], compute: torch.dtype) -> list[Tensor]:
    """All results of a call; f32 in its types is `compute`, in which it is made as far as its own runtime can."""
    given = [x.to(_dtype(name, compute)) for x, name in zip(xs, call.operands, strict=True)]
    found = _torch(call, given, compute) if isinstance(call, TorchCall) else _onnx(call, given)
    assert len(found) == len(call.types), f"{call.target} gave {len(found)} results instead of {len(call.types)}"
    return [x.to(_dtype(type.dtype, compute)) for x, type in zip(found, call.types, strict=True)]


def _dtype(name: str, compute: torch.dtype) -> torch.dtype:
    """Complex numbers are of the compute type too, where torch has such."""
    if name == "c64" and compute is torch.float64:
        return torch.complex128
    return compute if name == "f32" else DTYPES[name]


def _torch(call: TorchCall, xs: Sequence[Tensor], compute: torch.dtype) -> list[Tensor]:
    found = _made(call, xs, compute)
    return [found] if isinstance(found, Tensor) else list(found)


def _made(call: TorchCall, xs: Sequence[Tensor], compute: torch.dtype) -> Any:
    function = attrgetter(call.path.removeprefix("torch."))(torch)
    args = [_filled(part, xs, compute) for part in call.args]
    return function(*args, **{name: _filled(part, xs, compute) for name, part in call.keywords.items()})


def _filled(part: Template, xs: Sequence[Tensor], compute: torch.dtype) -> Any:
    """An argument of a call, with tensors in its holes."""
    match part:
        case Hole(index):
            return xs[index]
        case Dtype(name):
            return _dtype(name, compute)
        case Named(path):
            space: Mapping[str, object] = {"torch": torch, "like": torch.empty((), dtype=compute)}
            root, _, rest = path.partition(".")
            return attrgetter(rest)(space[root])
        case Seed(number):
            return torch.Generator().manual_seed(number)
        case TorchCall():
            return _made(part, xs, compute)
        case tuple():
            return [_filled(item, xs, compute) for item in part]
        case slice():
            return slice(*(_filled(bound, xs, compute) for bound in (part.start, part.stop, part.step)))
        case _:
            return part


def _onnx(call: OnnxCall, xs: Sequence[Tensor]) -> list[Tensor]:
    """By ONNX Runtime, where the file will run: in the types that are given or, without a kernel for them, in its own.

    What it does not have at all, onnx's reference may; that is not asked first, since it is wrong in places.
    """
    own = [x.to(DTYPES[dtype]) for x, dtype in zip(xs, call.operands, strict=True)]
    for given in (xs, own):
        try:
            feeds = {name: x.numpy() for name, x in zip(call.names, given, strict=True)}
            found = _session(call, tuple(x.dtype for x in feeds.values())).run(None, feeds)
        except Exception:  # whatever an operator or a type without a kernel raises
            continue
        return [torch.tensor(np.array(value, order="C")) for value in found]
    reference: Any = import_module("onnx.reference")  # it has too few types
    feeds = {name: x.numpy() for name, x in zip(call.names, xs, strict=True)}
    found = reference.ReferenceEvaluator(_model(call, [x.dtype for x in feeds.values()])).run(None, feeds)
    return [torch.tensor(np.array(value, order="C")) for value in found]


@lru_cache(maxsize=256)
def _session(call: OnnxCall, dtypes: tuple[np.dtype[Any], ...]) -> Any:
    onnxruntime: Any = import_module("onnxruntime")  # it has no types
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    data = _model(call, dtypes).SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _model(call: OnnxCall, dtypes: Sequence[np.dtype[Any]]) -> onnx.ModelProto:
    """A model of the one node over operands of these types; sizes are left open."""
    import onnx
    from onnx import helper

    node = onnx.NodeProto.FromString(call.node)
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), None)
        for name, dtype in zip(dict.fromkeys(call.names), dtypes, strict=True)
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "call", inputs, outputs)
    opsets = [helper.make_opsetid(call.domain, call.opset)]
    if call.domain:
        opsets.append(helper.make_opsetid("", 18))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
