"""The ways to compute a network: repc's evaluator, the emitted module, the emitted file.

Each takes the inputs by name and gives the values at the cuts that can be seen there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, Protocol, TypeAlias, cast

import onnx
import torch
from torch import Tensor, nn

from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.verify.cuts import Cut, Values, place, segment

Inputs: TypeAlias = Mapping[str, Tensor]


class Crash(Exception):
    """An emitted artifact does not run; the text says why."""


class Unsupported(Crash):
    """The runtime has no kernel for an operator in the deployed type, so that nothing is learnt from it."""


class Run(Protocol):
    """A way to compute a network."""

    def __call__(self, inputs: Inputs) -> Values:
        """The values at the cuts that can be seen.  Raises `Crash`."""
        ...

    def first_not_finite(self, cut: Cut, inputs: Inputs) -> str:
        """Where a value that is not finite appears first, all cuts before `cut` being finite."""
        ...


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
        nodes = segment(self._graph, self._cuts[cut], set(self._cuts.values()))
        values = run(self._graph, self._field, inputs, self._tensors, nodes)
        node = self._graph[next(id for id in nodes if not values[id].isfinite().all())]
        return f"{node.op.name} at {Cut(node.path or 'the top', place(node.origin))}"


Call: TypeAlias = Callable[[nn.Module, Sequence[Tensor]], object]
"""How a module is called with its inputs."""


def by_place(module: nn.Module, inputs: Sequence[Tensor]) -> object:
    """The usual way."""
    return module(*inputs)


class ModuleRun:
    """A torch module, called with its inputs by place unless `call` says otherwise.

    Floating-point inputs are given as `dtype` where there is one.  `layers` are the paths of submodules whose results
    are cuts.
    """

    def __init__(
        self,
        module: nn.Module,
        outputs: Sequence[Cut],
        layers: Mapping[Cut, str],
        dtype: torch.dtype | None = None,
        call: Call = by_place,
    ) -> None:
        self._module, self._outputs, self._dtype, self._call = module, outputs, dtype, call
        present = dict(cast("Iterator[tuple[str, nn.Module]]", module.named_modules()))
        self._layers = {cut: present[path] for cut, path in layers.items() if path in present}

    def __call__(self, inputs: Inputs) -> Values:
        found: dict[Cut, Tensor] = {}

        def keep(cut: Cut) -> Callable[[nn.Module, object, Tensor], None]:
            def hook(module: nn.Module, given: object, result: Tensor) -> None:
                found[cut] = result

            return hook

        handles = [layer.register_forward_hook(keep(cut)) for cut, layer in self._layers.items()]
        try:
            results = tensors_of(self._call(self._module, [*map(self._converted, inputs.values())]))
        except Exception as error:
            raise Crash(f"the module does not run: {first_line(error)}") from error
        finally:
            for handle in handles:
                handle.remove()
        return found | _named(self._outputs, results)

    def first_not_finite(self, cut: Cut, inputs: Inputs) -> str:
        return str(cut)

    def _converted(self, x: Tensor) -> Tensor:
        return x.to(self._dtype) if self._dtype and x.is_floating_point() else x


class OnnxRun:
    """An ONNX file in ONNX Runtime on the CPU: as it is for its outputs, and once more for the cuts inside.

    A value that is asked for cannot be fused away, so one session alone would not be the deployed computation.
    """

    def __init__(self, model: onnx.ModelProto | Path, outputs: Sequence[Cut], names: Mapping[Cut, str]) -> None:
        graph = (read_model(model, external=False) if isinstance(model, Path) else model).graph
        made = {name for node in graph.node for name in node.output} - {value.name for value in graph.output}
        self._model, self._outputs = model, outputs
        # An operator that is the identity has no value of its own: several cuts may have one name.
        self._inner = {name: cut for cut, name in names.items() if name in made}

    def __call__(self, inputs: Inputs) -> Values:
        try:
            results = _results(self._whole, inputs, None)
            seen = _results(self._inside, inputs, [*self._inner]) if self._inner else []
        except _runtime().capi.onnxruntime_pybind11_state.NotImplemented as error:
            raise Unsupported(f"ONNX Runtime, which lacks a kernel: {first_line(error)}") from error
        except Exception as error:
            raise Crash(f"ONNX Runtime refuses: {first_line(error)}") from error
        return _named([*self._inner.values()], seen) | _named(self._outputs, results)

    def first_not_finite(self, cut: Cut, inputs: Inputs) -> str:
        return str(cut)

    @cached_property
    def _whole(self) -> Any:
        return _session(self._model)

    @cached_property
    def _inside(self) -> Any:
        return _session(self._model, [*self._inner])


def _runtime() -> Any:
    """ONNX Runtime, which has no types."""
    return import_module("onnxruntime")


def _session(model: onnx.ModelProto | Path, further: Sequence[str] = ()) -> Any:
    """A session on the CPU with all graph optimisations; `further` values become outputs.

    With such, memory is laid out as the model says: ONNX Runtime (1.31) loses an output that it lays out otherwise.
    """
    options = _runtime().SessionOptions()
    options.log_severity_level = 4  # what it raises says it too
    if further:
        options.graph_optimization_level = _runtime().GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    if isinstance(model, Path):
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(model.parent))
    with _file(model, further) as path:
        return _runtime().InferenceSession(path, options, providers=["CPUExecutionProvider"])


@contextmanager
def _file(model: onnx.ModelProto | Path, further: Sequence[str]) -> Generator[Path]:
    """The model as a file, with more outputs: a session of one needs half the memory of a session of its bytes."""
    if isinstance(model, Path) and not further:
        yield model
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if isinstance(model, Path):
            copyfile(model, path)
        else:
            onnx.save(model, path)  # pyright: ignore[reportUnknownMemberType]
        if further:
            # Protocol buffers merge when they are concatenated.
            with path.open("ab") as file:
                file.write(onnx.ModelProto(graph=_outputs(further)).SerializeToString())
        yield path


def _outputs(names: Sequence[str]) -> onnx.GraphProto:
    return onnx.GraphProto(output=[onnx.ValueInfoProto(name=name) for name in names])


def read_model(path: Path, *, external: bool) -> onnx.ModelProto:
    """A model from a file, with or without the tensors that lie in files beside it."""
    return onnx.load(path, load_external_data=external)  # pyright: ignore[reportUnknownMemberType]


def _results(session: Any, inputs: Inputs, names: Sequence[str] | None) -> list[Tensor]:
    """The named outputs, or all; inputs in the order of the model."""
    given = {port.name: value.numpy() for port, value in zip(session.get_inputs(), inputs.values(), strict=True)}
    return [torch.as_tensor(array) for array in session.run(names, given)]


def _named(cuts: Sequence[Cut], tensors: Sequence[Tensor]) -> dict[Cut, Tensor]:
    if len(cuts) != len(tensors):
        raise Crash(f"{len(tensors)} outputs instead of {len(cuts)}")
    return dict(zip(cuts, tensors, strict=True))


def first_line(error: Exception) -> str:
    """What an exception says, in a line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def tensors_of(result: object) -> list[Tensor]:
    """The tensors that a module returned, in order, whatever it packed them into."""
    if isinstance(result, Tensor):
        return [result]
    parts = cast("Mapping[str, object]", result).values() if isinstance(result, Mapping) else result
    return [tensor for part in cast("Iterable[object]", parts) for tensor in tensors_of(part)]
