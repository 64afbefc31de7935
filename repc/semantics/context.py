"""The state of one elaboration: the graph that grows, where it grows, and what went wrong."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from repc.diagnostics import Diagnostic, Failure, Span
from repc.ir.graph import Graph
from repc.ir.node import Parameter
from repc.semantics import errors
from repc.semantics.errors.base import located
from repc.semantics.values import Part, Poison, Value, describe
from repc.syntax import tree

if TYPE_CHECKING:
    from repc.semantics.adapters import Attachment
    from repc.semantics.modules import Module

MAX_DEPTH = 120
MAX_ROUNDS = 100_000
MAX_NODES = 250_000


class Env:
    """Names in scope: one body, its parameters, sizes, weights and lets, and apart from these its labelled parts.

    Labels have a table of their own because they often share the name of a function (``conv: Conv(64)``); they are
    looked up only before a dot.
    """

    __slots__ = ("home", "names", "parent", "parts")

    def __init__(self, home: Module, names: dict[str, Value] | None = None, parent: Env | None = None) -> None:
        self.home = home
        self.names: dict[str, Value] = names if names is not None else {}
        self.parent = parent
        self.parts: dict[str, Part] = parent.parts if parent else {}

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
    around the current place and `origin` the calls that led to it.  `parts` is the stack of name tables that labels
    fill, so that a body can refer to the weights of a labelled part (``bn.bias``).

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
        place = diagnostic.primary.span if diagnostic.primary else None
        for known in self.errors:
            if known.code == diagnostic.code and known.primary and known.primary.span == place:
                return
        self.errors.append(diagnostic)

    def spend(self, span: Span, rounds: int = 1) -> None:
        """Count rounds of loops; `Failure` beyond the limit, so that no text can keep the compiler busy for ever."""
        self.rounds += rounds
        if self.rounds > MAX_ROUNDS:
            raise Failure([*self.errors, errors.too_many_rounds(span, MAX_ROUNDS)])
        if len(self.graph) > MAX_NODES:
            raise Failure([*self.errors, errors.too_many_nodes(span, MAX_NODES)])

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @contextmanager
    def labelled(self, labels: tuple[str, ...]) -> Generator[dict[str, Value]]:
        """Descend into a labelled part; what it names is collected in the table that is yielded."""
        self.path.extend(labels)
        names: dict[str, Value] = {}
        self.parts.append(names)
        try:
            yield names
        finally:
            self.parts.pop()
            if labels:
                del self.path[-len(labels) :]

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
        known = self.graph.parameters.get(parameter.path)
        if known is not None:
            self.report(errors.duplicate_path(parameter.span, parameter.path, known.span))
            return
        self.graph.parameters[parameter.path] = parameter
