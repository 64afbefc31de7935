"""``repc fmt``: the one canonical layout of spec files."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from repc.cli import errors
from repc.cli.inputs import only_spec
from repc.cli.screen import GREEN, RED, Screen
from repc.diagnostics import Diagnostic, Failure, Source
from repc.syntax import read_source
from repc.syntax.printer import format_text

EXAMPLES = """\
examples:
  repc fmt blocks.rep models.rep
  repc fmt --check --diff specs/*.rep
  cat block.rep | repc fmt -

Exit code 0; with --check 1 where a file would change, 2 where one does not parse."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="spec files; - is standard input, written to output")
    parser.add_argument("--check", action="store_true", help="write nothing, say whether a file would change")
    parser.add_argument("--diff", action="store_true", help="write nothing, print what would change")


def run(args: Namespace, screen: Screen) -> int:
    """Format every file that parses; one that does not is reported, and stays."""
    wrong: list[Diagnostic] = []
    changed = 0
    for name in args.files:
        try:
            changed += _one(name, args.check, args.diff, screen)
        except Failure as failure:
            wrong += failure.diagnostics
    if changed or not wrong:
        verb = "would change" if args.check or args.diff else "changed"
        screen.remark(f"{changed} of {len(args.files)} file{'s' * (len(args.files) != 1)} {verb}")
    if wrong:
        raise Failure(wrong)
    return 1 if changed and args.check else 0


def _one(name: str, check: bool, diff: bool, screen: Screen) -> bool:
    """Format one file; whether its text changes."""
    source = _read(name)
    text = format_text(source)
    changed = text != source.text
    if diff and changed:
        screen.result(_difference(source, text, screen))
    elif name == "-" and not check and not diff:
        screen.out.write(text)
    elif changed and not check and not diff:
        from repc.ir.files import write_whole

        write_whole(name, text.encode())
        screen.detail(f"formatted {name}")
    if changed and check:
        screen.remark(f"would change {name}")
    return changed


def _read(name: str) -> Source:
    if name == "-":
        return read_source("<stdin>", sys.stdin.buffer.read())
    only_spec(name)
    try:
        return read_source(name, Path(name).read_bytes())
    except OSError as error:
        raise Failure(errors.unreadable(name, (error.strerror or str(error)).lower())) from None


def _difference(source: Source, text: str, screen: Screen) -> str:
    from difflib import unified_diff

    lines = unified_diff(
        source.text.splitlines(), text.splitlines(), source.name, f"{source.name} (formatted)", lineterm=""
    )
    colour = {"+": GREEN, "-": RED}
    return "\n".join(screen.paint(line, colour[line[0]]) if line[:1] in colour else line for line in lines)
