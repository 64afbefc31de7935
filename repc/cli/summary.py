"""What `repc compile` says: gathered as a record for machines, then laid out for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repc import __version__
from repc.cli.layout import amount, listed, place, plural, row, size, table
from repc.cli.screen import GREEN, RED, YELLOW, Screen
from repc.cli.sites import names, refusals, sites
from repc.ir.dims import symbols
from repc.ir.graph import Graph
from repc.ir.printer import expression
from repc.ir.target import BACKENDS
from repc.ir.trace import Fact, Refusal, Step
from repc.ops.opaque import opaque_names

if TYPE_CHECKING:
    from repc.driver import Fused, Missed
    from repc.verify import Report

Record = dict[str, Any]
SHOWN = 5  # refusals and blocking nodes that are listed before the rest is counted
LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What folding leaves to do the work; shown even where their number stays."""


# ---------------------------------------------------------------- the record


def record(fused: Fused, report: Report | None, missed: Sequence[Missed]) -> Record:
    """Everything about a build but its files and its times: the same inputs give the same record."""
    given = fused.parameters
    return {
        "repc": __version__,
        "spec": fused.model.spec,
        "model": fused.model.name,
        "target": fused.target.name,
        "opset": fused.opset,
        "weights": {
            "source": given.source,
            "layout": given.layout,
            "share": given.share,
            "notes": [*given.notes, *fused.lost],
            "sha256": fused.provenance()["repc.weights.sha256"],
        },
        "operators": {"before": fused.model.counts(), "after": fused.counts()},
        "multiply_adds": {"before": fused.model.multiply_adds(), "after": fused.multiply_adds()},
        "parameters": {"before": _trained(fused.model.graph), "after": _stored(fused)},
        "opaque": dict(sorted(Counter(opaque_names(fused.graph).values()).items())),
        "backends": list(fused.expressible),
        "notes": list(fused.model.own.notes) if fused.model.own else [],
        "unmatched": list(fused.idle),
        "free_sizes": sorted(symbols(dim for id in fused.graph.inputs.values() for dim in fused.graph[id].type.shape)),
        "sites": [site.name for site in sites(fused.model.graph, fused.graph, fused.trace) if site.folded],
        "steps": [step_record(step) for step in fused.trace.steps],
        "refusals": [refusal_record(refusal) for refusal in fused.trace.refusals],
        "missed": [_missed(fused, miss) for miss in missed],
        "verification": report.to_dict() if report is not None else None,
    }


def step_record(step: Step) -> Record:
    """A rewrite, for JSON."""
    return {
        "rule": step.rule,
        "path": step.path,
        "absorbed": list(step.absorbed),
        "detail": step.detail,
        "exactness": step.exactness,
        "facts": [relied_on(fact) for fact in step.facts],
        "origin": [str(span) for span in step.origin],
    }


def relied_on(fact: Fact) -> str:
    """What has to be true of the weights."""
    return f"{fact.kind}: {expression(fact.expr)}"


def refusal_record(refusal: Refusal) -> Record:
    """A refusal, for JSON."""
    return {
        "rule": refusal.rule,
        "path": refusal.path,
        "edge": refusal.edge,
        "reason": refusal.reason,
        "remedy": refusal.remedy,
        "origin": [str(span) for span in refusal.origin],
    }


def _missed(fused: Fused, miss: Missed) -> Record:
    expected, called, explained = miss.expectation, names(fused.graph), refusals(fused.graph, fused.trace)
    return {
        "expected": f"{expected.operator} {expected.comparison} {expected.count}",
        "found": miss.actual,
        "at": str(expected.span),
        "blocking": [
            {
                "operator": called[id],
                "origin": place(fused.graph[id].origin),
                "refusals": [refusal_record(refusal) for refusal in explained.get(id, ())],
            }
            for id in miss.nodes
        ],
    }


def _trained(graph: Graph) -> int:
    return sum(prod(p.type.concrete()) for p in graph.parameters.values() if not p.buffer)


def _stored(fused: Fused) -> int:
    """Buffers count neither before nor after."""
    buffers = {path for path, parameter in fused.graph.parameters.items() if parameter.buffer}
    return sum(tensor.numel() for name, tensor in fused.values.items() if name not in buffers)


# ---------------------------------------------------------------- for people


def text(record: Record, folding: float, screen: Screen) -> str:
    """The summary down to what was checked."""
    spec = f"{named(record['spec'], record['model'])} · target {record['target']}"
    rules = {step["rule"] for step in record["steps"]}
    by = plural(len(rules), "rule") if rules else "weights alone"
    folded = f"{plural(len(record['sites']), 'site')}, {by}" if record["sites"] else "nothing"
    parts = [
        row(label(record["spec"]), spec),
        row("Weights", _weights(record["weights"])),
        row("Folded", f"{folded:<40}{folding:.1f} s"),
        "",
        _table(record),
        "",
        *(row(label, content) for label, content in _findings(record, screen)),
    ]
    return "\n".join(parts)


def named(source: str, model: str) -> str:
    """Where a model is from, with its own name, which that of a factory is."""
    return source if source.endswith(f":{model}") else f"{source}:{model}"


def label(source: str) -> str:
    """What a model comes from: a spec, or not."""
    return "Spec" if source.startswith("repc:") or source.endswith(".rep") else "Model"


def _weights(weights: Mapping[str, Any]) -> str:
    if weights["layout"] == "own":
        return f"{weights['source']} · its own"
    if weights["layout"] == "none":
        return f"{weights['source']} (give a checkpoint with --weights)"
    first = f"{weights['source']} · layout {weights['layout']} ({weights['share']:.0%}) · 0 unused, 0 missing"
    return "\n".join([first, *weights["notes"]])


def _table(record: Record) -> str:
    before, after = record["operators"]["before"], record["operators"]["after"]
    names = [n for n in (*before, *after) if before.get(n, 0) != after.get(n, 0) or n in LINEAR]
    rows = [("", "before", "after")]
    rows += [(name, str(before.get(name, 0)), str(after.get(name, 0))) for name in dict.fromkeys(names)]
    for label, key in (("multiply-adds", "multiply_adds"), ("parameters", "parameters")):
        rows.append((label, amount(record[key]["before"]), amount(record[key]["after"])))
    return table(rows, "<>>")


def _findings(record: Record, screen: Screen) -> Iterator[tuple[str, str]]:
    yield "Kept", "\n".join(_refusal_lines(record["refusals"], SHOWN)) or "nothing that could fold"
    if record["unmatched"]:
        yield "Unmatched", screen.paint("\n".join(record["unmatched"]), YELLOW)
    if record["opaque"]:
        yield "Opaque", "\n".join(_opaque_lines(record, SHOWN))
    rest = {name: n for name, n in record["operators"]["after"].items() if name not in LINEAR}
    yield "Remains", ", ".join(f"{name} {count}" for name, count in rest.items()) or "linear operators only"
    pinned = sorted({step["path"] for step in record["steps"] if step["exactness"] == "pinned"})
    free = record["free_sizes"]
    sizes = f"{', '.join(free)} {'stays' if len(free) == 1 else 'stay'} dynamic" if free else "all pinned"
    hold = "holds" if len(pinned) == 1 else "hold"
    folds = f"{plural(len(pinned), 'fold')} {hold} for these sizes only: {listed(pinned)}" if pinned else ""
    yield "Shapes", f"{sizes}; {folds or 'no fold pinned a size'}"
    report = record["verification"]
    if report is None:
        if not record["missed"]:
            yield "Verified", screen.paint("no", YELLOW)
        return
    proved = [check for check in report["checks"] if check["passed"] and check["check"].startswith("algebra")]
    if proved:
        yield "Proved", f"{proved[0]['detail'].replace(' segments', ' segments equal over GF(514751)')}"
    if record["uncertified"]:
        yield "Certified", f"{screen.paint('no', YELLOW)}: {record['uncertified']}"
    checks = [check for check in report["checks"] if check["passed"] and check["check"].startswith("rounding")]
    if checks:
        yield "Rounding", "\n".join(f"{c['check'].removeprefix('rounding, ')} {c['detail']}" for c in checks)
    if report["equivalent"]:
        yield "Verified", screen.paint("equivalent", GREEN) + f" on {report['inputs']}"


def _opaque_lines(record: Record, shown: int) -> Iterator[str]:
    """Which operators are carried through as they are, what that rules out, and why."""
    names = ", ".join(f"{name} {count}" for name, count in record["opaque"].items())
    yield f"{plural(sum(record['opaque'].values()), 'operator')} as in the original: {names}"
    absent = [name for name in BACKENDS if name not in record["backends"]]
    if absent:
        yield f"so that there is no form for {listed(absent)}"
    yield from record["notes"][:shown]
    if len(record["notes"]) > shown:
        yield f"and {len(record['notes']) - shown} more reasons"


def _refusal_lines(refusals: Sequence[Mapping[str, Any]], shown: int) -> Iterator[str]:
    for refusal in refusals[:shown]:
        yield f"{refusal['path']}: {refusal['rule']} refused, {refusal['reason']}"
    if len(refusals) > shown:
        yield f"and {len(refusals) - shown} more: repc explain"


def written(folder: Path, record: Record, seconds: float) -> str:
    """What was written, and what to do next."""
    width = max(len(str(folder / name)) for name in record["files"])
    lines = [f"{folder / name!s:<{width}}   {size(file['bytes']):>7}" for name, file in record["files"].items()]
    next_ = f"  Done in {seconds:.1f} s. Next: repc explain {folder} · repc verify {folder}"
    return "\n".join(["", row("Wrote", "\n".join(lines)), next_])


def refusal(record: Record, report: Report | None, screen: Screen) -> str:
    """Why nothing was written."""
    lines: list[str] = [""]
    for miss in record["missed"]:
        title = f"{miss['expected']} of target {record['target']}, found {miss['found']}"
        lines += [row("Missed", f"{screen.paint(title, RED)}   {miss['at']}"), *_blocking(miss["blocking"])]
    if report is not None:
        lines.append(str(report))
    return "\n".join([*lines, "", "  Nothing was written."])


def _blocking(nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for node in nodes[: SHOWN * 4]:
        yield f"    {node['operator']}   {node['origin']}"
        for refusal in node["refusals"]:
            yield f"      {refusal['rule']} refused: {refusal['reason']}"
            yield f"      edge {refusal['edge']}"
            yield f"      remedy: {refusal['remedy']}"
    if len(nodes) > SHOWN * 4:
        yield f"    and {len(nodes) - SHOWN * 4} more"
