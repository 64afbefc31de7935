"""One node for every form of every operator that has a meaning in repc."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tests.importers.onnx.files import model, node, normal, positive

Array = np.ndarray


@dataclass(frozen=True)
class Case:
    """A node: its runtime inputs, its constant ones (None is one left out), attributes, opset and outputs.

    Inputs come in the order of `inputs` and then `weights`, unless `order` names all of them.
    """

    op_type: str
    inputs: Mapping[str, Array]
    weights: Mapping[str, Array | None] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 18
    outputs: int = 1
    order: Sequence[str] = ()
    elements: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = "-".join(f"{name}={value}" for name, value in self.attributes.items())
        return f"{self.op_type}-{self.opset}-{shown}"[:60]

    def model(self) -> onnx.ModelProto:
        names = self.order or [
            *self.inputs,
            *(name if value is not None else "" for name, value in self.weights.items()),
        ]
        outputs = [f"y{index}" for index in range(self.outputs)] if self.outputs > 1 else ["y"]
        return model(
            [node(self.op_type, names, outputs, **self.attributes)],
            {name: value.shape for name, value in self.inputs.items()},
            {name: value for name, value in self.weights.items() if value is not None},
            outputs,
            opset=self.opset,
            elements=self.elements,
        )


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def scalar(value: float) -> Array:
    return np.array(value, np.float32)


def x(*shape: int) -> dict[str, Array]:
    return {"x": normal(*shape)}


def unary(op_type: str, opset: int = 18, *, above: bool = False, **attributes: Any) -> Case:
    given = positive(2, 3, 5) if above else 2 * normal(2, 3, 5)
    return Case(op_type, {"x": given}, {}, attributes, opset)


def pair(op_type: str, opset: int = 18, **elements: int) -> Case:
    return Case(op_type, {"a": normal(2, 3, 1), "b": positive(3, 5)}, {}, {}, opset, elements=elements)


def logic(op_type: str) -> Case:
    a, b = normal(2, 3, 5) > 0, normal(3, 5, seed=1) > 0
    return Case(op_type, {"a": a, "b": b}, elements=dict.fromkeys(("a", "b", "y"), TensorProto.BOOL))


NORM = {"scale": normal(6, seed=1), "bias": normal(6, seed=2), "mean": normal(6, seed=3), "var": positive(6)}
AFFINE = {"scale": normal(6, seed=1), "bias": normal(6, seed=2)}

WINDOWS = [
    Case("Conv", x(2, 6, 9, 7), {"w": normal(4, 3, 3, 2), "b": normal(4)}, {"group": 2, "strides": [2, 1]}),
    Case("Conv", x(2, 3, 9, 7), {"w": normal(4, 3, 3, 3)}, {"pads": [1, 0, 2, 1], "dilations": [2, 1]}, 13),
    Case("Conv", x(2, 3, 9), {"w": normal(4, 3, 4)}, {"auto_pad": "SAME_UPPER", "strides": [2]}),
    Case("Conv", x(2, 3, 9), {"w": normal(4, 3, 4)}, {"auto_pad": "SAME_LOWER"}),
    Case("Conv", x(1, 2, 5, 6, 4), {"w": normal(3, 2, 2, 3, 1)}, {"auto_pad": "VALID"}, 9),
    Case(
        "ConvTranspose",
        x(2, 4, 5, 6),
        {"w": normal(4, 3, 3, 2), "b": normal(6)},
        {"group": 2, "strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2]},
    ),
    Case("MaxPool", x(2, 3, 9, 7), {}, {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    Case(
        "MaxPool", x(2, 3, 9, 7), {}, {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "dilations": [1, 2]}
    ),
    Case("AveragePool", x(2, 3, 9, 7), {}, {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
    Case("AveragePool", x(2, 3, 9, 7), {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, 11),
    Case("AveragePool", x(2, 3, 10), {}, {"kernel_shape": [3], "strides": [2], "ceil_mode": 1}, 19),
    Case("GlobalAveragePool", x(2, 3, 9, 7)),
    Case("GlobalMaxPool", x(2, 3, 9, 7)),
]

LINEAR = [
    Case("Gemm", x(4, 6), {"w": normal(5, 6), "c": normal(5)}, {"transB": 1}),
    Case("Gemm", x(4, 6), {"w": normal(6, 5), "c": normal(1, 5)}, {"alpha": 0.5, "beta": 2.0}),
    Case("Gemm", x(6, 4), {"w": normal(6, 5), "c": normal(1)}, {"transA": 1}),
    Case("Gemm", {"x": normal(4, 6), "w": normal(6, 5), "c": normal(4, 1)}, {}, {"alpha": -1.0, "beta": 0.5}),
    Case("Gemm", {"x": normal(4, 6), "w": normal(5, 6)}, {}, {"transB": 1, "alpha": 3.0}),
    Case("MatMul", {"x": normal(2, 1, 4, 6), "w": normal(3, 6, 5)}),
    Case("MatMul", x(2, 4, 6), {"w": normal(6, 5)}),
    Case("Einsum", {"a": normal(2, 3, 4), "b": normal(2, 5, 4)}, {}, {"equation": "bqd,bkd->bqk"}),
]

NORMS = [
    Case("BatchNormalization", x(2, 6, 4, 5), NORM, {"epsilon": 1e-2, "momentum": 0.7}),
    Case("BatchNormalization", x(2, 6), NORM, {}, 9),
    Case("LayerNormalization", x(2, 4, 6), AFFINE, {"epsilon": 1e-2}),
    Case("LayerNormalization", x(2, 4, 6), {"scale": normal(4, 6)}, {"axis": 1}),
    Case("InstanceNormalization", x(2, 6, 4, 5), AFFINE, {"epsilon": 1e-2}),
    Case("GroupNormalization", x(2, 6, 4), AFFINE, {"num_groups": 3, "epsilon": 1e-2}, 21),
    Case("RMSNormalization", x(2, 4, 6), {"scale": normal(4, 6)}, {"axis": 1, "epsilon": 1e-2}, 23),
    Case("Dropout", x(2, 3), {"ratio": scalar(0.5)}),
]

ARITHMETIC = [
    *(pair(op_type) for op_type in ("Add", "Sub", "Mul", "Div", "Max", "Min")),
    *(pair(op_type, y=TensorProto.BOOL) for op_type in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual")),
    *map(logic, ("And", "Or", "Xor")),
    Case("Equal", {"a": np.round(normal(4, 5)), "b": np.round(normal(5))}, elements={"y": TensorProto.BOOL}),
    Case("Sum", {"a": normal(2, 3), "b": normal(3), "c": normal(2, 1)}),
    Case("Mean", {"a": normal(2, 3), "b": normal(3), "c": normal(2, 1)}),
    Case("Max", {"a": normal(2, 3), "b": normal(3), "c": normal(2, 1)}),
    Case(
        "Where",
        {"c": normal(2, 3, 5) > 0, "a": normal(3, 1), "b": normal(5)},
        elements={"c": TensorProto.BOOL},
    ),
    Case("Pow", {"x": positive(2, 3)}, {"e": scalar(1.5)}),
    Case("Pow", {"x": positive(2, 3), "e": normal(3)}),
    unary("Neg"),
    unary("Reciprocal", above=True),
    Case("Cast", x(2, 3), {}, {"to": TensorProto.INT64}, elements={"y": TensorProto.INT64}),
    Case("Cast", {"x": np.arange(6)}, {}, {"to": TensorProto.FLOAT}, elements={"x": TensorProto.INT64}),
    Case(
        "CastLike",
        {"x": np.arange(6), "like": normal(2)},
        elements={"x": TensorProto.INT64},
    ),
    *(
        Case(op_type, x(2, 3, 4), {"axes": ints(-1, 0)}, {"keepdims": 0})
        for op_type in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2")
    ),
    Case("ReduceMean", x(2, 3, 4), {}, {"axes": [1, 2]}, 17),
    Case("ReduceMax", x(2, 3, 4), {}, {"keepdims": 0}, 13),
    Case("ReduceSum", x(2, 3, 4), {}, {"noop_with_empty_axes": 1}),
    Case("ReduceSum", {"x": ints(3, -1, 4)}, elements={"y": TensorProto.INT64, "x": TensorProto.INT64}),
    Case("IsNaN", {"x": floats(3, np.nan, 4)}, elements={"y": TensorProto.BOOL}),
    Case("CumSum", x(2, 3, 4), {"axis": np.array(-2)}),
]

FUNCTIONS = [
    *map(unary, ("Relu", "LeakyRelu", "Elu", "Selu", "HardSwish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Mish")),
    *map(unary, ("Exp", "Abs", "Sign", "Floor", "Ceil", "Round", "Sin", "Cos", "Atan", "Erf", "Celu")),
    *(unary(op_type, above=True) for op_type in ("Log", "Sqrt")),
    unary("LeakyRelu", alpha=0.3),
    unary("Elu", alpha=0.7),
    unary("Celu", alpha=0.7),
    unary("HardSigmoid", alpha=1 / 6),
    unary("Gelu", 20),
    unary("Gelu", 20, approximate="tanh"),
    unary("Swish", 24),
    unary("Clip"),
    unary("Clip", 6, min=-0.5, max=0.25),
    Case("Clip", {"x": 4 * normal(2, 30)}, {"low": scalar(0), "high": scalar(6)}),
    Case("Clip", x(2, 3), {"low": scalar(-0.5), "high": scalar(0.25)}),
    Case("Clip", x(2, 3), {"low": scalar(0)}),
    Case("Clip", x(2, 3), {"low": scalar(0.3)}),
    Case("Clip", x(2, 3), {"low": None, "high": scalar(0.3)}),
    Case("Not", {"x": normal(2, 3) > 0}, elements=dict.fromkeys("xy", TensorProto.BOOL)),
    Case("PRelu", x(2, 3, 4), {"slope": normal(3, 1)}),
    Case("PRelu", x(2, 3, 4), {"slope": normal(1)}),
    unary("Softmax"),
    unary("Softmax", axis=1),
    unary("Softmax", 11, axis=2),
    unary("LogSoftmax", axis=0),
]

MOVEMENT = [
    unary("Identity"),
    Case("Reshape", x(2, 3, 4), {"shape": ints(0, -1, 2)}),
    Case("Reshape", x(2, 3, 4), {"shape": ints(3, 8)}, {"allowzero": 1}),
    Case("Flatten", x(2, 3, 4), {}, {"axis": 2}),
    Case("Flatten", x(2, 3, 4), {}, {"axis": -1}),
    Case("Squeeze", x(1, 3, 1, 4), {"axes": ints(-2)}),
    Case("Squeeze", x(1, 3, 1, 4)),
    Case("Squeeze", x(1, 3, 1, 4), {}, {"axes": [0]}, 11),
    Case("Unsqueeze", x(3, 4), {"axes": ints(0, -1)}),
    Case("Unsqueeze", x(3, 4), {}, {"axes": [1, 2]}, 11),
    Case("Transpose", x(2, 3, 4)),
    Case("Transpose", x(2, 3, 4), {}, {"perm": [1, 0, 2]}),
    Case("Expand", x(3, 1), {"shape": ints(2, 1, 4)}),
    Case("Concat", {"a": normal(2, 3), "b": normal(2, 1), "c": normal(2, 2)}, {}, {"axis": -1}),
    Case("Slice", x(4, 9), {"starts": ints(-8, 1), "ends": ints(-1, 2**62), "axes": ints(1, 0), "steps": ints(3, 1)}),
    Case("Slice", x(4, 9), {"starts": ints(1), "ends": ints(100)}),
    Case("Slice", x(4, 9), {}, {"starts": [0, 2], "ends": [3, -2], "axes": [0, 1]}, 9),
    Case("Split", x(4, 9), {"split": ints(2, 4, 3)}, {"axis": 1}, outputs=3),
    Case("Split", x(4, 9), {}, {"axis": 1, "num_outputs": 2}, outputs=2),
    Case("Split", x(4, 9), {}, {"split": [1, 3]}, 11, outputs=2),
    Case("Gather", x(4, 5, 3), {"places": np.array([[2, -1], [0, 2]])}, {"axis": 1}),
    Case("GatherElements", x(4, 5, 3), {"places": np.array([[[2], [-1]], [[0], [2]]])}, {"axis": 1}),
    Case("TopK", x(4, 5, 3), {"k": ints(2)}, {"axis": 1}, outputs=2, elements={"y1": TensorProto.INT64}),
    Case("TopK", x(4, 5), {"k": ints(3)}, {"largest": 0}, 11, outputs=2, elements={"y1": TensorProto.INT64}),
    Case("ArgMax", x(4, 5, 3), {}, {"axis": 1}, elements={"y": TensorProto.INT64}),
    Case("ArgMin", x(4, 5, 3), {}, {"axis": -1, "keepdims": 0}, elements={"y": TensorProto.INT64}),
    Case("Gather", x(4, 5, 3), {"places": np.array(-2)}, {"axis": 1}),
    Case("Gather", x(4, 5), {"places": ints(1, 2, 3)}),
    Case("GatherND", x(4, 5), {"places": np.array([[[2], [-1]], [[0], [2]]])}),
    Case(
        "Gather",
        {"places": np.array([[3, 1, 0]])},
        {"table": normal(4, 5)},
        order=("table", "places"),
        elements={"places": TensorProto.INT64},
    ),
    Case("Pad", x(2, 3, 4), {"pads": ints(0, 1, 2, 0, 0, 1)}),
    Case("Pad", x(2, 3, 4), {"pads": ints(0, 1, 2, 0, 0, 1), "value": scalar(1.5)}),
    Case("Pad", x(2, 3, 4), {"pads": ints(1, 2), "value": None, "axes": ints(-1)}, {"mode": "reflect"}),
    Case("Pad", x(2, 3, 4), {"pads": ints(0, 1, 2, 0, 0, 1)}, {"mode": "edge"}),
    Case("Pad", x(2, 3, 4), {"pads": ints(0, 1, 2, 0, 0, 1)}, {"mode": "wrap"}, 19),
    Case("Pad", x(2, 3), {}, {"pads": [0, 1, 0, 2], "value": -1.0}, 9),
    Case("DepthToSpace", x(2, 12, 3, 4), {}, {"blocksize": 2}),
    Case("DepthToSpace", x(2, 12, 3, 4), {}, {"blocksize": 2, "mode": "CRD"}),
    Case("SpaceToDepth", x(2, 3, 4, 6), {}, {"blocksize": 2}),
]


def resize(shape: tuple[int, ...], scales: Array | None, sizes: Array | None = None, **attributes: Any) -> Case:
    weights: dict[str, Array | None] = {"roi": None, "scales": scales}
    return Case("Resize", x(*shape), weights | ({"sizes": sizes} if sizes is not None else {}), attributes, 13)


PIXELS: dict[str, Any] = {"coordinate_transformation_mode": "pytorch_half_pixel"}
CORNERS: dict[str, Any] = {"coordinate_transformation_mode": "align_corners"}
FLOOR: dict[str, Any] = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}

RESIZING = [
    resize((1, 2, 3, 4), floats(1, 1, 2, 3)),
    resize((1, 2, 3, 4), floats(1, 1, 3, 2), **FLOOR),
    resize((1, 2, 3, 4), None, ints(1, 2, 6, 12), **PIXELS),
    resize((1, 2, 3, 4), floats(1, 1, 2, 2), mode="linear"),
    resize((1, 2, 6, 4), floats(1, 1, 0.5, 2), mode="linear", **PIXELS),
    resize((1, 2, 3, 4), None, ints(1, 2, 7, 9), mode="linear", **CORNERS),
    resize((1, 2, 5, 4), None, ints(1, 2, 8, 7), mode="cubic"),
    resize((1, 2, 3, 4), floats(1, 1, 1, 1), mode="linear"),
    Case("Upsample", x(1, 2, 3, 4), {"scales": floats(1, 1, 2, 3)}, {}, 9),
    Case("Resize", x(1, 2, 3, 4), {"scales": floats(1, 1, 2, 3)}, {}, 10),
]

CASES = [*WINDOWS, *LINEAR, *NORMS, *ARITHMETIC, *FUNCTIONS, *MOVEMENT, *RESIZING]
