"""How a module is called, as the text of a function: `forward` of a folded module, with the signature of the original.

Tensors are read out of whatever the arguments pack them into, and results are packed as they were.  An argument that
is no tensor is part of the network by the time that it is folded; another one is an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter
from math import isfinite
from typing import Any, cast

from torch import Tensor
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from repc.backends.torch.module import Entry
from repc.importers.torch.conditions import Condition
from repc.importers.torch.export import Example
from repc.importers.torch.program import output_names
from repc.ir.graph import Graph


@dataclass(eq=False)
class _Objects:
    """What the text cannot spell, by number."""

    found: list[object] = field(default_factory=list[object])

    def text(self, value: object) -> str:
        """A constant as Python writes it, or as an object that the module holds."""
        if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and isfinite(value)):
            return repr(value)
        self.found.append(value)
        return f"self._program.objects[{len(self.found) - 1}]"


def entry(given: Example, program: ExportedProgram, graph: Graph, conditions: Sequence[Condition]) -> Entry:
    """The `forward` of a module that was exported with these arguments."""
    objects, arguments = _Objects(), given.arguments
    parameters = list(inspect.signature(given.module.forward).parameters.values())
    leaves = pytree.tree_flatten_with_path(arguments)[0]
    reads = [_access(path) for path, leaf in leaves if isinstance(leaf, Tensor)]
    body = [
        *(line for parameter in parameters for line in _checks(objects, parameter, arguments)),
        *(f"_holds({condition.body}, {condition.text!r})" for condition in conditions),
        f"y = run({', '.join(['self', *reads])})",
        f"return {_results(objects, program, graph)}",
    ]
    head = ", ".join(["self", *_signature(parameters)])
    lines = "\n    ".join(body)
    return Entry(f"def forward({head}):\n    {lines}\n", tuple(objects.found))


def _signature(parameters: Sequence[Parameter]) -> Iterator[str]:
    """The parameters of the original; a default that cannot be written is a stand-in."""
    kinds = [parameter.kind for parameter in parameters]
    for position, parameter in enumerate(parameters):
        kind = parameter.kind
        if kind is Parameter.KEYWORD_ONLY and not {Parameter.KEYWORD_ONLY, Parameter.VAR_POSITIONAL} & {
            *kinds[:position]
        }:
            yield "*"
        default = "" if parameter.default is Parameter.empty else f"={_default(parameter)}"
        stars = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}.get(kind, "")
        yield f"{stars}{parameter.name}{default}"
        if kind is Parameter.POSITIONAL_ONLY and kinds[position + 1 : position + 2] != [Parameter.POSITIONAL_ONLY]:
            yield "/"


def _default(parameter: Parameter) -> str:
    objects = _Objects()
    text = objects.text(parameter.default)
    return "..." if objects.found else text


def _checks(objects: _Objects, parameter: Parameter, arguments: Mapping[str, Any]) -> Iterator[str]:
    """Lines that hold an argument against that of the example."""
    name = parameter.name
    if name in arguments:
        yield from _same(objects, name, arguments[name])
    elif parameter.kind is Parameter.VAR_POSITIONAL:
        yield f"_same({name!r}, {name}, ())"
    elif parameter.kind is Parameter.VAR_KEYWORD:
        yield f"_same({name!r}, {name}, {{}})"
    else:
        yield f"_same({name!r}, {name}, {_default(parameter)})"


def _same(objects: _Objects, text: str, value: Any) -> Iterator[str]:
    """Lines that check the structure of an argument and all of it that is no tensor."""
    if isinstance(value, Tensor):
        return
    if isinstance(value, Mapping):
        items = cast("Mapping[object, Any]", value)
        yield f"_structure({text!r}, {text}, {list(items)!r})"
        for key, item in items.items():
            yield from _same(objects, f"{text}[{key!r}]", item)
    elif isinstance(value, list | tuple):
        parts = cast("Sequence[Any]", value)
        yield f"_structure({text!r}, {text}, {list(range(len(parts)))!r})"
        for index, item in enumerate(parts):
            yield from _same(objects, f"{text}[{index}]", item)
    elif type(value) not in pytree.SUPPORTED_NODES:
        yield f"_same({text!r}, {text}, {objects.text(value)})"


def _access(path: Sequence[Any]) -> str:
    """The place of a leaf as Python text; the first key is the name of the parameter."""
    return f"{path[0].key}{pytree.keystr(tuple(path[1:]))}"


def _results(objects: _Objects, program: ExportedProgram, graph: Graph) -> str:
    """The results in the structure that the original returns."""
    names, spec = output_names(program), program.call_spec.out_spec
    assert spec is not None
    specs = program.graph_signature.output_specs[-len(names) :] if names else []
    values = [getattr(output.arg, "value", None) for output in specs]
    several = len(graph.outputs) > 1
    leaves = [
        (f"y[{name!r}]" if several else "y") if name in graph.outputs else objects.text(value)
        for name, value in zip(names, values, strict=True)
    ]
    return _packed(objects, spec, iter(leaves))


def _packed(objects: _Objects, spec: pytree.TreeSpec, leaves: Iterator[str]) -> str:
    if spec.is_leaf():
        return next(leaves)
    children = [_packed(objects, child, leaves) for child in spec.children()]
    if spec.type is tuple:
        return f"({', '.join(children)}{',' if len(children) == 1 else ''})"
    if spec.type is dict:
        keys = cast("list[object]", spec.context)
        return f"{{{', '.join(f'{objects.text(key)}: {child}' for key, child in zip(keys, children, strict=True))}}}"
    inner = f"[{', '.join(children)}]"
    if spec.type is list:
        return inner
    return f"_packed({objects.text(spec.type)}, {inner}, {objects.text(spec.context)})"
