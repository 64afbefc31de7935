"""From a file to a checked model with all its tensors, and without functions of its own."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import inliner

from repc.diagnostics import Failure
from repc.importers.onnx import errors


def read(path: str | Path) -> onnx.ModelProto:
    """The model of a file.  Raises `Failure`: E540, E541, E542."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise Failure(errors.unreadable(str(path), (error.strerror or str(error)).lower())) from error
    model = _parse(data, str(path))
    try:
        onnx.load_external_data_for_model(model, str(Path(path).parent))
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise Failure(errors.data_missing(str(path), str(error).splitlines()[0])) from error
    return model


def prepared(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model once it is checked, with functions written out where they are called.  Raises `Failure` E543."""
    check(model, name)
    return inliner.inline_local_functions(model) if model.functions else model


def _parse(data: bytes, path: str) -> onnx.ModelProto:
    if data.startswith(b"version https://git-lfs"):
        raise Failure(errors.not_onnx(path, "it is a pointer of git-lfs, not the file itself"))
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise Failure(errors.not_onnx(path, "it is no protocol buffer, or not a whole one")) from error
    if not model.graph.node and not model.graph.output:
        raise Failure(errors.not_onnx(path, "it has no graph"))
    if not model.opset_import:
        raise Failure(errors.not_onnx(path, "it does not say which opset it uses"))
    return model


def check(model: onnx.ModelProto, path: str) -> None:
    """ONNX's checker over everything but the tensors, which may have more bytes than one message can."""
    given = {value.name for value in model.graph.input}
    weights = [
        onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name not in given
    ]
    graph = onnx.GraphProto(
        name=model.graph.name,
        node=model.graph.node,
        input=[*map(_shaped, model.graph.input), *weights],
        output=map(_shaped, model.graph.output),
    )
    skeleton = onnx.ModelProto(
        ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions, graph=graph
    )
    try:
        onnx.checker.check_model(skeleton)  # pyright: ignore[reportUnknownMemberType]
    except onnx.checker.ValidationError as error:
        raise Failure(errors.invalid(path, str(error))) from error


def _shaped(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    """A value with some shape, which the checker wants to see and runtimes do not."""
    if not value.type.HasField("tensor_type") or value.type.tensor_type.HasField("shape"):
        return value
    return onnx.helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, [])
