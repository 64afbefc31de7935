"""The source tree: what the text says, before any name is looked up.

Each class is one form of the grammar.  Trees compare by content, spans aside, so that ``parse(print(t)) == t``.

The classes are frozen dataclasses in all but the decorator: making fifty of those costs 20 ms at every start of a
command, `Record` next to nothing.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, ClassVar, Never, dataclass_transform

from repc.diagnostics import Span


@dataclass_transform(frozen_default=True, eq_default=False)
class Record:
    """Makes each subclass a frozen record of its annotated attributes, in order."""

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.__match_args__ = (*cls.__match_args__, *cls.__annotations__)

    def __init__(self, *values: Any, **named: Any) -> None:
        vars(self).update(zip(self.__match_args__, values, strict=False), **named)
        if len(values) + len(named) != len(self.__match_args__) or len(vars(self)) != len(self.__match_args__):
            raise TypeError(f"{type(self).__name__} takes {', '.join(self.__match_args__)}")

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(value) for value in vars(self).values())})"


class Tree(Record):
    """A node of the source tree; `span` is where it was written."""

    span: Span

    def parts(self) -> tuple[object, ...]:
        """The content: every field but the span."""
        return tuple(value for name, value in vars(self).items() if name != "span")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tree) and type(other) is type(self) and self.parts() == other.parts()

    def __hash__(self) -> int:
        return hash((type(self), self.parts()))


# ---------------------------------------------------------------- names and types


class Label(Tree):
    """``rbr_dense:``, ``0:`` or ``stage{i}:``; `text` has no colon and keeps its holes."""

    text: str


class Path(Tree):
    """A path pattern such as ``stages.*.conv``, ``**.rbr_dense`` or ``stage[1..3].bn``, as written."""

    text: str


class Rest(Tree):
    """``...s`` in a type: any number of dimensions; `name` may be missing."""

    name: str | None


class TypeExpr(Tree):
    """``f32[b, c, h + 1, ...s]``; `dtype` may be missing."""

    dtype: str | None
    dims: tuple[Expr | Rest, ...]


# ---------------------------------------------------------------- expressions


class Expr(Tree):
    """Any expression."""


class Name(Expr):
    name: str


class Int(Expr):
    value: int


class Float(Expr):
    """A decimal literal, kept exact; `text` is the spelling."""

    value: Fraction
    text: str


class String(Expr):
    value: str


class Unary(Expr):
    """``-x`` or ``not x``."""

    operator: str
    operand: Expr


class Binary(Expr):
    """``+ - * / // % @``, the comparisons ``== != < <= > >=``, ``and`` and ``or``."""

    operator: str
    left: Expr
    right: Expr


class If(Expr):
    condition: Expr
    then: Expr
    otherwise: Expr


class Argument(Tree):
    """A positional (`name` is None) or keyword argument."""

    name: str | None
    value: Expr


class Call(Expr):
    function: Expr
    arguments: tuple[Argument, ...]


class Typed(Expr):
    """``call -> type`` or ``call -> (type, type)``: a call that says what it gives."""

    call: Call
    types: tuple[TypeExpr, ...]


class Slice(Tree):
    """``a:b`` inside an index; either end may be missing."""

    start: Expr | None
    stop: Expr | None


class Index(Expr):
    value: Expr
    items: tuple[Expr | Slice, ...]


class Attribute(Expr):
    value: Expr
    name: str


class Group(Expr):
    """``(a)``, kept because it is written; with a label, ``(name: a)``."""

    label: Label | None
    value: Expr


class Tuple(Expr):
    """``(a, b)``: two or more."""

    items: tuple[Expr, ...]


class List(Expr):
    items: tuple[Expr, ...]


class Stage(Tree):
    """One stage of a pipe after the first: ``>> label: layer``."""

    label: Label | None
    value: Expr


class Pipe(Expr):
    """``first >> stage >> stage``: flat, at least one stage."""

    first: Expr
    stages: tuple[Stage, ...]


class Range(Tree):
    """``start..stop``, or only ``count`` (then `start` is None)."""

    start: Expr | None
    stop: Expr


class Loop(Tree):
    """``for name in range``."""

    name: str
    range: Range


class Branch(Tree):
    """``label: value for name in range when condition``."""

    label: Label | None
    value: Expr
    loop: Loop | None
    condition: Expr | None


class Merge(Expr):
    """``sum(arguments) as name { branch | branch }``; `kind` is sum, mean or concat."""

    kind: str
    arguments: tuple[Argument, ...]
    name: str | None
    branches: tuple[Branch, ...]


class Repeat(Expr):
    """``repeat name in range { label: layer }``; `name` may be missing."""

    name: str | None
    range: Range
    label: Label | None
    body: Expr


# ---------------------------------------------------------------- statements


class Statement(Tree):
    """Any statement of a body."""


class Require(Statement):
    condition: Expr
    message: str | None


class Let(Statement):
    """``let a = …`` or ``let (a, b) = …``; a single name has one entry."""

    names: tuple[str, ...]
    value: Expr


class Weight(Statement):
    """``weight W as "key": type = init when condition``; `buffer` has the same form."""

    kind: str
    name: str
    key: str | None
    type: TypeExpr
    init: Expr
    condition: Expr | None


class Alias(Statement):
    """``alias "key" = W``: a second state_dict key of an existing parameter."""

    key: str
    value: Expr


class Body(Tree):
    """``= expr`` (no statements, `braces` False) or ``{ statements return a, b }``."""

    statements: tuple[Statement, ...]
    results: tuple[Expr, ...]
    braces: bool


# ---------------------------------------------------------------- items


class Item(Tree):
    """Anything at the top level of a file."""


class Import(Item):
    """``import std.conv`` (dotted, `quoted` False) or ``import "other.rep"``; optionally ``as name``."""

    path: str
    quoted: bool
    alias: str | None


class Parameter(Tree):
    """``name = default``; a parameter without default must be given."""

    name: str
    default: Expr | None


class Port(Tree):
    name: str
    type: TypeExpr


class Definition(Item):
    """A ``block`` or a ``model`` (`kind`)."""

    kind: str
    name: str
    parameters: tuple[Parameter, ...]
    ports: tuple[Port, ...]
    result: TypeExpr | None
    body: Body


class Attach(Tree):
    """``at path where condition expect n verb label: layer``; `verb` is use, then or before."""

    path: Path
    condition: Expr | None
    expect: Expr
    verb: str
    label: Label | None
    layer: Expr


class Adapt(Item):
    """``adapt base<parameters> as name { … }``; its own weights are shared by all that it attaches."""

    base: str
    parameters: tuple[Parameter, ...]
    name: str
    weights: tuple[Weight, ...]
    attachments: tuple[Attach, ...]


class SettingTree(Tree):
    """Any line of a target."""


class Setting(SettingTree):
    """``name = value``."""

    name: str
    value: Expr


class Count(Tree):
    """``Conv == 22`` in an ``expect``."""

    name: str
    operator: str
    value: Expr


class Expect(SettingTree):
    counts: tuple[Count, ...]


class Keep(SettingTree):
    path: Path


class Bind(SettingTree):
    name: str
    value: Expr


class Override(SettingTree):
    """``at path { settings }``."""

    path: Path
    settings: tuple[SettingTree, ...]


class Target(Item):
    """``target name = backend of models { settings }``; `models` is a name or a pattern such as ``RepVGG_*``."""

    name: str
    backend: str
    models: Path
    settings: tuple[SettingTree, ...]


class File(Tree):
    """``repc 1`` and its items."""

    version: int
    items: tuple[Item, ...]
