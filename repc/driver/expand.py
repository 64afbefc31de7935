"""A deployed network as one to train on, with the same function: the inverse of `Model.fuse`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from repc.diagnostics import Diagnostic, Failure
from repc.driver import errors
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.evaluate.initial import initial_values
from repc.evaluate.stored import deployed
from repc.importers import Imported
from repc.ir.expr import Apply, parameters
from repc.ir.graph import Graph
from repc.ir.node import NodeId, Parameter
from repc.ir.paths import pattern
from repc.ir.trace import Step
from repc.ops import Sum, build
from repc.passes.expand import Growth, Part, Unfit, add_identity, become, deepen, linear_part, widen
from repc.passes.views import LinearView, linear_view
from repc.semantics import FileLibrary, Module, block_of, elaborate_block, load, open_spec
from repc.semantics.values import Value
from repc.syntax import tree
from repc.verify import Proof, certify
from repc.verify.cuts import deployed as stored_graph

if TYPE_CHECKING:
    from repc.driver.model import Fused, Model

BLOCKS = {
    "repvgg": "repc:repvgg/RepVGGBlock",
    "mobileone": "repc:mobileone/MobileOneBlock",
    "acnet": "repc:acnet/ACBlock",
    "dbb": "repc:dbb/DBB",
    "orepa": "repc:orepa/OREPA",
    "zero": "repc:zero/ZeroBranch",
}
"""Blocks that are shipped, by what people call them."""
LAYERS = ("identity", "deeper", "wider")
"""Expansions that are no blocks."""


@dataclass(frozen=True, eq=False)
class Expanded:
    """A network that has grown: `model` is the train form with its weights, and folds to what it was made of.

    `sites` are the operators that were expanded, with the number that each has become.  `left` are the operators of the
    block behind what was taken over.  `start` is the deployed network, and `end` the grown one over its parameters.
    """

    model: Model
    sites: Mapping[str, int]
    left: tuple[str, ...]
    start: Graph
    end: Graph
    steps: tuple[Step, ...]

    def prove(self, progress: Callable[[str, float], None] = lambda text, share: None) -> Proof:
        """That both compute the same, for all weights and whatever is drawn."""
        return certify(self.start, self.end, self.steps, progress=progress)


def expand(
    fused: Fused, site: str, into: str, given: Mapping[str, Value] | None = None, *, seed: int | None = 0
) -> Expanded:
    """Put a block in the place of every linear operator of a deployed network that a path pattern matches.

    `into` is a name of `BLOCKS` or `LAYERS`, or the block of a spec, ``FILE.rep:BLOCK`` or ``repc:FILE/BLOCK``.
    Parameters of the block are taken from the operator by their names, and from `given`.  Its weights are drawn as its
    spec says, from `seed`, but for one kernel and one bias, which make up for the rest.

    Raises `Failure` with everything that does not fit.
    """
    start, values, growth = _start(fused)
    ids = _sites(start, site, into)
    block = _Block.open(into) if into not in LAYERS else None
    wrong: list[Diagnostic] = []
    sites: dict[str, int] = {}
    left: dict[str, None] = {}
    for id in ids:
        before, name = len(growth.graph), start[id].path
        try:
            unfit = block.put(growth, id, given or {}, left) if block else _layered(growth, id, into, given or {})
        except Failure as failure:
            wrong.extend(errors.unfit_block(name, into, inner) for inner in failure.diagnostics)
            continue
        sites[name] = len(growth.graph) - before + 1
        if unfit is not None:
            wrong.append(errors.cannot_expand(name, into, unfit.reason, unfit.remedy))
    if wrong:
        raise Failure(wrong)
    found = _values(growth, values, seed)
    graph = growth.graph
    graph.parameters = {path: _stored(parameter) for path, parameter in graph.parameters.items()}
    own = fused.model.own or Imported(graph, found)
    own = replace(own, graph=graph, parameters=found, constants=own.constants & graph.parameters.keys())
    model = replace(fused.model, graph=graph, targets={}, adapter=None, own=own)
    steps = tuple(Step("expand", "", (), "", facts=(fact,)) for fact in growth.facts)
    return Expanded(model, sites, tuple(left), start, growth.over_the_start(), steps)


def _start(fused: Fused) -> tuple[Graph, dict[str, Tensor], Growth]:
    """The deployed network with a parameter for each stored tensor, their values in float64, and what is to grow."""
    graph = stored_graph(fused.graph)
    values = deployed(fused.graph, fused.parameters.values, torch.float64)
    for id in graph:
        if not isinstance(graph[id].op, Sum):  # what branches were called is the operator's own path by now
            graph.replace(id, replace(graph[id], named=False))
    given, graph.parameters = fused.graph.parameters, {}
    for id in graph.order():
        for name, param in parameters(graph[id].weights.values()).items():
            zeros, known = build.fill(param.type.concrete(), 0), given.get(name)
            fresh = Parameter(name, param.type, zeros, buffer=False, trainable=True, span=graph[id].origin[0])
            graph.parameters[name] = known if known is not None and known.type == param.type else fresh
    for path, parameter in given.items():
        # What nothing reads, a count of batches, belongs to a norm that is left as it was.
        if path not in graph.parameters and f"{path.rpartition('.')[0]}.running_mean" in graph.parameters:
            graph.parameters[path], values[path] = parameter, fused.parameters.values[path]
    return graph, values, Growth(graph.copy())


def _stored(parameter: Parameter) -> Parameter:
    """What is computed at first has a value by now, and is no formula any more."""
    plain = isinstance(parameter.init, Apply) and not parameter.init.args
    return parameter if plain else replace(parameter, init=build.fill(parameter.type.concrete(), 0))


def _sites(graph: Graph, site: str, into: str) -> list[NodeId]:
    wanted = pattern(site)
    linear = [id for id in graph.order() if linear_view(graph, id) is not None]
    found = [id for id in linear if wanted.matches(graph[id].path)]
    if not found:
        raise Failure(errors.nothing_to_expand(site, into, [graph[id].path for id in linear]))
    return found


def _layered(growth: Growth, id: NodeId, into: str, given: Mapping[str, Value]) -> Unfit | None:
    """One of the expansions that are no blocks."""
    known = ("channels",) if into == "wider" else ()
    if set(given) - set(known):
        return Unfit(f"{into} has no parameter {min(set(given) - set(known))}", f"it has {', '.join(known) or 'none'}")
    if into == "wider":
        view = linear_view(growth.graph, id)
        assert view is not None
        channels = given.get("channels", 2 * view.out_channels)
        return widen(growth, id, channels) if isinstance(channels, int) else Unfit("channels is a number", "give one")
    if into == "deeper":
        return deepen(growth, id)
    add_identity(growth, id)
    return None


@dataclass(frozen=True, eq=False)
class _Block:
    """A block of a spec with one input."""

    module: Module
    definition: tree.Definition

    @staticmethod
    def open(into: str) -> _Block:
        """The block by its name.

        Raises `Failure`: E908 for a name that is none, E907 where a file has several blocks, or a block several inputs.
        """
        if into not in BLOCKS and into.isidentifier():
            raise Failure(errors.unknown_block(into, (*BLOCKS, *LAYERS)))
        opened = open_spec(BLOCKS.get(into, into))
        module = load(opened.source, FileLibrary())
        names = [name for name, item in module.definitions.items() if isinstance(item, tree.Definition)]
        if opened.model is None:
            raise Failure(errors.which_block(into, names))
        definition, _ = block_of(module, opened.model)
        if len(definition.ports) != 1:
            raise Failure(errors.which_block(into, names))
        return _Block(module, definition)

    def put(self, growth: Growth, id: NodeId, given: Mapping[str, Value], left: dict[str, None]) -> Unfit | None:
        """Put it in the place of an operator."""
        view = linear_view(growth.graph, id)
        assert view is not None
        known = {parameter.name for parameter in self.definition.parameters}
        taken = {key: value for key, value in _attributes(view).items() if key in known}
        types = {self.definition.ports[0].name: growth.graph[view.source].type}
        part = linear_part(elaborate_block(self.module, self.definition.name, {**taken, **given}, types))
        if isinstance(part, Part):
            left.update(dict.fromkeys(part.behind))
        return part if isinstance(part, Unfit) else become(growth, id, part)


def _attributes(view: LinearView) -> dict[str, Value]:
    """What an operator says for the parameters of a block, by the names that these usually have."""
    found: dict[str, Value] = {"co": view.out_channels}
    if view.frame:
        taps, pads, dilation = (
            _usual([getattr(window, name) for window in view.frame]) for name in ("taps", "before", "dilation")
        )
        found |= {"k": taps, "pad": pads, "padding": pads, "dilation": dilation}
        found |= {"stride": _usual(view.stride), "groups": view.groups}
    return found


def _usual(values: Sequence[int]) -> Value:
    """One number where all are equal."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def _values(growth: Growth, values: Mapping[str, Tensor], seed: int | None) -> dict[str, Tensor]:
    """The value of every parameter of the grown network, in float64.

    Raises `Failure` E906 where one cannot make up for the rest: what it is multiplied by is zero.
    """
    declared = growth.graph.parameters
    drawn = {path: parameter for path, parameter in declared.items() if path not in growth.made and path not in values}
    needed = {path: p for path, p in declared.items() if path in growth.made}
    first = initial_values({**drawn, **needed}, seed)
    start = {path: tensor.double() if tensor.is_floating_point() else tensor for path, tensor in first.items()}
    given = {**{path: start[path] for path in drawn}, **values}
    made = evaluate(growth.made, TorchField(torch.float64), given)
    endless = [path for path, value in made.items() if not bool(torch.isfinite(value).all())]
    if endless:
        raise Failure([errors.no_solution(path) for path in endless])
    return {path: made[path] if path in made else given[path] for path in declared}
