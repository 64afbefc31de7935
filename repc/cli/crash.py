"""What is left behind by a mistake of repc's own: a file that reproduces it."""

from __future__ import annotations

import platform
import re
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from traceback import format_exception

from repc.cli.screen import Screen

MAX_SPEC = 1_000_000


def report(error: Exception, words: Sequence[str], screen: Screen) -> None:
    """Write the bundle and say where it is."""
    text = _bundle(error, words)
    name = f"repc-crash-{datetime.now(UTC):%Y%m%d-%H%M%S}.txt"
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        screen.err.write(
            f"repc: internal error: {type(error).__name__}\n"
            f"  this is a mistake in repc, not in your input\n"
            f"  please report it with {folder / name}\n"
        )
        return
    screen.err.write(text)


def versions() -> dict[str, str]:
    """repc and what it needs: package → version, empty where it is not installed."""
    needed = [line for line in requires("repc") or () if "extra ==" not in line]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed]
    return {name: _version(name) for name in ("repc", *sorted(names))}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _bundle(error: Exception, words: Sequence[str]) -> str:
    parts = [
        f"repc {' '.join(words)}",
        f"Python {sys.version.split()[0]} on {platform.platform()}",
        *(f"{name} {found or 'not installed'}" for name, found in versions().items()),
        "",
        "".join(format_exception(error)),
    ]
    for word in words:
        path = Path(word.partition(".rep:")[0] + ".rep" if ".rep:" in word else word)
        if path.suffix == ".rep" and path.is_file() and path.stat().st_size <= MAX_SPEC:
            parts += [f"---- {path}", path.read_text(encoding="utf-8", errors="replace")]
    return "\n".join(parts)
