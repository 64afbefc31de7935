"""``repc show``: the graph of a model, as text or as a picture."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from difflib import unified_diff

from repc.cli.arguments import add_input, add_target
from repc.cli.recipe import Recipe
from repc.cli.screen import GREEN, RED, Screen
from repc.ir.graph import Graph, value_names
from repc.ir.printer import print_graph

EXAMPLES = """\
examples:
  repc show repc:repvgg/RepVGG_A0
  repc show net.rep:Net --types --size h=64 --size w=64
  repc show net.rep:Net --fused --svg -o net.svg
  repc show net.rep:Net --diff --target deploy
  repc show net.onnx --types --size batch=1"""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--types", action="store_true", help="the type of every value instead of the graph")
    form.add_argument("--dot", action="store_true", help="the graph in the language of graphviz")
    form.add_argument("--svg", action="store_true", help="the graph as a picture")
    form.add_argument("--diff", action="store_true", help="what folding changes, as train form against folded form")
    add_target(parser)
    parser.add_argument("--fused", action="store_true", help="the folded form; --target says the same")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file instead")


def run(args: Namespace, screen: Screen) -> int:
    """Print or write the graph."""
    recipe = Recipe.of(args)
    if args.diff or args.fused or args.target is not None:
        model = recipe.model()
        fused, _ = model.fold(model.target(args.target))
        text = _difference(model.graph, fused, screen) if args.diff else _text(fused, args)
    else:
        text = _text(recipe.graph(), args)
    if args.output is None:
        screen.result(text)
        return 0
    from repc.ir.files import write_whole

    write_whole(args.output, f"{text}\n".encode())
    screen.remark(f"wrote {args.output}")
    return 0


def _text(graph: Graph, args: Namespace) -> str:
    if args.dot or args.svg:
        from repc.cli import drawing

        return drawing.dot(graph) if args.dot else drawing.svg(graph)
    return types(graph) if args.types else print_graph(graph)


def types(graph: Graph) -> str:
    """A line for each value: its name, and its type."""
    rows = [(name, str(graph[id].type)) for id, name in value_names(graph, lambda node: node.op.title)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {type}" for name, type in rows)


def _difference(train: Graph, fused: Graph, screen: Screen) -> str:
    before, after = print_graph(train).splitlines(), print_graph(fused).splitlines()
    lines = unified_diff(before, after, f"{train.name} (train)", f"{train.name} (folded)", n=1, lineterm="")
    colour = {"+": GREEN, "-": RED}
    return "\n".join(screen.paint(line, colour[line[0]]) if line[:1] in colour else line for line in lines)
