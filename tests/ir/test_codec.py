"""Expressions as plain data and back; the fingerprint of a graph."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import pytest

from repc.ir.codec import decode, encode, fingerprint, from_plain, to_plain
from repc.ir.expr import Expr, Param, apply, walk
from repc.ir.printer import expression
from repc.ir.types import TensorType
from repc.ops import OPERATORS, Fill, Pad, build
from tests.ir.nets import conv_bn_net

NAMES = {op.name: op for op in OPERATORS}
TYPES = {"w": TensorType((4, 2, 3, 3)), "s": TensorType((4,))}


def exprs() -> list[Expr]:
    w, s = (Param(path, type) for path, type in TYPES.items())
    scale = build.mul(s, build.rsqrt(build.add(s, build.fill([4], Fraction("1e-5")))))
    padded = apply(Pad(((0, 0), (0, 0), (1, 1), (0, 1)), "reflect"), x=w)
    return [build.mul(padded, build.along(scale, 0, 4)), build.combine([(Fraction(-2, 3), scale), (Fraction(1), s)]), s]


def test_expressions_survive_json_with_their_shared_parts() -> None:
    given = exprs()
    parts, places = encode(given)
    found = decode(json.loads(json.dumps(parts)), NAMES, TYPES)
    again = [found[place] for place in places]
    assert [expression(expr) for expr in again] == [expression(expr) for expr in given]
    assert [expr.type for expr in again] == [expr.type for expr in given]
    assert len(list(walk(again))) == len(list(walk(given))) == len(parts)


@pytest.mark.parametrize("value", [None, True, 3, 0.1, "text", Fraction(1, 3), (1, (2, Fraction(5)), "x")], ids=repr)
def test_plain_data_comes_back(value: object) -> None:
    assert from_plain(json.loads(json.dumps(to_plain(value)))) == value


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(ValueError, match="object is no plain data"):
        to_plain((1, object()))


def test_the_fingerprint_sees_operators_weights_and_wiring_and_no_labels() -> None:
    graph, seen = conv_bn_net(), set[str]()
    seen.add(fingerprint(graph))
    assert fingerprint(conv_bn_net()) in seen
    for id in graph.order():
        node = graph[id]
        other = graph.copy()
        other.replace(id, replace(node, path=f"{node.path}.x"))
        assert fingerprint(other) in seen
        if node.weights:
            name, expr = next(iter(node.weights.items()))
            other.replace(id, replace(node, weights={**node.weights, name: apply(Fill((1,), Fraction(1)))}))
            assert fingerprint(other) not in seen
            seen.add(fingerprint(other))
            assert expr is node.weights[name]
    other = graph.copy()
    other.outputs = dict.fromkeys(["y"], graph.outputs["out"])
    assert fingerprint(other) not in seen
