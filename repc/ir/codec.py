"""Weight expressions as plain data for JSON and back, and the fingerprint of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any, TypeAlias, cast

from repc.ir.expr import Apply, Expr, Param, walk
from repc.ir.graph import Graph
from repc.ir.operator import Operator
from repc.ir.types import TensorType

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


def encode(exprs: Sequence[Expr]) -> tuple[list[dict[str, Any]], list[int]]:
    """All parts of the expressions, each after its operands, and the places of the expressions among them.

    Raises `ValueError` where an operator has an attribute that is no plain data.
    """
    place = {expr: i for i, expr in enumerate(walk(exprs))}
    parts: list[dict[str, Any]] = []
    for expr in place:
        if isinstance(expr, Param):
            parts.append({"parameter": expr.path})
        else:
            op, operands = _applied(expr, place)
            attributes = {name: to_plain(value) for name, value in vars(op).items()}
            parts.append({"op": op.name, "attributes": attributes, "operands": operands})
    return parts, [place[expr] for expr in exprs]


def decode(
    parts: Sequence[Mapping[str, Any]], operators: Mapping[str, type[Operator]], parameters: Mapping[str, TensorType]
) -> list[Expr]:
    """The expressions that the parts stand for.

    Raises `ValueError`, `TypeError`, `LookupError` or `ShapeError` where the data is none that `encode` gives.
    """
    found: list[Expr] = []
    for part in parts:
        if "parameter" in part:
            found.append(Param(part["parameter"], parameters[part["parameter"]]))
            continue
        op = operators[part["op"]](**{name: from_plain(value) for name, value in part["attributes"].items()})
        args = {str(name): found[int(place)] for name, place in part["operands"].items()}
        found.append(Apply(op, args, op.infer({name: arg.type for name, arg in args.items()})))
    return found


def fingerprint(graph: Graph) -> str:
    """A hash of all that a graph computes: its inputs, outputs, operators and weights, whatever text they came from."""
    total = sha256(repr((sorted(graph.inputs.items()), sorted(graph.outputs.items()))).encode())
    for id in graph.order():
        node = graph[id]
        place = {expr: i for i, expr in enumerate(walk(node.weights.values()))}
        parts = [(expr.path, expr.type) if isinstance(expr, Param) else _applied(expr, place) for expr in place]
        weights = {name: place[expr] for name, expr in node.weights.items()}
        total.update(repr((id, node.op, node.inputs, node.type, weights, parts)).encode())
    return total.hexdigest()


def _applied(expr: Apply, place: Mapping[Expr, int]) -> tuple[Operator, dict[str, int]]:
    return expr.op, {name: place[arg] for name, arg in expr.args.items()}


def to_plain(value: object) -> Plain:
    """Numbers, texts and tuples of them; an exact rational as its text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Fraction():
            return {"rational": str(value)}
        case tuple():
            return [to_plain(item) for item in cast("tuple[object, ...]", value)]
        case _:
            raise ValueError(f"{type(value).__name__} is no plain data")


def from_plain(value: Plain) -> Any:
    """What `to_plain` was given."""
    if isinstance(value, dict):
        return Fraction(cast("str", value["rational"]))
    return tuple(from_plain(item) for item in value) if isinstance(value, list) else value
