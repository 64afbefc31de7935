"""ONNX files as typed graphs.

- One table (`table`) from operator to meaning, which follows the opset of the file.  What it lacks, and whatever has an
  attribute or a shape that repc does not express, stays opaque with the reason; so does control flow, whole.  Functions
  are inlined.  Nothing of the file is executed.
- Names stay: an initializer is a parameter of that name, a node is at the path of its weights or in the scope that its
  exporter noted, and `Graph.names` has what the file calls each value.
- What exporters compute on shapes is followed while reading (`known`), so that sizes are polynomials over the free
  sizes of the inputs.
- repc's types are held against ONNX's own shape inference, node by node, with sizes as their text.
- A single float is the number that it stands for: 1e-05, as the author wrote it, or the root of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from repc.importers import Imported
from repc.importers.onnx.importer import imported
from repc.importers.onnx.reading import prepared, read

__all__ = ["import_onnx"]


def import_onnx(model: str | Path | onnx.ModelProto, sizes: Mapping[str, int] | None = None) -> Imported:
    """The graph of an ONNX file or model; see `repc.importers.import_onnx`."""
    if isinstance(model, onnx.ModelProto):
        name = model.graph.name or "model"
        return imported(prepared(model, name), name, sizes or {})
    return imported(prepared(read(model), str(model)), str(model), sizes or {})
