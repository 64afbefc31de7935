"""ONNX models on disk."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import onnx

from repc.ir.files import write_whole

# A protobuf message holds less than 2 GiB; the rest is room for everything but the weights.
LIMIT = 2**31 - 2**26
# Runtimes map external tensors into memory by pages; small ones stay in the model, where shape inference reads them.
PAGE = 4096


def save(model: onnx.ModelProto, path: str | Path, *, external_threshold: int = LIMIT) -> tuple[Path, ...]:
    """Write a model, whole or not at all; returns the files written, the model first.

    Where the weights have `external_threshold` bytes or more, they go to ``<name>.<digest>.data`` beside it.  That file
    is complete before the model that refers to it appears, and its name is that of its content: a crash between the
    two leaves the model that was there, with its own data, and at most one data file too many.  Raises `Failure` E701.
    """
    path = Path(path)
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) < external_threshold:
        write_whole(path, model.SerializeToString(deterministic=True))
        return (path,)
    large = [tensor for tensor in model.graph.initializer if len(tensor.raw_data) >= PAGE]
    digest = sha256()
    for tensor in large:
        digest.update(tensor.raw_data)
    data = path.with_name(f"{path.name}.{digest.hexdigest()[:16]}.data")
    write_whole(data, lambda file: _write_pages(file, large))
    write_whole(path, _referring(model, data.name).SerializeToString(deterministic=True))
    return path, data


def _write_pages(file: BinaryIO, tensors: list[onnx.TensorProto]) -> None:
    for tensor in tensors:
        file.write(tensor.raw_data)
        file.write(bytes(-len(tensor.raw_data) % PAGE))


def _referring(model: onnx.ModelProto, location: str) -> onnx.ModelProto:
    """The model with places in the data file instead of large tensors, which are not copied."""
    initializers: list[onnx.TensorProto] = []
    offset = 0
    for tensor in model.graph.initializer:
        size = len(tensor.raw_data)
        if size < PAGE:
            initializers.append(tensor)
        else:
            initializers.append(_reference(tensor, location=location, offset=str(offset), length=str(size)))
            offset += size + -size % PAGE
    graph = onnx.GraphProto(
        name=model.graph.name,
        node=model.graph.node,
        input=model.graph.input,
        output=model.graph.output,
        value_info=model.graph.value_info,
        initializer=initializers,
    )
    return onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        metadata_props=model.metadata_props,
        graph=graph,
    )


def _reference(tensor: onnx.TensorProto, **place: str) -> onnx.TensorProto:
    return onnx.TensorProto(
        name=tensor.name,
        data_type=tensor.data_type,
        dims=tensor.dims,
        data_location=onnx.TensorProto.EXTERNAL,
        external_data=[onnx.StringStringEntryProto(key=key, value=value) for key, value in place.items()],
    )
