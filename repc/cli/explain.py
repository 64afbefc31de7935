"""``repc explain``: what folding did at each place, and why the rest remains."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repc.cli import errors
from repc.cli.arguments import add_input, add_json, add_target, add_weights
from repc.cli.build import as_compiled
from repc.cli.layout import amount, listed, place, plural, row, size, table
from repc.cli.recipe import Recipe
from repc.cli.screen import BOLD, Screen
from repc.cli.sites import Site, kind, names, sites
from repc.cli.summary import label, named, refusal_record, relied_on, step_record
from repc.diagnostics import Failure
from repc.ir.dims import evaluate as evaluate_dim
from repc.ir.expr import Expr, parameters
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.paths import pattern
from repc.ir.printer import expression
from repc.ir.trace import Refusal, Trace
from repc.ops.work import multiply_adds, nominal_sizes
from repc.passes.cost import Cost, stored

if TYPE_CHECKING:
    from torch import Tensor

    from repc.verify import Proof

EXAMPLES = """\
examples:
  repc explain repc:repvgg/RepVGG_A0
  repc explain repc:repvgg/RepVGG_A0 stage1.0.rbr_reparam
  repc explain build/a0 'stage1.**' --json
  repc explain net.onnx 'layer1.**'

SITE is a path pattern: * stands for one label, ** for any number.  Weights play no part in what folds, unless the
target lets folding look at them; with them it is said how large kernels become, and how wrong a border would be."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser, folder=True)
    parser.add_argument("site", metavar="SITE", nargs="?", help="only the operators at this path, in full")
    add_weights(parser)
    add_target(parser)
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Fold again, and tell."""
    folder = Path(args.input)
    recipe = as_compiled(args, folder).recipe if folder.is_dir() else Recipe.of(args)
    model = recipe.model()
    target = model.target(recipe.target)
    known = target.facts or recipe.weights or model.own
    given = model.parameters(recipe.weights, recipe.container) if known else None
    folded, trace = model.fold(target, given)
    model = model.bound(target.bind)
    found = sites(model.graph, folded, trace)
    weights = Weights(given.values) if given is not None and (recipe.weights or model.own) else None
    told = Told(model.graph, folded, trace, weights)
    if args.site is not None:
        wanted = pattern(args.site)
        chosen = [site for site in found if wanted.matches(site.name) or wanted.matches(site.node.path)]
        if not chosen:
            raise Failure(errors.no_such_site(args.site, model.name, [site.name for site in found]))
        found = chosen
    if args.json:
        screen.json([_record(site, told) for site in found])
    elif args.site is not None:
        screen.result("\n\n".join("\n".join(_page(site, told, screen)) for site in found))
    else:
        count = f"{len(told.before) - len(model.graph.inputs)} operators -> {len(found)}"
        head = f"{named(model.spec, model.name)} · target {target.name} · {count}"
        screen.result("\n".join([row(label(model.spec), head), *_overview(found, trace.refusals, weights)]))
    return 0


@dataclass(frozen=True, eq=False)
class Weights:
    """The values of parameters, where they are known."""

    values: Mapping[str, Tensor]

    def largest(self, exprs: Sequence[Expr]) -> float:
        """The largest magnitude in some expressions."""
        from torch import float64

        from repc.evaluate import evaluate
        from repc.evaluate.floating import TorchField

        found = evaluate(dict(enumerate(exprs)), TorchField(float64), self.values).values()
        return max((float(value.abs().max()) for value in found if value.numel()), default=0.0)


@dataclass(frozen=True, eq=False)
class Told:
    """What there is to tell of: both graphs and what was done, with the names of the train form's operators."""

    train: Graph
    folded: Graph
    trace: Trace
    weights: Weights | None

    @cached_property
    def before(self) -> Mapping[NodeId, str]:
        """The operators of the train form as a person knows them."""
        return names(self.train)

    def cost(self, site: Site) -> tuple[Cost, Cost]:
        """What a site took and takes: multiply-adds for each position of the result where sizes are free."""
        sizes = nominal_sizes(self.train)
        free = [dim for dim in site.node.type.shape if not isinstance(dim, int)]
        positions = prod(evaluate_dim(dim, sizes) for dim in free)

        def of(graph: Graph, ids: Sequence[NodeId]) -> Cost:
            kept = stored(expr for id in ids for expr in graph[id].weights.values())
            return Cost(round(multiply_adds(graph, sizes, ids) / positions), kept, len(ids))

        return of(self.train, site.was), of(self.folded, [site.id])

    def proof(self, site: Site) -> Proof | None:
        """That the value of a folded site is what it was, for all weights; None where nothing was folded."""
        from repc.verify import certify

        found = certify(self.train, self.folded, self.trace.steps, only=(site.id,))
        return found if found.segments else None


def _record(site: Site, told: Told) -> dict[str, Any]:
    before, (old, new) = told.before, told.cost(site)
    return {
        "path": site.name,
        "operator": kind(site.node),
        "type": str(site.node.type),
        "origin": [str(span) for span in site.node.origin],
        "was": [before[id] for id in site.was],
        "folded": site.folded,
        "why": site.why,
        "weights": {name: expression(expr) for name, expr in site.node.weights.items()},
        "steps": [step_record(step) for step in site.steps],
        "refusals": [refusal_record(refusal) for refusal in site.refusals],
        "cost": {"before": asdict(old), "after": asdict(new)},
    }


# ---------------------------------------------------------------- the whole model


def _overview(found: Sequence[Site], refusals: Sequence[Refusal], weights: Weights | None) -> Iterator[str]:
    folded = [site for site in found if site.folded]
    if folded:
        rows = [("site", "operators", "", "rules")]
        for site in folded:
            rules = dict.fromkeys(step.rule for step in site.steps)
            rows.append((site.name, f"{max(1, len(site.was))} -> 1", kind(site.node), " ".join(rules) or "weights"))
        yield "\n" + table(rows, "<><<")
    else:
        yield row("Folded", "nothing")
    groups: dict[tuple[str, str], list[str]] = {}
    for site in found:
        if not site.folded:
            why = f"{site.refusals[0].rule} refused" if site.refusals else site.why
            groups.setdefault((kind(site.node), why), []).append(site.name)
    rows = [
        (what, f"x{len(places)}", why, listed(list(dict.fromkeys(places)))) for (what, why), places in groups.items()
    ]
    if rows:
        yield "\n  Remains"
        yield table(rows, "<><<")
    if refusals:
        yield "\n  Refused"
    for alike in _alike(refusals):
        yield from _refusal(alike[0], weights, len(alike) - 1)


def _alike(refusals: Sequence[Refusal]) -> Collection[Sequence[Refusal]]:
    """Refusals that differ in numbers only, as those of repeated blocks do."""
    groups: dict[tuple[str, ...], list[Refusal]] = {}
    for refusal in refusals:
        said = (refusal.rule, refusal.path, refusal.edge, refusal.reason, refusal.remedy)
        groups.setdefault(tuple(re.sub(r"\d+", "#", text) for text in said), []).append(refusal)
    return groups.values()


def _refusal(refusal: Refusal, weights: Weights | None, others: int = 0) -> Iterator[str]:
    more = f" and {others} more like it" if others else ""
    yield f"  {refusal.path}{more}   {refusal.rule} refused: {refusal.reason}   {place(refusal.origin)}".rstrip()
    yield f"      edge    {refusal.edge}"
    if refusal.off is not None and weights is not None:
        yield f"      wrong   by up to {weights.largest([refusal.off]):.2g}"
    yield f"      remedy  {refusal.remedy}"


# ---------------------------------------------------------------- one site


def _page(site: Site, told: Told, screen: Screen) -> Iterator[str]:
    train, folded, before = told.train, told.folded, told.before
    title = f"{plural(max(1, len(site.was)), 'operator')} -> {kind(site.node)}"
    yield f"  {screen.paint(site.name, BOLD)}   {title}   {place(site.node.origin)}"
    if site.was:
        rows = [(kind(train[id]), before[id], str(train[id].type), place(train[id].origin)) for id in site.was]
        yield "\n" + table([("was", "", "", ""), *rows], "<<<<")
    yield ""
    if not site.folded:
        yield row("Remains", "refused, as below" if site.refusals else f"it {site.why}")
    rows = [
        (f"{number}", step.rule, step.detail, listed(step.absorbed) or step.path, step.exactness, place(step.origin))
        for number, step in enumerate(site.steps, 1)
    ]
    if rows:
        yield table(rows, "><<<<<") + "\n"
    for fact in (fact for step in site.steps for fact in step.facts):
        yield row("Relies on", relied_on(fact).replace("\n", "\n    "))
    for name, expr in site.node.weights.items():
        yield f"    {name} = " + expression(expr).replace("\n", "\n    ")
    yield from _effect(site, told)
    for refusal in site.refusals:
        yield from _refusal(refusal, told.weights)
    beside = [*site.node.inputs, *folded.users(site.id)]
    yield row("Beside", listed([names(folded)[id] for id in dict.fromkeys(beside)], shown=6) or "nothing")


def _effect(site: Site, told: Told) -> Iterator[str]:
    """What it took and takes, that it is the same, and how large its weights became."""
    old, new = told.cost(site)
    free = any(not isinstance(dim, int) for dim in site.node.type.shape[1:])
    if old.macs or old.size:
        unit = "position" if free else "sample"
        macs = f"{amount(old.macs)} -> {amount(new.macs)} multiply-adds for each {unit}"
        count = f"{plural(old.operators, 'operator')} -> {new.operators}"
        yield "\n" + row("Cost", f"{count} · {macs} · {size(old.size)} -> {size(new.size)}")
    proof = told.proof(site) if site.folded else None
    if proof is not None:
        wrong = proof.first_wrong
        yield row("Proved", f"no: {wrong[1].reason}" if wrong else "the same for all weights, P(miss) < 1e-9")
    kernel = site.node.weights.get("weight")
    if site.folded and told.weights is not None and kernel is not None:
        kernels = [param for param in parameters([kernel]).values() if param.type.rank > 1]
        yield row("Weights", f"max|K| {told.weights.largest(kernels):.2g} -> {told.weights.largest([kernel]):.2g}")
