"""The folder that `repc compile` writes: what is in it, and how it came to be, so that it can be checked again."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from repc.cli import errors
from repc.cli.recipe import LISTS, Recipe
from repc.diagnostics import Failure
from repc.ir.files import unwritable, write_whole

REPORT = "report.json"
CERTIFICATE = "certificate.json"


@dataclass(frozen=True, eq=False)
class Build:
    """A compiled folder: where it is, and its report."""

    folder: Path
    recipe: Recipe
    report: Mapping[str, Any]

    def changed(self) -> list[str]:
        """The files that are not what was written."""
        files: Mapping[str, Mapping[str, Any]] = self.report["files"]
        return [name for name, file in files.items() if _digest(self.folder / name) != file["sha256"]]

    def file(self, name: str) -> Path | None:
        """A file of the folder, where it was written."""
        return self.folder / name if name in self.report["files"] else None


def read(folder: Path) -> Build:
    """The build in a folder; raises `Failure` where there is none."""
    try:
        report: dict[str, Any] = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        values: dict[str, Any] = dict(report["recipe"])
        values.update({name: tuple(values[name]) for name in LISTS})
        build = Build(folder, Recipe(**values).moved(folder, Path()), report)
        build.changed()
    except FileNotFoundError:
        raise Failure(errors.not_a_build(folder, f"it has no {REPORT}")) from None
    except OSError as error:
        raise Failure(errors.unreadable(str(folder / REPORT), (error.strerror or str(error)).lower())) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failure(errors.not_a_build(folder, f"its {REPORT} is damaged")) from None
    return build


def as_compiled(args: Namespace, folder: Path, **further: str | None) -> Build:
    """The build that a command is about.  Raises `Failure` E946 for what only another compilation would change.

    `further` are options that not every command has.
    """
    given = {"--set": args.set, "--size": args.size, "--bind": args.bind, "--input": args.example}
    given |= {"--weights": args.weights, "--container": args.container, "--adapter": args.adapter}
    given |= {"--target": args.target, **{f"--{name}": value for name, value in further.items()}}
    wrong = [option for option, value in given.items() if value]
    if wrong:
        raise Failure([errors.not_for(option, str(folder), "a folder that compile wrote") for option in wrong])
    return read(folder)


def write_certificate(folder: Path, certificate: Mapping[str, Any], recipe: Recipe) -> None:
    """What `python -m repc.checker` needs, beside the ONNX file that it is about."""
    artifact = {file.name: _digest(file) for file in sorted(folder.glob("model.onnx*"))}
    text = json.dumps({**certificate, **recipe.elaboration(), "artifact": artifact}, indent=1, ensure_ascii=False)
    write_whole(folder / CERTIFICATE, f"{text}\n".encode())


@contextmanager
def writing(folder: Path, recipe: Recipe, report: dict[str, Any]) -> Generator[Path]:
    """A folder to write into, whose files move into `folder` together with the report when all are complete.

    Until then nothing in `folder` changes, and after an error nothing has.  The report comes last: it has the hashes of
    the files, so that a mixture of two builds, left by a crash between two renames, is found.
    """
    staging = folder.parent / f".{folder.name}.{token_hex(6)}.part"
    try:
        try:
            staging.mkdir(parents=True)
            yield staging
            report["recipe"] = asdict(recipe.moved(Path(), folder))
            report["files"] = {file.name: _described(file) for file in sorted(staging.iterdir())}
            text = json.dumps(report, indent=2, ensure_ascii=False)
            write_whole(staging / REPORT, f"{text}\n".encode())
            _publish(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _publish(staging: Path, folder: Path) -> None:
    if not folder.exists():
        staging.rename(folder)
        return
    for file in sorted(staging.iterdir(), key=lambda file: file.name == REPORT):
        file.replace(folder / file.name)


def _described(file: Path) -> dict[str, Any]:
    return {"sha256": _digest(file), "bytes": file.stat().st_size}


def _digest(file: Path) -> str | None:
    if not file.is_file():
        return None
    total = sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            total.update(block)
    return total.hexdigest()
