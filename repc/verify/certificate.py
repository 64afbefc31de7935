"""What a proof consists of, as plain data, for the independent checker (`repc.checker`).

The checker elaborates the spec and reads the artifact itself.  It is told where both have the same values and what each
stored tensor is an expression of; neither has to be believed, since it proves the one and recomputes the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from repc.evaluate.prime import P
from repc.evaluate.proof import Verdict
from repc.ir.codec import encode
from repc.ir.graph import Graph
from repc.ir.node import NodeId
from repc.ir.storage import storage
from repc.ir.trace import Step
from repc.verify.certify import Proof
from repc.verify.cuts import Cut

FORMAT = 1


def certificate(fused: Graph, steps: Sequence[Step], proof: Proof, values: Mapping[NodeId, str]) -> dict[str, Any]:
    """The cuts by node of the training graph and value of the artifact, the expressions, rules, facts and verdicts.

    `values` names the values of the fused graph in the artifact.  Raises `ValueError` where an expression is no plain
    data, which that of a call without a meaning is not.
    """
    stored = storage(fused).tensors
    facts = [fact for step in steps for fact in step.facts]
    parts, places = encode([*stored.values(), *(fact.expr for fact in facts)])
    pairs = ((cut, id, values[proof.same.fused[cut]]) for cut, id in proof.same.train.items())
    return {
        "format": FORMAT,
        "cuts": [{"path": str(cut), "node": id, "value": value} for cut, id, value in pairs],
        "tensors": dict(zip(stored, places, strict=False)),
        "facts": [{"kind": f.kind, "part": place} for f, place in zip(facts, places[len(stored) :], strict=True)],
        "parts": parts,
        "rules": [
            {"rule": step.rule, "path": step.path, "absorbed": list(step.absorbed), "exactness": step.exactness}
            for step in steps
        ],
        "proof": {
            "prime": P,
            "seed": proof.seed,
            "miss": proof.miss,
            "segments": [_segment(cut, verdict) for cut, verdict in proof.segments],
        },
    }


def _segment(cut: Cut, verdict: Verdict) -> dict[str, Any]:
    return {
        "path": str(cut),
        "equal": verdict.equal,
        "all_sizes": verdict.local,
        "sizes": dict(verdict.sizes),
        "degree": verdict.degree,
        "trials": verdict.trials,
        "facts": verdict.facts,
    }
