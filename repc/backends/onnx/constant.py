"""Constants that the graph itself computes with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from repc.backends.onnx.emitter import Emitter, Value
from repc.ops.constant import Constant, Eye, Fill


def fill(e: Emitter, op: Fill, given: Mapping[str, Value]) -> str:
    """One value, everywhere."""
    return e.array(np.full(op.shape, float(op.value), e.numpy_type(op.infer({}))))


def constant(e: Emitter, op: Constant, given: Mapping[str, Value]) -> str:
    """The values themselves."""
    values = np.array([float(value) for value in op.values], dtype=e.numpy_type(op.infer({})))
    return e.array(values.reshape(op.shape))


def eye(e: Emitter, op: Eye, given: Mapping[str, Value]) -> str:
    """The identity matrix."""
    return e.array(np.eye(op.size, dtype=e.numpy_type(op.infer({}))))
