"""Where imports are found: among the shipped files, or beside the file that imports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from os.path import normpath
from pathlib import Path

from repc.diagnostics import Failure, Source
from repc.semantics import errors
from repc.semantics.errors.base import SHIPPED
from repc.semantics.modules import Module
from repc.syntax import read_source, tree

SUFFIX = ".rep"


class FileLibrary:
    """Finds ``import std.conv`` in the installed package and ``import "x.rep"`` relative to the importing file."""

    def find(self, statement: tree.Import) -> Source | None:
        if not statement.quoted:
            return shipped_source(statement.path.replace(".", "/"))
        path = Path(normpath(Path(statement.span.source.name).parent / statement.path))  # one name for each file
        try:
            return read_source(str(path), path.read_bytes()) if path.is_file() else None
        except OSError as error:
            reason = error.strerror or str(error)
            raise Failure(errors.unreadable_import(statement.span, statement.path, reason)) from None

    def names(self) -> list[str]:
        return [name.replace("/", ".") for name in shipped_names()]


@cache
def shipped_source(name: str) -> Source | None:
    """The shipped file ``std/conv``, called ``repc:std/conv``; None where there is none.

    It is read once in a process, and so parsed once, however many specs import it.
    """
    place = files("repc.specs").joinpath(*f"{name}{SUFFIX}".split("/"))
    return read_source(f"{SHIPPED}{name}", place.read_bytes()) if place.is_file() else None


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


@dataclass(frozen=True, slots=True)
class OpenedSpec:
    """A spec file, and the model of it that was asked for."""

    source: Source
    model: str | None

    @property
    def import_name(self) -> str:
        """How another file imports this one: dotted if it is shipped, else by its path."""
        if self.source.name.startswith(SHIPPED):
            return self.source.name.removeprefix(SHIPPED).replace("/", ".")
        return str(Path(self.source.name).resolve())

    def choose(self, module: Module) -> str:
        """The model that is meant: the one asked for, or the only one of the file."""
        models = list(module.models())
        if self.model is not None and self.model not in models:
            block = self.model in module.definitions
            raise Failure(errors.unknown_model(module.file.span, self.model, models, block=block))
        if self.model is None and len(models) != 1:
            raise Failure(errors.which_model(module.file.span, models))
        return self.model or models[0]


def open_spec(text: str, model: str | None = None) -> OpenedSpec:
    """The file behind ``FILE.rep``, ``FILE.rep:MODEL``, ``repc:NAME`` or ``repc:NAME/MODEL``.

    Raises `Failure` where there is no such file, or it cannot be read.
    """
    if text.startswith(SHIPPED):
        return _open_shipped(text.removeprefix(SHIPPED), model)
    path, colon, name = text.rpartition(":") if not text.endswith(SUFFIX) else (text, "", "")
    if not colon:
        path = text
    place = Path(path)
    try:
        return OpenedSpec(read_source(path, place.read_bytes()), model or name or None)
    except OSError as error:
        raise Failure(errors.unreadable_spec(path, error.strerror or str(error), _nearby(place))) from None


def _open_shipped(name: str, model: str | None) -> OpenedSpec:
    """``repvgg/RepVGG_A0``, ``models/repvgg/RepVGG_A0`` or the same without a model."""
    known = shipped_names()
    head, _, last = name.rpartition("/")
    for wanted, chosen in ((name, model), (head, model or last)):
        found = [full for full in known if wanted and (full == wanted or full.endswith(f"/{wanted}"))]
        source = shipped_source(found[0]) if found else None
        if source is not None:
            return OpenedSpec(source, chosen)
    raise Failure(errors.unknown_shipped(name, known))


def _nearby(path: Path) -> list[str]:
    """Spec files where a missing one was looked for."""
    return [str(other) for other in sorted(path.parent.glob(f"*{SUFFIX}"))] if path.parent.is_dir() else []
