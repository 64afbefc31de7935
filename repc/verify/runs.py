"""The ways to compute a network: repc's evaluator, the emitted module, the emitted file.

Each takes the inputs by name and gives the values at the cuts that can be seen there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.verify.cuts import Cut, Values, segment

Inputs: TypeAlias = Mapping[str, Tensor]
Run: TypeAlias = Callable[[Inputs], Values]


class GraphRun:
    """A graph by repc's own meaning of its operators, in one floating-point type."""

    def __init__(
        self, graph: Graph, cuts: Mapping[Cut, NodeId], tensors: Mapping[str, Tensor], dtype: torch.dtype
    ) -> None:
        self._graph, self._cuts, self._tensors = graph, cuts, tensors
        self._field = TorchField(dtype)

    def __call__(self, inputs: Inputs) -> Values:
        found = run(self._graph, self._field, inputs, self._tensors, self._cuts.values())
        return {cut: found[id] for cut, id in self._cuts.items()}

    def first_not_finite(self, cut: Cut, inputs: Inputs) -> str:
        """The operator at which a value that is not finite appears, all cuts before `cut` being finite."""
        nodes = segment(self._graph, self._cuts[cut], set(self._cuts.values()))
        values = run(self._graph, self._field, inputs, self._tensors, nodes)
        node = self._graph[next(id for id in nodes if not values[id].isfinite().all())]
        return f"{node.op.name} at {node.path}" if node.path else node.op.name


class ModuleRun:
    """A torch module; `layers` are the paths of submodules whose results are cuts."""

    def __init__(self, module: nn.Module, outputs: Sequence[Cut], layers: Mapping[Cut, str]) -> None:
        self._module, self._outputs = module, outputs
        present = dict(module.named_modules())
        self._layers = {cut: present[path] for cut, path in layers.items() if path in present}

    def __call__(self, inputs: Inputs) -> Values:
        found: dict[Cut, Tensor] = {}

        def keep(cut: Cut) -> Callable[[nn.Module, Any, Tensor], None]:
            return lambda module, given, result: found.update({cut: result})

        handles = [layer.register_forward_hook(keep(cut)) for cut, layer in self._layers.items()]
        try:
            results = tensors_of(self._module(*inputs.values()))
        finally:
            for handle in handles:
                handle.remove()
        return found | dict(zip(self._outputs, results, strict=True))


class OnnxRun:
    """An ONNX file in ONNX Runtime on the CPU: as it is for its outputs, and once more for the cuts inside.

    A value that is asked for cannot be fused away, so one session alone would not be the deployed computation.
    """

    def __init__(self, model: onnx.ModelProto | Path, outputs: Sequence[Cut], names: Mapping[Cut, str]) -> None:
        graph = (onnx.load(model, load_external_data=False) if isinstance(model, Path) else model).graph
        made = {name for node in graph.node for name in node.output} - {value.name for value in graph.output}
        self._outputs = outputs
        self._inner = {name: cut for cut, name in names.items() if name in made}
        self._session = session(model)
        self._inside = session(model, list(self._inner)) if self._inner else self._session

    def __call__(self, inputs: Inputs) -> Values:
        results = run_session(self._session, inputs.values())
        seen = run_session(self._inside, inputs.values(), list(self._inner)) if self._inner else []
        return dict(zip([*self._inner.values(), *self._outputs], [*seen, *results], strict=True))


def session(model: onnx.ModelProto | Path, further: Sequence[str] = ()) -> onnxruntime.InferenceSession:
    """A session on the CPU with all graph optimisations; `further` values become outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if isinstance(model, Path):
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model.parent))
    data = model.read_bytes() if isinstance(model, Path) else model.SerializeToString()
    # Protocol buffers merge when they are concatenated, so outputs are added without a copy of the weights.
    added = onnx.GraphProto(output=[onnx.ValueInfoProto(name=name) for name in further])
    data += onnx.ModelProto(graph=added).SerializeToString()
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run_session(
    session: onnxruntime.InferenceSession, inputs: Sequence[Tensor] | Any, names: Sequence[str] | None = None
) -> list[Tensor]:
    """The named outputs, or all; inputs in the order of the model."""
    given = {port.name: value.numpy() for port, value in zip(session.get_inputs(), inputs, strict=True)}
    return [torch.from_numpy(array) for array in session.run(names, given)]


def tensors_of(result: Any) -> list[Tensor]:
    """The tensors that a module returned, in order, whatever it packed them into."""
    if isinstance(result, Tensor):
        return [result]
    parts = result.values() if isinstance(result, Mapping) else result
    return [tensor for part in parts for tensor in tensors_of(part)]
