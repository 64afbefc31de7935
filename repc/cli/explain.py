"""``repc explain``: what folding did at each place, and why the rest remains."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from repc.cli import errors
from repc.cli.arguments import add_input, add_json, add_target
from repc.cli.build import read
from repc.cli.layout import amount, listed, place, plural, row, size, table
from repc.cli.recipe import Recipe
from repc.cli.screen import BOLD, Screen
from repc.cli.sites import Site, kind, names, sites
from repc.cli.summary import label, named, refusal_record, relied_on, step_record
from repc.diagnostics import Failure
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.paths import pattern
from repc.ir.printer import expression
from repc.ir.trace import Refusal
from repc.ops.work import multiply_adds, nominal_sizes
from repc.passes.cost import stored

EXAMPLES = """\
examples:
  repc explain repc:repvgg/RepVGG_A0
  repc explain repc:repvgg/RepVGG_A0 stage1.0.rbr_reparam
  repc explain build/a0 'stage1.**' --json
  repc explain net.onnx 'layer1.**'

SITE is a path pattern: * stands for one label, ** for any number.  Weights play no part in this, unless the target lets
folding look at them."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser, folder=True)
    parser.add_argument("site", metavar="SITE", nargs="?", help="only the operators at this path, in full")
    add_target(parser)
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Fold again, and tell."""
    folder = Path(args.input)
    recipe = read(folder).recipe if folder.is_dir() else Recipe.of(args)
    model = recipe.model()
    target = model.target(recipe.target)
    given = model.parameters(recipe.weights, recipe.container) if target.facts else None
    folded, trace = model.fold(target, given)
    model = model.bound(target.bind)
    found = sites(model.graph, folded, trace)
    if args.site is not None:
        wanted = pattern(args.site)
        chosen = [site for site in found if wanted.matches(site.name) or wanted.matches(site.node.path)]
        if not chosen:
            raise Failure(errors.no_such_site(args.site, model.name, [site.name for site in found]))
        found = chosen
    before = names(model.graph)
    if args.json:
        screen.json([_record(site, before) for site in found])
    elif args.site is not None:
        screen.result("\n\n".join("\n".join(_page(site, model.graph, folded, before, screen)) for site in found))
    else:
        count = f"{len(before) - len(model.graph.inputs)} operators -> {len(found)}"
        head = f"{named(model.spec, model.name)} · target {target.name} · {count}"
        screen.result("\n".join([row(label(model.spec), head), *_overview(found, trace.refusals)]))
    return 0


def _record(site: Site, before: Mapping[NodeId, str]) -> dict[str, Any]:
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
    }


# ---------------------------------------------------------------- the whole model


def _overview(found: Sequence[Site], refusals: Sequence[Refusal]) -> Iterator[str]:
    folded = [site for site in found if site.folded]
    if folded:
        rows = [("site", "operators", "", "rules")]
        for site in folded:
            rules = dict.fromkeys(step.rule for step in site.steps)
            rows.append((site.name, f"{max(1, len(site.was))} -> 1", kind(site.node), " ".join(rules) or "weights"))
        yield "\n" + table(rows, "<><<")
    else:
        yield row("Folded", "nothing")
    yield "\n  Remains"
    groups: dict[tuple[str, str], list[str]] = {}
    for site in found:
        if not site.folded:
            groups.setdefault((kind(site.node), site.why), []).append(site.name)
    rows = [(what, f"x{len(places)}", why, listed(places)) for (what, why), places in groups.items()]
    if rows:
        yield table(rows, "<><<")
    if refusals:
        yield "\n  Refused"
        for refusal in refusals:
            yield from _refusal(refusal)


def _refusal(refusal: Refusal) -> Iterator[str]:
    yield f"  {refusal.path}   {refusal.rule} refused: {refusal.reason}   {place(refusal.origin)}".rstrip()
    yield f"      edge    {refusal.edge}"
    yield f"      remedy  {refusal.remedy}"


# ---------------------------------------------------------------- one site


def _cost(graph: Graph, ids: Sequence[NodeId]) -> str:
    """How many operators there are, what they multiply and add at nominal sizes, and what they store."""
    macs = multiply_adds(graph, nominal_sizes(graph), ids)
    weights = stored(expr for id in ids for expr in graph[id].weights.values())
    return f"{plural(len(ids), 'operator')}, {amount(macs)} multiply-adds, {size(weights)}" if macs or weights else ""


def _page(site: Site, train: Graph, folded: Graph, before: Mapping[NodeId, str], screen: Screen) -> Iterator[str]:
    title = f"{plural(max(1, len(site.was)), 'operator')} -> {kind(site.node)}"
    yield f"  {screen.paint(site.name, BOLD)}   {title}   {place(site.node.origin)}"
    if site.was:
        rows = [(kind(train[id]), before[id], str(train[id].type), place(train[id].origin)) for id in site.was]
        yield "\n" + table([("was", "", "", ""), *rows], "<<<<")
    yield ""
    if not site.folded:
        yield row("Remains", f"it {site.why}")
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
    cost = _cost(train, site.was), _cost(folded, [site.id])
    if cost[0]:
        yield "\n" + row("Cost", " -> ".join(filter(None, cost)))
    for refusal in site.refusals:
        yield from _refusal(refusal)
    beside = [*site.node.inputs, *folded.users(site.id)]
    yield row("Beside", listed([names(folded)[id] for id in dict.fromkeys(beside)], shown=6) or "nothing")
