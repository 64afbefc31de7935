"""``repc rule``: what a fusion rule does and when, and what an error code means."""

from __future__ import annotations

import ast
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from inspect import cleandoc
from textwrap import fill

from repc.cli import errors
from repc.cli.arguments import add_json
from repc.cli.layout import row
from repc.cli.screen import BOLD, Screen
from repc.diagnostics import Failure

EXAMPLES = """\
examples:
  repc rule F3
  repc rule E611
  repc rule"""

CODE = re.compile(r"E\d{3}")


@dataclass(frozen=True, eq=False)
class Topic:
    """A rule or a code, and its page."""

    id: str
    title: str
    page: str


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "topic", metavar="ID", nargs="?", help="F1, F3, … or E101, E201, …; without one, all are listed"
    )
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Print one page, or the list of all."""
    topics = [*rules(), *codes()]
    if args.topic is not None:
        wanted = args.topic.upper()
        found = [topic for topic in topics if topic.id == wanted]
        if not found:
            raise Failure(errors.unknown_topic(args.topic, [topic.id for topic in topics]))
    else:
        found = topics
    if args.json:
        screen.json([asdict(topic) for topic in found])
    elif args.topic is None:
        for topic in found:
            screen.result(f"  {topic.id:<6}{topic.title}")
    else:
        screen.result("\n\n".join(f"{screen.paint(f'{t.id}  {t.title}', BOLD)}\n\n{t.page}".rstrip() for t in found))
    return 0


def rules() -> list[Topic]:
    """Every fusion rule, from its class."""
    from repc.passes import catalogue

    found: list[Topic] = []
    for doc in catalogue().values():
        parts = {"Identity": doc.identity, "Precondition": doc.precondition, "Trap": doc.trap, "Source": doc.source}
        page = "\n".join(row(label, fill(text, 100), width=14) for label, text in parts.items())
        found.append(Topic(doc.id, f"{doc.name}: {doc.title}", page))
    return found


def codes() -> list[Topic]:
    """Every diagnostic code, from the function that builds it.

    The functions are read and not imported, since importing all stages would load torch.
    """
    found = [topic for file in _sources(files("repc")) for topic in _codes_of(file.read_text(encoding="utf-8"))]
    return sorted(found, key=lambda topic: topic.id)


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name not in ("grammar", "specs"):
            yield from _sources(entry)
        elif entry.name.endswith(".py"):
            yield entry


def _codes_of(text: str) -> Iterator[Topic]:
    if not re.search(r'"E\d{3}"', text):
        return
    for function in ast.walk(ast.parse(text)):
        if isinstance(function, ast.FunctionDef) and (doc := ast.get_docstring(function)):
            constants = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)}
            for code in sorted(c for c in constants if isinstance(c, str) and CODE.fullmatch(c)):
                yield _topic(code, doc.removeprefix(f"{code}: "))


def _topic(id: str, doc: str) -> Topic:
    title, _, page = cleandoc(doc).partition("\n")
    return Topic(id, title[:1].upper() + title[1:], page.strip())
