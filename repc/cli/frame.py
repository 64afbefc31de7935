"""What every command runs inside of: which there are, what goes wrong, and which code that gives."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import import_module
from io import TextIOWrapper
from types import ModuleType

from repc.cli.screen import Screen
from repc.diagnostics import Failure, nearest

VERBS = {
    "check": "find every error of spec files",
    "fmt": "format spec files",
    "show": "print the graph of a model, or draw it",
    "explain": "say what folding did at each place, and why the rest remains",
    "compile": "fold a model and write what is deployed",
    "verify": "compare train form, folded form and emitted files",
    "export": "write the ONNX file alone",
    "merge": "merge adapters into a checkpoint",
    "bench": "measure latency before and after folding",
    "expand": "turn deployed operators back into blocks to train on, with the same function",
    "import": "write a model of another tool as a spec",
    "init": "write a small spec to start from",
    "list": "list the shipped specs",
    "rule": "explain a fusion rule or an error code",
    "doctor": "check the installation",
}

BRIEF = ("check", "fmt", "list")

_USAGE = "usage: repc [-h] [--version] COMMAND …"
DONE, NO, WRONG_INPUT, INTERNAL, INTERRUPTED, NOBODY_READS = 0, 1, 2, 3, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is returned, never raised."""
    words = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a letter gets another, not an exception
            stream.reconfigure(errors="replace")
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except SystemExit as ended:  # argparse: help, or wrong arguments
        code = ended.code if isinstance(ended.code, int) else WRONG_INPUT
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; the interpreter would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = NOBODY_READS
    return code


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return DONE if words else WRONG_INPUT
    if words[0] in ("-V", "--version"):
        from repc import __version__

        print(f"repc {__version__}")
        return DONE
    if words[0] not in VERBS:
        meant = nearest(words[0], VERBS)
        remedy = f"did you mean `repc {meant}`?" if meant else "`repc --help` lists the commands"
        print(f"{_USAGE}\nrepc: there is no command {words[0]!r}; {remedy}", file=sys.stderr)
        return WRONG_INPUT
    return _run(words[0], words[1:])


def _run(verb: str, words: list[str]) -> int:
    """One command; what it raises becomes a message and a code."""
    screen = Screen(sys.stdout, sys.stderr)
    json = "--json" in words
    try:
        # Whatever a library prints is no result.
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            if verb in BRIEF:
                gc.disable()  # before anything is loaded: a tenth of the time, and the process ends soon
            command = import_module(f"repc.cli.{verb}")
            with redirect_stdout(screen.out):
                args = _parser(verb, command).parse_intermixed_args(words)
            screen.quiet, screen.verbose = args.quiet, args.verbose
            warnings.simplefilter("default" if args.verbose else "ignore")
            return command.run(args, screen)
    except Failure as failure:
        screen.failure(failure, json=json)
        return WRONG_INPUT
    except BrokenPipeError:
        raise
    except Exception as error:
        from repc.cli.crash import report

        report(error, [verb, *words], screen)
        return INTERNAL


def _parser(verb: str, command: ModuleType) -> ArgumentParser:
    parser = ArgumentParser(
        prog=f"repc {verb}",
        description=f"{VERBS[verb].capitalize()}.",
        epilog=command.EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.configure(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="results only")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on the way")
    return parser


def _help() -> str:
    lines = [f"  {verb:<9} {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            _USAGE,
            "",
            "Write the architecture you train; repc derives the one you deploy.",
            "",
            "commands:",
            *lines,
            "",
            "INPUT is FILE.rep, FILE.rep:MODEL, or repc:NAME/MODEL for a shipped spec (`repc list`);",
            "FILE.onnx or FILE.pt2; or MODULE:FACTORY, code of your own that makes a torch module.",
            "`repc COMMAND --help` has the options and examples.",
        ]
    )
