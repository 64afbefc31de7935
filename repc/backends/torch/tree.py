"""The tree of modules that a set of tensor names asks for, and how Python text gets at its parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from keyword import iskeyword
from typing import Literal

from torch import nn

from repc.backends.torch.errors import taken_name, tensor_and_module
from repc.backends.torch.layers import Layer
from repc.diagnostics import Diagnostic, Failure, Span
from repc.ir.types import TensorType

_EMPTY = nn.Module()  # its attributes, those of the instance too, are taken
_OWN = "_program"  # and this one of a network


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A tensor of the state_dict; `tied` names the one it is another key of."""

    name: str
    type: TensorType
    buffer: bool
    trainable: bool
    span: Span | None = None
    tied: str | None = None


@dataclass(eq=False)
class Branch:
    """A module at a path: tensors of its own, modules below it, or a layer of `torch.nn` that has all of it."""

    path: str
    children: dict[str, Branch] = field(default_factory=dict[str, "Branch"])
    tensors: dict[str, Stored] = field(default_factory=dict[str, Stored])
    layer: Layer | None = None

    @cached_property
    def kind(self) -> Literal["module", "list", "dict"]:
        """Labels that count from zero make a list; labels that are no Python names, a dictionary.

        The network itself has a forward pass, so that it is neither.
        """
        if self.tensors or self.layer or not self.children or not self.path:
            return "module"
        if list(self.children) == [str(i) for i in range(len(self.children))]:
            return "list"
        if all(map(plain, self.children)) or any(hasattr(nn.ModuleDict, name) for name in self.children):
            return "module"
        return "dict"

    def find(self, path: str) -> Branch | None:
        """The branch at a path below this one."""
        branch: Branch | None = self
        for name in path.split(".") if path else ():
            branch = branch.children.get(name) if branch else None
        return branch

    def nearest(self, path: str) -> Branch:
        """The innermost branch at or above a path."""
        branch = self
        for name in path.split(".") if path else ():
            if name not in branch.children:
                break
            branch = branch.children[name]
        return branch

    def reference(self, path: str) -> str:
        """Python text for a module or tensor below this module, as its own methods see it."""
        text, branch = "self", self
        for name in path.split(".") if path else ():
            text = _member(text, branch, name)
            branch = branch.children.get(name, branch)
        return text


def plain(name: str) -> bool:
    """Whether a label can be written after a dot, inside a class too."""
    return name.isidentifier() and not iskeyword(name) and not name.startswith("__")


def tree(stored: Iterable[Stored]) -> Branch:
    """The modules that hold these tensors.

    Raises `Failure` with every label that a torch module cannot have.
    """
    root = Branch("")
    problems: list[Diagnostic] = []
    for tensor in stored:
        *path, local = tensor.name.split(".")
        branch = root
        for name in path:
            if name in branch.tensors:
                problems.append(tensor_and_module(branch.tensors[name].name, tensor.span))
            branch = branch.children.setdefault(name, Branch(f"{branch.path}.{name}" if branch.path else name))
        if local in branch.children:
            problems.append(tensor_and_module(tensor.name, tensor.span))
        branch.tensors[local] = tensor
        problems += [
            taken_name(tensor.name, name, tensor.span)
            for name in (*path, local)
            if hasattr(_EMPTY, name) or name == _OWN
        ]
    if problems:
        raise Failure(problems)
    return root


def _member(text: str, branch: Branch, name: str) -> str:
    if branch.kind == "list":
        return f"{text}[{name}]"
    if branch.kind == "dict":
        return f'{text}["{name}"]'
    return f"{text}.{name}" if plain(name) else f'getattr({text}, "{name}")'
