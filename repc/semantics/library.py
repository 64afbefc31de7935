"""Where imports are found: among the shipped files, or beside the file that imports."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from repc.diagnostics import Source
from repc.syntax import read_source, tree

SUFFIX = ".rep"


class FileLibrary:
    """Finds ``import std.conv`` in the installed package and ``import "x.rep"`` relative to the importing file."""

    def find(self, statement: tree.Import) -> Source | None:
        if not statement.quoted:
            return shipped_source(statement.path.replace(".", "/"))
        base = Path(statement.span.source.name).parent
        path = base / statement.path
        return read_source(str(path), path.read_bytes()) if path.is_file() else None

    def names(self) -> list[str]:
        return [name.replace("/", ".") for name in shipped_names()]


def shipped_source(name: str) -> Source | None:
    """The shipped file ``std/conv``, called ``repc:std/conv``; None where there is none."""
    place = files("repc.specs").joinpath(*f"{name}{SUFFIX}".split("/"))
    return read_source(f"repc:{name}", place.read_bytes()) if place.is_file() else None


def shipped_names() -> list[str]:
    """Every shipped file, as ``std/conv``, sorted."""
    return sorted(_names(files("repc.specs"), ""))


def _names(folder: Traversable, prefix: str) -> list[str]:
    found: list[str] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found.extend(_names(entry, f"{prefix}{entry.name}/"))
        elif entry.name.endswith(SUFFIX):
            found.append(prefix + entry.name.removesuffix(SUFFIX))
    return found
