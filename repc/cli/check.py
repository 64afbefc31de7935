"""``repc check``: every error of spec files.  It never loads torch, and its own start-up is a feature."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from repc.cli.arguments import add_settings, settings, sizes
from repc.cli.inputs import only_spec
from repc.cli.screen import Screen, colours
from repc.diagnostics import Diagnostic, Failure
from repc.diagnostics.render import Format, render
from repc.semantics import FileLibrary, check, elaborate, load, open_spec
from repc.semantics.values import Value

EXAMPLES = """\
examples:
  repc check blocks.rep models.rep
  repc check repc:repvgg/RepVGG_A0 --set classes=10 --size h=224 --size w=224
  repc check *.rep --output-format github

A file is checked whole; with :MODEL, --set or --size also that one model as it was asked for.
Exit code 0 without errors, 2 with."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("inputs", metavar="FILE", nargs="+", help="FILE.rep[:MODEL] or repc:NAME[/MODEL]")
    add_settings(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--output-format", choices=("text", "json", "github"), default="text", help="form of the errors")
    form.add_argument("--json", action="store_const", dest="output_format", const="json", help="the same as json there")


def run(args: Namespace, screen: Screen) -> int:
    """Check every file and print every error."""
    given, pinned = settings(args.set), sizes(args.size)
    found: list[Diagnostic] = []
    for text in args.inputs:
        found += errors_of(text, given, pinned)
    format: Format = args.output_format
    if found or format == "json":
        screen.out.write(render(found, format=format, color=colours(screen.out)))
    screen.remark(_summary(found, len(args.inputs)))
    return 2 if found else 0


def errors_of(text: str, given: dict[str, Value], pinned: dict[str, int]) -> list[Diagnostic]:
    """The errors of one file, and of one of its models as it was asked for."""
    try:
        only_spec(text)
        opened = open_spec(text)
        module = load(opened.source, FileLibrary())
        found = check(module)
        if not found and (opened.model or given or pinned):
            elaborate(module, opened.choose(module), given, pinned)
    except Failure as failure:
        return list(failure.diagnostics)
    return found


def _summary(found: list[Diagnostic], files: int) -> str:
    checked = f"{files} file{'s' * (files != 1)}"
    if not found:
        return f"{checked} checked, no errors"
    return f"{checked} checked, {len(found)} error{'s' * (len(found) != 1)}"
