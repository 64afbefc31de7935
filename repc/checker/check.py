"""A certificate against the spec, the weights and the file that it is about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import floor, log10
from pathlib import Path
from secrets import randbits
from typing import Any

import onnx
import torch
from torch import Tensor

from repc.checker import errors
from repc.checker.reader import Artifact, read
from repc.checkpoints import LAYOUTS, AdapterImport, match_adapted, read_adapter
from repc.checkpoints import read as read_checkpoint
from repc.diagnostics import Failure, Source
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.evaluate.initial import initial_values
from repc.evaluate.proof import prove
from repc.evaluate.raw import digest
from repc.evaluate.rounding import LIMIT, distances, reals, slack
from repc.importers import Imported, import_onnx, import_program
from repc.ir.codec import decode, fingerprint, from_plain
from repc.ir.expr import Expr
from repc.ir.graph import Graph
from repc.ir.trace import Fact
from repc.ir.types import ShapeError
from repc.ops import OPERATORS
from repc.semantics import FileLibrary, bind, elaborate, load, open_spec

FORMAT = 1
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, ShapeError)
UNCOMPUTABLE = (*MALFORMED, RuntimeError, AssertionError, ArithmeticError)
"""What a file raises that is not what it is said to be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked, whether it holds, and what was seen."""

    name: str
    holds: bool
    text: str


def check(
    certificate: str | Path,
    spec: str,
    weights: str | Path | None,
    artifact: str | Path,
    container: str | None = None,
    adapter: str | Path | None = None,
) -> list[Finding]:
    """Everything that a certificate claims, checked again.

    Where the spec, the weights or the file is not the one that it speaks of, no more is looked at.  Raises `Failure`
    where something cannot be read.
    """
    path = Path(certificate)
    record = _record(path)
    try:
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']}, not {FORMAT}")
        train, attached, own = _training(spec, record, adapter)
        given = _weights(train, weights, container, attached, own)
        identity = list(_identity(record, train, given, Path(artifact)))
        if not all(finding.holds for finding in identity):
            return identity
        names = dict(zip((op.name for op in OPERATORS), OPERATORS, strict=True))
        parts: list[Any] = decode(record["parts"], names, {name: p.type for name, p in train.parameters.items()})
        tensors: dict[str, Expr] = {name: parts[place] for name, place in record["tensors"].items()}
        facts = [Fact(fact["kind"], parts[fact["part"]]) for fact in record["facts"]]
        cuts = {int(cut["node"]): str(cut["value"]) for cut in record["cuts"]}
    except MALFORMED as error:
        raise Failure(errors.no_certificate(path, f"{type(error).__name__}: {error}")) from None
    with torch.no_grad():
        try:
            found = read(_model(Path(artifact)), train, cuts, tensors)
            claims = [_algebra(train, found, cuts, facts), _stored(found, tensors, given), *_facts(facts, given)]
        except UNCOMPUTABLE as error:
            claims = [Finding("algebra", False, f"the file cannot be computed: {error}")]
    return [*identity, *claims]


# ------------------------------------------------------------------------------------------------ what it is about


def _record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Failure(errors.unreadable(path, (error.strerror or str(error)).lower())) from None
    except ValueError as error:
        raise Failure(errors.no_certificate(path, str(error))) from None
    return record


def _model(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path)  # pyright: ignore[reportUnknownMemberType]
    except OSError as error:
        raise Failure(errors.unreadable(path, (error.strerror or str(error)).lower())) from None
    except Exception as error:  # whatever protobuf raises
        raise Failure(errors.unreadable(path, str(error))) from None


def _training(
    spec: str, record: Mapping[str, Any], adapter: str | Path | None
) -> tuple[Graph, AdapterImport | None, Imported | None]:
    """The training graph, as the certificate says that the spec was elaborated, or as a file is imported."""
    settings = {name: from_plain(value) for name, value in record["set"].items()}
    pinned = {name: from_plain(value) for name, value in record["bind"].items()}
    if Path(spec).suffix in (".onnx", ".pt2"):
        own = import_onnx(spec, record["size"]) if Path(spec).suffix == ".onnx" else import_program(spec)
        return bind(own.graph, pinned), None, own
    opened = open_spec(spec)
    module, library = load(opened.source, FileLibrary()), FileLibrary()
    name = opened.choose(module) if opened.model or adapter else str(record["model"])
    attached = None
    if adapter is not None:
        base = elaborate(module, name, settings, record["size"])
        attached = read_adapter(
            adapter, {path: p.type for path, p in base.parameters.items()}, name, opened.import_name
        )
        module, name = load(Source(f"{adapter}", attached.spec), library), attached.name
    return bind(elaborate(module, name, settings, record["size"]), pinned), attached, None


def _weights(
    train: Graph,
    weights: str | Path | None,
    container: str | None,
    adapter: AdapterImport | None,
    own: Imported | None,
) -> Mapping[str, Tensor]:
    if weights is None:
        return own.parameters if own else initial_values(train.parameters, seed=0)
    fixed = {path: own.parameters[path] for path in own.constants} if own else {}
    learnt = {path: parameter for path, parameter in train.parameters.items() if path not in fixed}
    return {**fixed, **match_adapted(read_checkpoint(weights, container), learnt, LAYOUTS, adapter).values}


def _identity(
    record: Mapping[str, Any], train: Graph, given: Mapping[str, Tensor], artifact: Path
) -> Iterator[Finding]:
    """Whether the spec, the weights and the file are those that the certificate speaks of, by their hashes."""
    claims = [("spec", fingerprint(train), record["spec"]["sha256"], f"{train.name}")]
    claims.append(("weights", digest(given), record["weights"]["sha256"], f"{len(given)} tensors"))
    claims += [("artifact", _sha256(artifact.with_name(name)), hash, name) for name, hash in _files(record, artifact)]
    for name, actual, claimed, text in claims:
        holds = actual == claimed
        yield Finding(name, holds, f"{text}, sha256 {actual[:12]}…" if holds else f"{text} is another one")


def _files(record: Mapping[str, Any], artifact: Path) -> Iterator[tuple[str, str]]:
    """The files of the artifact and their hashes; the model may have been renamed."""
    model, *others = dict(record["artifact"]).items()
    yield artifact.name, model[1]
    yield from others


def _sha256(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Failure(errors.unreadable(path, (error.strerror or str(error)).lower())) from None


# ------------------------------------------------------------------------------------------------ what it claims


def _algebra(train: Graph, found: Artifact, cuts: Mapping[int, str], facts: list[Fact]) -> Finding:
    """The file computes what the spec says, for all weights and inputs."""
    same = {id: found.values[name] for id, name in cuts.items() if name in found.values and id in train}
    for name, id in train.outputs.items():
        if name not in found.graph.outputs:
            return Finding("algebra", False, f"the file has no output {name}")
        same[id] = found.graph.outputs[name]
    ordered = {id: same[id] for id in train.order() if id in same}
    verdicts = prove(train, found.graph, ordered, facts, seed=randbits(64))
    wrong = next((verdict for verdict in verdicts if not verdict.equal), None)
    if wrong:
        return Finding("algebra", False, f"{train[wrong.result].path or 'the network'}: {wrong.reason}")
    miss = max((verdict.miss for verdict in verdicts), default=0.0)
    tried = sum(not verdict.local for verdict in verdicts)
    note = f"; {tried} of them at the sizes tried" if tried else ""
    chance = f"1e{floor(log10(miss)) + 1}" if miss else "1e-300"
    return Finding("algebra", True, f"equal in {len(verdicts)} segments, P(miss) < {chance}{note}")


def _stored(found: Artifact, tensors: Mapping[str, Expr], given: Mapping[str, Tensor]) -> Finding:
    """Every stored tensor is its expression's value, to half a unit in the last place."""
    exact = evaluate({name: tensors[name] for name in found.stored}, TorchField(torch.float64), given)
    worst, at = 0.0, ""
    for name, stored in found.stored.items():
        if stored.shape != exact[name].shape:
            return Finding("weights", False, f"{name} has the shape {list(stored.shape)}")
        value = reals(exact[name])
        off = float(distances(reals(stored), value, slack(value)).max()) if stored.numel() else 0.0
        if off > worst:
            worst, at = off, name
    text = f"{len(exact)} tensors recomputed, max {worst:.3g} ulp" + (f" in {at}" if worst > LIMIT else "")
    return Finding("weights", worst <= LIMIT, text)


def _facts(facts: list[Fact], given: Mapping[str, Tensor]) -> Iterator[Finding]:
    """What the proof relies on is true of the weights."""
    values = evaluate({i: fact.expr for i, fact in enumerate(facts)}, TorchField(torch.float64), given)
    false = [i for i, fact in enumerate(facts) if not fact.holds(map(float, values[i].flatten()))]
    if facts:
        yield Finding("facts", not false, f"{len(facts) - len(false)} of {len(facts)} are true of the weights")
