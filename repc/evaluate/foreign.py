"""Calls that repc has no meaning for, made where they come from: by torch, or by an ONNX runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from repc.evaluate.dtypes import DTYPES
from repc.ir.foreign import Call, Dtype, Hole, Named, OnnxCall, Seed, Template, TorchCall

if TYPE_CHECKING:
    import numpy as np
    import onnx


def results(call: Call, xs: Sequence[Tensor], compute: torch.dtype) -> list[Tensor]:
    """All results of a call; f32 in its types is `compute`, in which it is made as far as its own runtime can."""
    given = [x.to(_dtype(name, compute)) for x, name in zip(xs, call.operands, strict=True)]
    found = _torch(call, given, compute) if isinstance(call, TorchCall) else _onnx(call, given)
    assert len(found) == len(call.types), f"{call.target} gave {len(found)} results instead of {len(call.types)}"
    return [x.to(_dtype(type.dtype, compute)) for x, type in zip(found, call.types, strict=True)]


def _dtype(name: str, compute: torch.dtype) -> torch.dtype:
    return compute if name == "f32" else DTYPES[name]


def _torch(call: TorchCall, xs: Sequence[Tensor], compute: torch.dtype) -> list[Tensor]:
    function = attrgetter(call.path.removeprefix("torch."))(torch)
    args = [_filled(part, xs, compute) for part in call.args]
    found = function(*args, **{name: _filled(part, xs, compute) for name, part in call.keywords.items()})
    return [found] if isinstance(found, Tensor) else list(found)


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
        case tuple():
            return [_filled(item, xs, compute) for item in part]
        case slice():
            return slice(*(_filled(bound, xs, compute) for bound in (part.start, part.stop, part.step)))
        case _:
            return part


def _onnx(call: OnnxCall, xs: Sequence[Tensor]) -> list[Tensor]:
    """By onnx's reference, which computes in any type; by ONNX Runtime, in its own types, what that does not know."""
    reference: Any = import_module("onnx.reference")  # it has too few types
    feeds = {name: x.numpy() for name, x in zip(call.names, xs, strict=True)}
    try:
        found = reference.ReferenceEvaluator(_model(call, feeds)).run(None, feeds)
    except Exception:  # whatever an operator without a reference raises
        found = _by_runtime(call, xs)
    return [torch.tensor(value) for value in found]


def _by_runtime(call: OnnxCall, xs: Sequence[Tensor]) -> Sequence[Any]:
    onnxruntime: Any = import_module("onnxruntime")  # it has no types
    given = {name: x.to(DTYPES[dtype]).numpy() for name, x, dtype in zip(call.names, xs, call.operands, strict=True)}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        _model(call, given).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, given)


def _model(call: OnnxCall, feeds: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A model of the one node; element types are those of the arrays, sizes are left open."""
    import onnx
    from onnx import helper

    node = onnx.NodeProto.FromString(call.node)
    inputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in feeds.items()
    ]
    outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
    graph = helper.make_graph([node], "call", inputs, outputs)
    opsets = [helper.make_opsetid(call.domain, call.opset)]
    if call.domain:
        opsets.append(helper.make_opsetid("", 18))
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
