"""The file: the network as a model, every block before its first use, and the imports for them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass

from repc.backends.spec.forms import Form
from repc.backends.spec.names import title, unused, variable
from repc.backends.spec.parameters import resolve
from repc.backends.spec.regions import Region, divide
from repc.backends.spec.repeats import rolled
from repc.backends.spec.standard import standards
from repc.backends.spec.steps import Body, Builder, Port
from repc.backends.spec.templates import Instance, Template, skeleton, slotted
from repc.backends.spec.terms import NOWHERE, binary, integer, name, polynomial
from repc.backends.spec.write import Writer, definition
from repc.ir.dims import Dim, Polynomial, free_dimension
from repc.ir.graph import Graph
from repc.syntax import tree

LIBRARY = {
    "conv": ("Conv", "ConvTranspose"),
    "linear": ("Linear", "Dropout", "Flatten", "Identity"),
    "norm": ("BatchNorm", "LayerNorm", "GroupNorm", "RMSNorm"),
    "pool": ("MaxPool", "AvgPool", "AdaptiveAvgPool", "GlobalAvgPool", "Upsample"),
    "activation": (
        "ReLU", "ReLU6", "LeakyReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Hardswish", "Hardsigmoid", "Softplus",
        "Mish", "Softmax", "PReLU",
    ),
}  # fmt: skip
"""The files of specs/std and what they define."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A spec, and how many repeats it says."""

    file: tree.File


def lift(graph: Graph, classes: Mapping[str, str] | None = None) -> tree.File:
    """The spec of a graph; `classes` names the class of the module at each path, where known."""
    live = graph.copy()
    live.drop_dead()
    return _Lifter(live, classes or {}).file()


class _Lifter:
    def __init__(self, graph: Graph, classes: Mapping[str, str]) -> None:
        self.graph = graph
        self.classes = classes
        self.standards = standards(graph)
        self.regions = divide(graph, classes, self.standards)
        self.calls: dict[Region, Instance] = {}
        self.templates: list[Template] = []
        self.functions: set[str] = set()
        self.blocks: set[str] = set()

    def file(self) -> tree.File:
        inner, bodies = self._levels(), Builder(self.graph, self.regions, self.standards, self.calls)
        for regions in inner:
            self._level({region: rolled(bodies.body(region)) for region in regions})
        *blocks, network = self.templates
        items = [definition(template, self.functions) for template in blocks]
        model = self._model(network)
        return tree.File(NOWHERE, 1, (*self._imports(), *items, model))

    def _levels(self) -> list[list[Region]]:
        """The regions by how deep they nest: those that have none inside first, the network alone and last."""
        heights: dict[Region, int] = {}
        for region in self.regions.root.inside():
            heights[region] = 1 + max((heights[step] for step in region.steps if isinstance(step, Region)), default=-1)
        levels: list[list[Region]] = [[] for _ in range(max(heights.values()) + 1)]
        for region, height in heights.items():
            levels[height].append(region)
        return levels

    def _level(self, bodies: Mapping[Region, Body]) -> None:
        """Find the blocks that these regions are calls of."""
        found: dict[Hashable, Template] = {}
        for region, body in bodies.items():
            types = tuple(self._type(cell) for cell in region.reads)
            hint = self.classes.get(region.path, "")
            template = found.setdefault((hint, skeleton(body, types)), Template(body, hint))
            values = tuple(slot for _, slots in slotted(body) for slot in slots)
            instance = Instance(template, region, len(template.calls), values, types)
            template.calls.append(instance)
            self.calls[region] = instance
            self._used(body)
        for template in found.values():
            network = template.body.region.outer is None
            template.name = "" if network else self._named(template)
            resolve(template, self.functions, network=network)
        self.templates += found.values()

    def _type(self, cell: object):
        return self.graph[cell].type if isinstance(cell, int) else cell.type

    def _used(self, body: Body) -> None:
        for step in body.steps:
            said = step.form
            if said.kind == "block" and step.block is None:
                self.blocks.add(said.name)
            elif said.kind == "function":
                self.functions.add(said.name)

    def _named(self, template: Template) -> str:
        """The class of its modules, or what they are called where they stand."""
        text = template.hint
        if not text:
            parts = [part for part in template.body.region.path.split(".")]
            text = next((part for part in reversed(parts) if not part.isdecimal()), "block")
            text = text[:-1] if parts[-1].isdecimal() and text.endswith("s") else text
        taken = {other.name for other in self.templates} | {n for names in LIBRARY.values() for n in names}
        taken |= {template.name for template in self.calls_names()}
        return unused(title(text), taken)

    def calls_names(self) -> set[Template]:
        return {instance.template for instance in self.calls.values()}

    def _imports(self) -> Iterator[tree.Import]:
        files = [file for file, names in LIBRARY.items() if self.blocks & set(names)]
        for file in ["conv"] if "conv" in files else sorted(files):
            yield tree.Import(NOWHERE, f"std.{file}", False, None)

    # ------------------------------------------------------------ the network

    def _model(self, template: Template) -> tree.Definition:
        writer = Writer(template, self.functions)
        ports = tuple(
            tree.Port(NOWHERE, writer.named(Port(number), port), self._port_type(id))
            for number, (port, id) in enumerate(self.graph.inputs.items())
        )
        body = writer.content(list(self.graph.outputs))
        requires = tuple(self._requirements())
        body = tree.Body(NOWHERE, (*requires, *body.statements), body.results, body.braces or bool(requires))
        return tree.Definition(NOWHERE, "model", title(self.graph.name), (), ports, None, body)

    def _port_type(self, id: int) -> tree.TypeExpr:
        type = self.graph[id].type
        dims = tuple(name(variable(free)) if (free := free_dimension(dim)) else polynomial(dim) for dim in type.shape)
        return tree.TypeExpr(NOWHERE, type.dtype, dims)

    def _requirements(self) -> Iterator[tree.Require]:
        """What the free dimensions are stated to be multiples of."""
        stated: dict[str, int] = {}
        for id in self.graph.inputs.values():
            for dim in self.graph[id].type.shape:
                free = free_dimension(dim)
                if free is not None and isinstance(dim, Polynomial):
                    ((_, count),) = dim.terms.values()
                    stated[free] = count
        for free, count in stated.items():
            if count > 1:
                rest = binary("%", name(variable(free)), integer(count))
                yield tree.Require(NOWHERE, binary("==", rest, integer(0)), None)
