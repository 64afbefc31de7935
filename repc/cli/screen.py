"""What a command writes to: results on stdout, progress and remarks on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TextIO, TypeAlias

from repc.diagnostics import Failure
from repc.diagnostics.render import render

BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "31", "32", "33"

Say: TypeAlias = Callable[[str, float | None], None]
"""Progress: what is being done, and which share of it is."""


class Screen:
    """Two streams and what is wanted on them; colours only where a terminal shows them and NO_COLOR is not set."""

    def __init__(self, out: TextIO, err: TextIO, *, quiet: bool = False, verbose: bool = False) -> None:
        self.out = out
        self.err = err
        self.quiet = quiet
        self.verbose = verbose

    # ------------------------------------------------------------ results

    def result(self, text: str) -> None:
        """A line or more of the result."""
        self.out.write(text if text.endswith("\n") else text + "\n")

    def json(self, value: Any) -> None:
        """The result for machines."""
        self.result(json.dumps(value, indent=2, ensure_ascii=False))

    def paint(self, text: str, code: str) -> str:
        """A part of a result in a colour."""
        return f"\x1b[{code}m{text}\x1b[0m" if colours(self.out) else text

    # ------------------------------------------------------------ beside the result

    def remark(self, text: str) -> None:
        """A line for people, which is no result."""
        if not self.quiet:
            self.err.write(text + "\n")

    def detail(self, text: str) -> None:
        """A line for those who asked for more."""
        if self.verbose:
            self.err.write(text + "\n")

    def failure(self, failure: Failure, *, json: bool = False) -> None:
        """Every diagnostic of a failure: on stderr for people, as the result for machines."""
        if json:
            self.out.write(render(failure.diagnostics, format="json"))
        else:
            self.err.write(render(failure.diagnostics, color=colours(self.err)))

    @contextmanager
    def progress(self) -> Generator[Say]:
        """Tells what is being done: a bar on a terminal, else a line for each step."""
        if self.quiet:
            yield lambda text, share: None
        elif not self.err.isatty():
            yield self._lines()
        else:
            with _bar(self.err) as say:
                yield say

    def _lines(self) -> Say:
        last = ""

        def say(text: str, share: float | None) -> None:
            nonlocal last
            if text != last and (share is None or self.verbose):
                self.err.write(f"repc: {text}\n")
                last = text

        return say


def colours(stream: TextIO) -> bool:
    """Whether a stream shows colours (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@contextmanager
def _bar(stream: TextIO) -> Generator[Say]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24))
    with Progress(*columns, console=Console(file=stream), transient=True) as bar:
        task = bar.add_task("", total=None)

        def say(text: str, share: float | None) -> None:
            bar.update(task, description=text, total=None if share is None else 1.0, completed=share or 0.0)

        yield say
