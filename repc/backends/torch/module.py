"""Graphs as torch modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from repc.backends.torch.forward import forward_text
from repc.backends.torch.plan import Plan, inference_plan, training_plan
from repc.backends.torch.runtime import Port, compiled, ports
from repc.backends.torch.tree import Branch
from repc.evaluate.initial import initial_values
from repc.ir.graph import Graph


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What a network runs: its name, the text of `forward`, the inputs of its graph, and objects that the text uses."""

    name: str
    code: str
    ports: tuple[Port, ...]
    objects: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A `forward` that is called in a way of its own: its text, which calls ``run(self, inputs)``, and its objects."""

    code: str
    objects: tuple[object, ...] = ()


class Network(nn.Module):
    """A module that runs a program over submodules that have the paths of the spec.

    Inputs are given by place or by name; one output is returned as a tensor, several as a dictionary by name.
    ``inspect.getsource(network.forward)`` shows the program.
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program
        self._link()

    if TYPE_CHECKING:
        # What there is depends on the graph.
        def __getattr__(self, name: str) -> Any: ...

    def _link(self) -> None:
        self.forward = MethodType(compiled(self._program.name, self._program.code), self)

    def _get_name(self) -> str:
        return self._program.name

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "forward"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # pyright: ignore[reportUnknownMemberType]
        self._link()


class InferenceNetwork(Network):
    """Stays in evaluation mode."""

    def train(self, mode: bool = True) -> InferenceNetwork:
        super().train(False)
        return self


def train_module(graph: Graph, *, seed: int | None = None) -> Network:
    """The network as it is trained: every parameter apart, batch norm and dropout with their training semantics.

    The keys of the state_dict are the paths of `graph.parameters`.  Initial values come from a generator with `seed`,
    or from torch's own.  Raises `Failure` where a path cannot be one of a torch module.
    """
    return _network(Network, training_plan(graph), initial_values(graph.parameters, seed), training=True)


def inference_module(graph: Graph, values: Mapping[str, Tensor], entry: Entry | None = None) -> Network:
    """The network as it is deployed; `values` are its stored tensors by name, which are used, not copied.

    The module has the element types of the values and stays in evaluation mode.  With an `entry` it is called as that
    says.  Raises `Failure` where a name cannot be one of a torch module.
    """
    return _network(InferenceNetwork, inference_plan(graph), values, training=False, entry=entry).eval()


def _network(
    kind: type[Network], plan: Plan, values: Mapping[str, Tensor], training: bool, entry: Entry | None = None
) -> Network:
    code, objects = forward_text(plan, training, "run" if entry else "forward"), tuple[object, ...]()
    if entry:
        code, objects = f"{code}\n\n{entry.code}", entry.objects
    network = kind(Program(plan.graph.name, code, ports(plan.graph), objects))
    made: dict[str, Tensor] = {}
    for name, tensor in plan.stored.items():
        if tensor.tied is None:
            value = values[name].detach().contiguous()
            made[name] = value if tensor.buffer else nn.Parameter(value, requires_grad=tensor.trainable)
    _fill(network, plan.root, made)
    return network


def _fill(module: nn.Module, branch: Branch, made: Mapping[str, Tensor]) -> None:
    for local, tensor in branch.tensors.items():
        value = made[tensor.tied or tensor.name]
        if isinstance(value, nn.Parameter):
            module.register_parameter(local, value)
        else:
            module.register_buffer(local, value)
    for name, child in branch.children.items():
        below = _empty(child)
        _fill(below, child, made)
        module.add_module(name, below)


def _empty(branch: Branch) -> nn.Module:
    if branch.layer:
        with torch.device("meta"):
            return branch.layer.make()
    return {"list": nn.ModuleList, "dict": nn.ModuleDict, "module": nn.Module}[branch.kind]()
