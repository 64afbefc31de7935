"""The file: the network as a model, every block before its first use, and the imports for them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from repc.backends.spec.legal import legal, renamed
from repc.backends.spec.names import title, unused
from repc.backends.spec.parameters import resolve
from repc.backends.spec.regions import Region, divide
from repc.backends.spec.repeats import rolled
from repc.backends.spec.standard import standards
from repc.backends.spec.steps import Body, Builder, Port, Step
from repc.backends.spec.templates import Instance, Template, skeleton, slotted
from repc.backends.spec.terms import NOWHERE, binary, integer, name, polynomial
from repc.backends.spec.write import Writer, definition
from repc.ir.dims import Polynomial, free_dimension
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.syntax import tree
from repc.syntax.printer import print_file

if TYPE_CHECKING:
    from torch import Tensor

LIBRARY = {
    "conv": ("Conv", "ConvTranspose"),
    "linear": ("Linear", "Embedding", "Dropout", "Flatten", "Identity"),
    "norm": ("BatchNorm", "LayerNorm", "GroupNorm", "RMSNorm"),
    "pool": ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "GlobalAvgPool", "Upsample"),
    "activation": (
        "ReLU", "ReLU6", "LeakyReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Hardswish", "Hardsigmoid", "Softplus",
        "Mish", "SELU", "CELU", "Softsign", "LogSigmoid", "Hardtanh", "LogSoftmax", "Softmax", "PReLU",
    ),
}  # fmt: skip
"""The files of specs/std and what they define; `conv` imports the others."""
STANDARD = frozenset(block for blocks in LIBRARY.values() for block in blocks)
ALWAYS = ("along", "opaque", "fill", "zeros", "ones", "identity", "uniform", "normal", "kaiming_uniform", "sqrt")
"""Words of the language that any block may use, besides the functions and blocks that it does."""


@dataclass(frozen=True, slots=True, eq=False)
class Lifted:
    """A spec in the canonical layout, the graph that it means, and how many blocks, repeats and opaque calls it has.

    The graph is the one that was given, under names that the language has.  `parameters` are the values that the model
    brings, those of constants that no state_dict holds among them.
    """

    text: str
    graph: Graph
    blocks: int
    repeats: int
    opaque: int
    parameters: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])

    def __str__(self) -> str:
        return self.text

    @property
    def lines(self) -> int:
        """How long it is."""
        return self.text.count("\n")


def lift(
    graph: Graph, classes: Mapping[str, str] | None = None, parameters: Mapping[str, Tensor] | None = None
) -> Lifted:
    """The spec of a graph; `classes` names the class of the module at each path, where known."""
    lifted = _Lifter(legal(graph), classes or {}).lifted()
    return replace(lifted, parameters=parameters or {})


class _Lifter:
    def __init__(self, graph: Graph, classes: Mapping[str, str]) -> None:
        self.graph = graph
        self.classes = classes
        self.standards = standards(graph)
        self.regions = divide(graph, classes, self.standards)
        self.calls: dict[Region, Instance] = {}
        self.templates: list[Template] = []
        self.words = set[str](ALWAYS)
        self.standard: set[str] = set()

    def lifted(self) -> Lifted:
        builder = Builder(self.graph, self.regions, self.standards, self.calls)
        for regions in self._levels():
            self._level({region: rolled(builder.body(region)) for region in regions}, builder)
        *blocks, network = self.templates
        definitions = [definition(template, self.words) for template in blocks]
        model = self._model(network)
        text = print_file(tree.File(NOWHERE, 1, (*self._imports(), *definitions, model)))
        repeats = sum(step.loop is not None for template in self.templates for step in template.body.steps)
        return Lifted(text, self._meant(model), len(blocks), repeats, len(self.regions.calls))

    def _levels(self) -> list[list[Region]]:
        """The regions by how deep they nest: those that have none inside first, the network alone and last."""
        heights: dict[Region, int] = {}
        for region in self.regions.root.inside():
            heights[region] = 1 + max((heights[step] for step in region.steps if isinstance(step, Region)), default=-1)
        levels: list[list[Region]] = [[] for _ in range(max(heights.values()) + 1)]
        for region, height in heights.items():
            levels[height].append(region)
        return levels

    def _level(self, bodies: Mapping[Region, Body], builder: Builder) -> None:
        """Find the blocks that these regions are calls of."""
        found: dict[Hashable, Template] = {}
        for region, body in bodies.items():
            types = tuple(builder.type(cell) for cell in region.reads)
            kind = self.classes.get(region.path, "")
            template = found.setdefault((kind, skeleton(body, types)), Template(body, kind))
            values = tuple(slot for _, slots in slotted(body) for slot in slots)
            self.calls[region] = Instance(template, len(template.calls), values, types)
            template.calls.append(self.calls[region])
            self._note(body)
        for template in found.values():
            network = template.body.region.outer is None
            template.name = "" if network else self._named(template)
            resolve(template, self.words, network=network)
            self.words.add(template.name)
            self.templates.append(template)

    def _note(self, body: Body) -> None:
        """Remember which functions and blocks of specs/std are used."""
        said = [step.form for step, _ in slotted(body) if isinstance(step, Step)]
        self.standard.update(form.name for form in said if form.kind == "block" and form.name)
        self.words.update(form.name for form in said if form.kind in ("function", "block"))

    def _named(self, template: Template) -> str:
        """The class of its modules, or what they are called where they stand: one of ``layers`` is a ``Layer``."""
        text = template.kind
        if not text:
            *outer, last = template.body.region.path.split(".")
            words = [part for part in outer if not part.isdecimal()]
            text = last if not last.isdecimal() else words[-1].removesuffix("s") if words else "block"
        return unused(title(text), {*self.words, *STANDARD})

    def _imports(self) -> Iterator[tree.Import]:
        files = sorted(file for file, blocks in LIBRARY.items() if self.standard & set(blocks))
        for file in ["conv"] if "conv" in files else files:
            yield tree.Import(NOWHERE, f"std.{file}", False, None)

    # ------------------------------------------------------------ the network

    def _model(self, template: Template) -> tree.Definition:
        writer = Writer(template, self.words)
        ports = tuple(
            tree.Port(NOWHERE, writer.named(Port(number), port), self._port_type(id))
            for number, (port, id) in enumerate(self.graph.inputs.items())
        )
        body = writer.content(list(self.graph.outputs))
        requires = tuple(self._requirements())
        body = tree.Body(NOWHERE, (*requires, *body.statements), body.results, body.braces or bool(requires))
        return tree.Definition(NOWHERE, "model", self.graph.name, (), ports, None, body)

    def _meant(self, model: tree.Definition) -> Graph:
        """The graph with inputs and outputs as the model calls them, where a name means something else there."""
        outputs = [result.name for result in model.body.results if isinstance(result, tree.Name)]
        inputs = dict(zip(self.graph.inputs, (port.name for port in model.ports), strict=True))
        named = {**inputs, **dict(zip(self.graph.outputs, outputs, strict=bool(outputs)))}
        return self.graph if all(old == new for old, new in named.items()) else renamed(self.graph, named)

    def _port_type(self, id: NodeId) -> tree.TypeExpr:
        type = self.graph[id].type
        free = [(free_dimension(dim), dim) for dim in type.shape]
        return tree.TypeExpr(NOWHERE, type.dtype, tuple(name(text) if text else polynomial(dim) for text, dim in free))

    def _requirements(self) -> Iterator[tree.Require]:
        """What the free dimensions are stated to be multiples of."""
        stated: dict[str, int] = {}
        for dim in (dim for id in self.graph.inputs.values() for dim in self.graph[id].type.shape):
            free = free_dimension(dim)
            if free is not None and isinstance(dim, Polynomial):
                ((_, stated[free]),) = dim.terms.values()
        for free, divisor in stated.items():
            if divisor > 1:
                rest = binary("%", name(free), integer(divisor))
                yield tree.Require(NOWHERE, binary("==", rest, integer(0)), None)
