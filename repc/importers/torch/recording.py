"""Torch modules as exported programs, by writing down the calls of one run.

`torch.export` takes seconds for a network of some hundred operators, and little of that goes into its values.  Here the
module runs once, on the same fake tensors, and each call is written down where it reaches torch's dispatcher, before
anything is decomposed.  The program is the same.  What does not go the plain way is left to `torch.export`: values that
are read, tensors from elsewhere, states that change.
"""

from __future__ import annotations

import inspect
import operator
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch._dispatch.python import enable_python_dispatcher
from torch._dynamo.source import GetItemSource, LocalSource
from torch._export import utils as exporting
from torch._export.verifier import TrainingIRVerifier
from torch._guards import Source
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.backends import mkldnn, nnpack
from torch.export import Dim, ExportedProgram
from torch.export.exported_program import ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)
from torch.fx.experimental.proxy_tensor import ProxyTorchDispatchMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.utils import _pytree as pytree

from repc.importers.torch.export import Example, Names, Shapes, structure, undisturbed
from repc.importers.torch.functional import Call, functional, geometry, schema
from repc.importers.torch.places import frames

_C = cast("Any", torch)._C


class NotRecorded(Exception):
    """The module does what is not recorded; the text says what."""


def record(given: Example, asked: Shapes) -> ExportedProgram | None:
    """The program that `torch.export` gives for a module; None where only `torch.export` can tell."""
    if not all(size in (None, Dim.AUTO) for size in pytree.tree_leaves(asked.spec)):
        return None
    copy = Example(structure(given.module), given.args, given.kwargs)
    try:
        with undisturbed(), _as_exported():
            return functional(_program(copy, asked.names))
    except Exception:  # whatever torch and the module raise; `torch.export` says better what is wrong
        return None


@contextmanager
def _as_exported() -> Generator[None]:
    """What modules ask torch about is answered as in an export; which kernel would run depends on no size."""
    with cast("Any", exporting)._compiling_state_context(), mkldnn.flags(enabled=False), nnpack.flags(enabled=False):
        yield


def _program(given: Example, names: Sequence[Names]) -> ExportedProgram:
    """The program of a module, whose tensors are replaced by fake ones."""
    module, state = given.module, given.module.state_dict(keep_vars=True)
    recorder = Recorder()
    with FakeTensorMode(shape_env=ShapeEnv(), export=True, allow_non_fake_inputs=False) as fake:
        args, kwargs = recorder.arguments(given, names, fake)
        held = recorder.tensors(module, fake)
        module.train().eval()  # what a module keeps of its weights while it is evaluated, it drops when it is trained
        before = _tensors(module)
        recorder.follow(module)
        with enable_python_dispatcher(), recorder:
            results, spec = pytree.tree_flatten(module(*args, **kwargs))
    if _tensors(module) != before:
        raise NotRecorded("states change")
    return ExportedProgram(
        {},
        recorder.graph,
        recorder.signature(results, state),
        state,
        {},
        [ModuleCallEntry("", ModuleCallSignature([], [], pytree.tree_flatten((args, kwargs))[1], spec))],
        constants={path: tensor for path, tensor in held.items() if path not in state},
        verifiers=[TrainingIRVerifier],
    )


def _tensors(module: nn.Module) -> dict[str, tuple[InputKind, int]]:
    """Which tensors a module holds, by every path."""
    parameters, buffers = module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    kinds = ((InputKind.PARAMETER, parameters), (InputKind.BUFFER, buffers))
    return {path: (kind, id(tensor)) for kind, tensors in kinds for path, tensor in tensors}


class Recorder(ProxyTorchDispatchMode):
    """Writes calls down as nodes of a graph, with their results as examples, their modules and their places.

    Torch admits no other class of mode before decomposition; of this one, only how it is entered and left is used.
    """

    def __init__(self) -> None:
        super().__init__(cast("Any", None), "symbolic", pre_dispatch=True)
        self.graph = fx.Graph()
        self._nodes: dict[int, fx.Node] = {}
        self._latest: dict[int, fx.Node] = {}
        self._inputs: list[tuple[InputKind, str | None, fx.Node]] = []
        self._modules: dict[str, tuple[str, type[nn.Module]]] = {}

    # ------------------------------------------------------------ what the program is given

    def arguments(self, given: Example, names: Sequence[Names], fake: FakeTensorMode) -> tuple[Any, Any]:
        """The arguments of `forward` with fake tensors, whose free axes are those with names."""
        leaves = pytree.tree_flatten_with_path(given.arguments)[0]
        paths = [path for path, leaf in leaves if isinstance(leaf, Tensor)]
        free = iter(zip(paths, names, strict=True))

        def of(tensor: Tensor) -> Tensor:
            path, named = next(free)
            axes = [DimDynamic.DUCK if axis in named else DimDynamic.STATIC for axis in range(tensor.dim())]
            sizes = cast("Any", StatelessSymbolicContext)(dynamic_sizes=axes)
            value = fake.from_tensor(tensor, source=_place(path), symbolic_context=sizes)
            self._input(InputKind.USER_INPUT, None, _argument_name(path), value)
            return value

        return pytree.tree_map_only(Tensor, of, (given.args, given.kwargs))

    def tensors(self, module: nn.Module, fake: FakeTensorMode) -> dict[str, Tensor]:
        """The parameters and buffers of a module, by path, in whose places there are fake ones from now on."""
        found: dict[str, Tensor] = {}
        fakes: dict[int, Tensor] = {}
        for path, (kind, key) in _tensors(module).items():
            owner, _, name = path.rpartition(".")
            part: Any = module.get_submodule(owner)
            own: dict[str, Tensor] = part._parameters if kind is InputKind.PARAMETER else part._buffers
            tensor = own[name]
            if type(tensor) not in (Tensor, nn.Parameter):
                raise NotRecorded(f"a tensor of class {type(tensor).__name__}")
            if key not in fakes:
                found[path], fakes[key] = tensor, fake.from_tensor(tensor, static_shapes=True)
                self._input(kind, path, f"{kind.name}_{path}", fakes[key])
            own[name] = fakes[key]
        return found

    def signature(self, results: Sequence[object], state: Mapping[str, Tensor]) -> ExportGraphSignature:
        """End the graph with its results, and say what goes in and out."""
        nodes = [self._node(result) for result in results]
        self.graph.output(tuple(nodes))
        return ExportGraphSignature(
            [
                InputSpec(kind, TensorArgument(node.name), path, path in state if kind is InputKind.BUFFER else None)
                for kind, path, node in self._inputs
            ],
            [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in nodes],
        )

    def _input(self, kind: InputKind, path: str | None, name: str, value: Tensor) -> None:
        if id(value) in self._nodes:
            raise NotRecorded("one tensor in two places")
        node = self.graph.placeholder(name)
        if path is None:
            node.name = node.target = name
        self._keep(node, value)
        self._inputs.append((kind, path, node))

    # ------------------------------------------------------------ calls

    def follow(self, module: nn.Module) -> None:
        """Know from now on which part of a module is running."""
        for path, part in cast("Iterator[tuple[str, nn.Module]]", module.named_modules()):
            part.register_forward_pre_hook(self._entering(path, type(part)), prepend=True)
            part.register_forward_hook(self._leaving)

    def _entering(self, path: str, kind: type[nn.Module]) -> Callable[..., None]:
        def enter(*_: object) -> None:
            self._modules[f"{path}@{len(self._modules)}"] = (path, kind)

        return enter

    def _leaving(self, *_: object) -> None:
        self._modules.popitem()

    def __torch_dispatch__(
        self, func: Call, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if torch.Tag.inplace_view in func.tags or _C._is_any_autocast_enabled():
            raise NotRecorded(str(func))
        given = pytree.tree_map_only(Tensor, self._node, (args, kwargs or {}))
        if any(isinstance(leaf, torch.SymFloat | torch.SymBool) for leaf in pytree.tree_leaves(given)):
            raise NotRecorded(f"{func} of what is computed from a size")
        result = func(*args, **(kwargs or {}))
        results = pytree.tree_leaves(result)
        if not all(isinstance(item, Tensor) for item in results):
            if result is not None or schema(func).is_mutable:
                raise NotRecorded(str(func))
            return None  # an assertion
        node = self.graph.call_function(func, *given)
        node.meta = {
            "val": result,
            "nn_module_stack": dict(self._modules),
            "stack_trace": frames(inspect.currentframe()),
        }
        if isinstance(result, Tensor):
            self._keep(node, result)
        else:
            for index, item in enumerate(results):
                self._keep(self.graph.call_function(operator.getitem, (node, index)), item)
        return result

    def __sym_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Arithmetic with sizes, which are in the graph as they are."""
        return func(*args, **kwargs)

    def _keep(self, node: fx.Node, value: Tensor) -> None:
        node.meta["val"] = value
        self._nodes[id(value)] = self._latest[_storage(value)] = node

    def _node(self, value: object) -> fx.Node:
        """Where a tensor comes from.  What torch makes of nothing, it hands on as another object in the same memory."""
        node = self._nodes.get(id(value))
        if node is None and isinstance(value, Tensor):
            node = self._latest.get(_storage(value))
            node = node if node is not None and geometry(node.meta["val"]) == geometry(value) else None
        if node is None:
            raise NotRecorded("a result that is no tensor, or a tensor from elsewhere")
        return node


def _storage(value: Tensor) -> int:
    return cast("Any", value.untyped_storage())._cdata


def _keys(path: Sequence[Any]) -> list[Any]:
    """The keys that lead to a part of the arguments."""
    return [getattr(key, "key", getattr(key, "idx", getattr(key, "name", None))) for key in path]


def _argument_name(path: Sequence[Any]) -> str:
    """What `torch.export` calls an argument: ``x``, ``batch_images`` or ``pair_0``."""
    return "_".join(re.sub(r"[^a-zA-Z0-9]", "_", str(key)) for key in _keys(path)).lower()


def _place(path: Sequence[Any]) -> Source:
    """How torch writes an argument in what it asks of sizes: ``L['x']``."""
    first, *rest = _keys(path)
    return reduce(GetItemSource, rest, LocalSource(first))
