"""The state of one elaboration: the graph that grows, where it grows, and what went wrong."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from repc.diagnostics import Diagnostic, Failure, Span
from repc.ir.expr import Param
from repc.ir.graph import Graph
from repc.ir.node import Parameter
from repc.semantics import errors
from repc.semantics.errors import Rejected
from repc.semantics.errors.base import located
from repc.semantics.values import Part, Poison, Value, describe
from repc.syntax import tree

if TYPE_CHECKING:
    from repc.semantics.adapters import Attachment
    from repc.semantics.modules import Module

MAX_DEPTH = 120
MAX_ROUNDS = 250_000
SEGMENT = r"[A-Za-z0-9_]+"
"""A part of a path: what the holes of a label may make of it."""
KEY = r"[^\s\"'\\.]+(?:\.[^\s\"'\\.]+)*"
"""What the key of a parameter may be: importers keep the names of others, such as ``onnx::Conv_12``."""


class Env:
    """Names in scope: one body, its parameters, sizes, weights and lets.

    The labelled parts of the body are kept apart, in the stack of the context from `body` on (None outside of bodies):
    they often share the name of a function (``conv: Conv(64)``) and are looked up only before a dot.
    """

    __slots__ = ("body", "home", "names", "parent")

    def __init__(self, home: Module, names: dict[str, Value] | None = None, parent: Env | None = None) -> None:
        self.home = home
        self.names: dict[str, Value] = names if names is not None else {}
        self.parent = parent
        self.body: int | None = parent.body if parent else None

    def has(self, name: str) -> bool:
        return name in self.names or (self.parent is not None and self.parent.has(name))

    def get(self, name: str) -> Value:
        if name in self.names or self.parent is None:
            return self.names[name]
        return self.parent.get(name)

    def inner(self, names: dict[str, Value]) -> Env:
        """The same scope with some further names, for the body of a loop."""
        return Env(self.home, names, self)

    def visible(self) -> list[str]:
        return [*self.names, *(self.parent.visible() if self.parent else [])]


@dataclass(frozen=True, eq=False)
class Applied:
    """What applying a block gave: its result, the names in it, and its parameters by their paths below its own."""

    result: Value
    names: dict[str, Value]
    paths: dict[str, Parameter]


class Evaluate(Protocol):
    def __call__(self, ctx: Context, expr: tree.Expr, env: Env) -> Value: ...


class ApplyLayer(Protocol):
    def __call__(self, ctx: Context, layer: Value, inputs: tuple[Value, ...], span: Span) -> Value: ...


@dataclass(eq=False)
class Context:
    """Evaluating an expression may apply a layer, and applying a layer evaluates a body.

    The two live in different modules and reach each other through `evaluate` and `apply`.  `path` holds the labels
    around the current place and `origin` the calls that led to it.  `parts` is a stack of what the bodies and labels
    around the current place have named, so that a body can refer to the weights of a labelled part (``bn.bias``).
    `replaced` leads from what an adapter made of a weight to that weight, `aliases` holds the further keys of weights.

    `known` is set when a file is only checked: a block that was applied with the same parameters to inputs of the same
    types before is then not elaborated again.
    """

    evaluate: Evaluate
    apply: ApplyLayer
    graph: Graph
    path: list[str] = field(default_factory=list[str])
    origin: tuple[Span, ...] = ()
    parts: list[dict[str, Value]] = field(default_factory=lambda: [{}])
    attachments: list[Attachment] = field(default_factory=list["Attachment"])
    errors: list[Diagnostic] = field(default_factory=list[Diagnostic])
    attaching: bool = True
    known: dict[object, Applied] | None = None
    frozen: bool = False
    rounds: int = 0
    declared: list[str] = field(default_factory=list[str])
    aliases: dict[str, Span] = field(default_factory=dict[str, Span])
    replaced: dict[Value, Param] = field(default_factory=dict[Value, Param])
    _reported: set[tuple[str, Span | None]] = field(default_factory=set[tuple[str, Span | None]])

    def truth(self, expr: tree.Expr, env: Env) -> bool | None:
        """A condition, or None where it has no value; anything but true and false is an error."""
        value = self.evaluate(self, expr, env)
        if isinstance(value, bool):
            return value
        if not isinstance(value, Poison):
            self.report(errors.not_a_condition(expr.span, describe(value)))
        return None

    def report(self, diagnostic: Diagnostic) -> None:
        """Collect an error; a place is complained about once, however often it is elaborated."""
        diagnostic = located(diagnostic, self.origin)
        place = (diagnostic.code, diagnostic.primary.span if diagnostic.primary else None)
        if place not in self._reported:
            self._reported.add(place)
            self.errors.append(diagnostic)

    def spend(self, span: Span, rounds: int = 1) -> None:
        """Count rounds of loops and applications of layers; `Failure` beyond the limit, so that no text can keep the
        compiler busy for ever."""
        self.rounds += rounds
        if self.rounds > MAX_ROUNDS:
            raise Failure([*self.errors, errors.too_many_rounds(span, MAX_ROUNDS)])

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @contextmanager
    def labelled(self, labels: tuple[str, ...]) -> Generator[None]:
        """Descend into a labelled part, which its surroundings know by its labels afterwards."""
        self.path.extend(labels)
        names: dict[str, Value] = {}
        self.parts.append(names)
        try:
            yield
        finally:
            self.parts.pop()
            if labels:
                del self.path[-len(labels) :]
                _remember(self.parts[-1], labels, Part(names))

    @contextmanager
    def body(self, env: Env) -> Generator[dict[str, Value]]:
        """Enter a body: what it names is seen by itself, and afterwards by the part that it stands in."""
        names: dict[str, Value] = {}
        env.body = len(self.parts)
        self.parts.append(names)
        try:
            yield names
        finally:
            self.parts.pop()
            self.parts[-1].update(names)

    def part(self, name: str, env: Env) -> Part | None:
        """The labelled part that a name means before a dot, the innermost of the body."""
        if env.body is not None:
            for names in reversed(self.parts[env.body :]):
                found = names.get(name)
                if isinstance(found, Part):
                    return found
        return None

    @contextmanager
    def called(self, span: Span) -> Generator[None]:
        """Remember a call while it is elaborated; `Failure` where calls nest too deeply."""
        if len(self.origin) >= MAX_DEPTH:
            raise Failure([*self.errors, errors.too_deep(span, MAX_DEPTH)])
        before = self.origin
        self.origin = (*before, span)
        try:
            yield
        finally:
            self.origin = before

    def declare(self, parameter: Parameter) -> None:
        """Register a parameter; two on one path are an error."""
        self.declared.append(parameter.path)
        if self.claim(parameter.path, parameter.span):
            self.graph.parameters[parameter.path] = parameter

    def key(self, name: str, span: Span) -> str:
        """The state_dict key of a name below the current labels; raises `Rejected` for one that is no path."""
        if re.fullmatch(KEY, name) is None or not name.isprintable():
            raise Rejected(errors.bad_key(span, name))
        return ".".join([*self.path, name])

    def claim(self, key: str, span: Span) -> bool:
        """Whether a key is free; if not, that is reported."""
        known = self.graph.parameters.get(key)
        first = known.span if known else self.aliases.get(key)
        if first is not None:
            self.report(errors.duplicate_path(span, key, first))
        return first is None


def _remember(names: dict[str, Value], labels: tuple[str, ...], part: Part) -> None:
    *outer, last = labels
    for label in outer:
        inner = names.get(label)
        if not isinstance(inner, Part):
            inner = names[label] = Part({})
        names = inner.names
    names[last] = part
