"""``repc list``: what is shipped, read from the spec files themselves."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TypedDict

from repc.cli.arguments import add_json
from repc.cli.screen import BOLD, Screen
from repc.ir.paths import pattern
from repc.semantics import shipped_names, shipped_source
from repc.syntax import parse, tree

EXAMPLES = """\
examples:
  repc list
  repc list repvgg
  repc list --json"""


class Shipped(TypedDict):
    """One shipped file; `targets` by model."""

    spec: str
    models: dict[str, list[str]]
    blocks: list[str]


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("word", metavar="WORD", nargs="?", default="", help="only what has this in its name")
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print every shipped file with its models, their targets, and its blocks; 1 where nothing fits."""
    found = [entry for entry in map(_entry, shipped_names()) if _fits(entry, args.word.lower())]
    if args.json:
        screen.json(found)
        return 0 if found else 1
    for entry in found:
        screen.result(screen.paint(f"repc:{entry['spec']}", BOLD))
        width = max(map(len, entry["models"]), default=0)
        for model, targets in entry["models"].items():
            screen.result(f"  {model:<{width}}  {('targets ' + ', '.join(targets)) if targets else ''}".rstrip())
        if entry["blocks"]:
            screen.result(f"  blocks: {', '.join(entry['blocks'])}")
    if not found:
        screen.remark(f"nothing shipped has {args.word!r} in its name")
    return 0 if found else 1


def _entry(name: str) -> Shipped:
    source = shipped_source(name)
    assert source is not None, name
    items = parse(source).items
    targets = [(pattern(item.models.text), item.name) for item in items if isinstance(item, tree.Target)]
    models = [i.name for i in items if isinstance(i, tree.Adapt) or (isinstance(i, tree.Definition) and _is_model(i))]
    return {
        "spec": name,
        "models": {model: [target for where, target in targets if where.matches(model)] for model in models},
        "blocks": [i.name for i in items if isinstance(i, tree.Definition) and not _is_model(i)],
    }


def _is_model(item: tree.Definition) -> bool:
    return item.kind == "model"


def _fits(entry: Shipped, word: str) -> bool:
    return any(word in name.lower() for name in (entry["spec"], *entry["models"], *entry["blocks"]))
