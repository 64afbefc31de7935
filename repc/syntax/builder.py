"""What each alternative of the grammar becomes: the parser calls these methods as it reduces, so no walk follows.

A method is named for its rule or ``-> name`` in ``grammar/repc.lark`` and gets every part of it, in order, words and
punctuation too (``keep_all_tokens``); an optional part that is missing is None.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from lark import Token

from repc.diagnostics import Failure, Source, Span
from repc.syntax import errors, tree

Parts = list[Any]
Operand = tree.Expr | tree.Slice

VERSION = 1  # of the language: the `repc 1` that begins a file
MAX_DIGITS = 18  # below 2**63, so that every integer of a spec fits in the int64 of shapes and attributes
MAX_FLOAT = 40  # characters of a decimal literal
MAX_EXPONENT = 400  # beyond the range of float64; an exact fraction has about as many digits


class Bracketed(NamedTuple):
    """The items between two brackets, and where the brackets are."""

    span: Span
    items: tuple[Any, ...]


class Builder:
    """Makes the tree of one text at a time: of `source`, from the offset `base` on."""

    def __init__(self) -> None:
        self.source = Source("", "")
        self.base = 0

    def _span(self, *parts: Any) -> Span:
        """From the first to the last part that is there."""
        there = [part for part in parts if part is not None]
        first, last = there[0], there[-1]
        start = first.start_pos + self.base if first.__class__ is Token else first.span.start
        end = last.end_pos + self.base if last.__class__ is Token else last.span.end
        return Span(self.source, start, end)

    def _between(self, parts: Parts, kind: type | tuple[type, ...]) -> Bracketed:
        return Bracketed(self._span(*parts), tuple(part for part in parts if isinstance(part, kind)))

    # ------------------------------------------------------------------------------------------ file and items

    def file(self, parts: Parts) -> tree.File:
        word, version, items = parts
        span = self._span(word, version, *items)
        if version != str(VERSION):
            raise Failure(errors.unsupported_version(self._span(version), VERSION))
        return tree.File(span, VERSION, items)

    def items(self, parts: Parts) -> tuple[tree.Item, ...]:
        return tuple(parts)

    def import_(self, parts: Parts) -> tree.Import:
        word, origin, alias = parts
        quoted = isinstance(origin, Token)
        path = origin[1:-1] if quoted else ".".join(origin.items)
        return tree.Import(self._span(word, origin, alias), path, quoted, alias and str(alias))

    def module(self, parts: Parts) -> Bracketed:
        return Bracketed(self._span(*parts), tuple(str(part) for part in parts[::2]))

    def rename(self, parts: Parts) -> Token:
        return parts[1]

    def block(self, parts: Parts) -> tree.Definition:
        kind, name, parameters, ports, result, body = parts
        return tree.Definition(
            self._span(kind, body),
            str(kind),
            str(name),
            parameters.items if parameters else (),
            ports.items,
            result,
            body,
        )

    def parameters(self, parts: Parts) -> Bracketed:
        return self._between(parts, tree.Parameter)

    def parameter(self, parts: Parts) -> tree.Parameter:
        name, _, default = parts
        return tree.Parameter(self._span(name, default), str(name), default)

    def ports(self, parts: Parts) -> Bracketed:
        return self._between(parts, tree.Port)

    def port(self, parts: Parts) -> tree.Port:
        name, _, kind = parts
        return tree.Port(self._span(name, kind), str(name), kind)

    def result(self, parts: Parts) -> tree.TypeExpr:
        return parts[1]

    def tensor_type(self, parts: Parts) -> tree.TypeExpr:
        dtype = parts[0]
        return tree.TypeExpr(
            self._span(*parts), dtype and str(dtype), self._between(parts, (tree.Expr, tree.Rest)).items
        )

    def rest(self, parts: Parts) -> tree.Rest:
        return tree.Rest(self._span(*parts), parts[1] and str(parts[1]))

    def short_body(self, parts: Parts) -> tree.Body:
        return tree.Body(self._span(*parts), (), (parts[1],), braces=False)

    def long_body(self, parts: Parts) -> tree.Body:
        statements = self._between(parts, tree.Statement).items
        return tree.Body(self._span(*parts), statements, self._between(parts, tree.Expr).items, braces=True)

    # ------------------------------------------------------------------------------------------ statements

    def require(self, parts: Parts) -> tree.Require:
        _, condition, _, message = parts
        return tree.Require(self._span(*parts), condition, message and str(message[1:-1]))

    def let(self, parts: Parts) -> tree.Let:
        _, target, _, value = parts
        names = (str(target),) if isinstance(target, Token) else target.items
        return tree.Let(self._span(*parts), names, value)

    def names(self, parts: Parts) -> Bracketed:
        words = tuple(str(part) for part in parts if part is not None and part.type == "NAME")
        return Bracketed(self._span(*parts), words)

    def weight(self, parts: Parts) -> tree.Weight:
        kind, name, key, _, type_, _, init, condition = parts
        return tree.Weight(self._span(*parts), str(kind), str(name), key and str(key[1:-1]), type_, init, condition)

    def key(self, parts: Parts) -> Token:
        return parts[1]

    def when(self, parts: Parts) -> tree.Expr:
        return parts[1]

    def alias(self, parts: Parts) -> tree.Alias:
        _, key, _, value = parts
        return tree.Alias(self._span(*parts), str(key[1:-1]), value)

    # ------------------------------------------------------------------------------------------ expressions

    def condition(self, parts: Parts) -> tree.If:
        _, condition, _, then, _, otherwise = parts
        return tree.If(self._span(*parts), condition, then, otherwise)

    def pipe(self, parts: Parts) -> tree.Pipe:
        return tree.Pipe(self._span(*parts), parts[0], tuple(parts[1:]))

    def stage(self, parts: Parts) -> tree.Stage:
        _, label, value = parts
        return tree.Stage(self._span(label, value), label, value)

    def binary(self, parts: Parts) -> tree.Binary:
        left, operator, right = parts
        return tree.Binary(self._span(*parts), str(operator), left, right)

    def unary(self, parts: Parts) -> tree.Unary:
        operator, operand = parts
        return tree.Unary(self._span(*parts), str(operator), operand)

    def call(self, parts: Parts) -> tree.Call:
        function, arguments = parts
        return tree.Call(self._span(*parts), function, arguments.items)

    def arguments(self, parts: Parts) -> Bracketed:
        return self._between(parts, tree.Argument)

    def argument(self, parts: Parts) -> tree.Argument:
        name, _, value = parts
        return tree.Argument(self._span(*parts), name and str(name), value)

    def index(self, parts: Parts) -> tree.Index:
        return tree.Index(self._span(*parts), parts[0], self._between(parts, (tree.Expr, tree.Slice)).items[1:])

    def slice(self, parts: Parts) -> tree.Slice:
        start, _, stop = parts
        return tree.Slice(self._span(*parts), start, stop)

    def attribute(self, parts: Parts) -> tree.Attribute:
        value, _, name = parts
        return tree.Attribute(self._span(*parts), value, str(name))

    def name(self, parts: Parts) -> tree.Name:
        return tree.Name(self._span(*parts), str(parts[0]))

    def integer(self, parts: Parts) -> tree.Int:
        if len(parts[0]) > MAX_DIGITS:
            raise Failure(errors.number_too_long(self._span(*parts), MAX_DIGITS))
        return tree.Int(self._span(*parts), int(parts[0]))

    def decimal(self, parts: Parts) -> tree.Float:
        text = str(parts[0])
        exponent = text.lower().partition("e")[2] or "0"
        if len(text) > MAX_FLOAT or abs(int(exponent)) > MAX_EXPONENT:
            raise Failure(errors.number_too_long(self._span(*parts), MAX_FLOAT))
        return tree.Float(self._span(*parts), Fraction(text), text)

    def string(self, parts: Parts) -> tree.String:
        return tree.String(self._span(*parts), str(parts[0][1:-1]))

    def group(self, parts: Parts) -> tree.Group:
        _, label, value, _ = parts
        return tree.Group(self._span(*parts), label, value)

    def several(self, parts: Parts) -> tree.Tuple:
        return tree.Tuple(*self._between(parts, tree.Expr))

    def listing(self, parts: Parts) -> tree.List:
        return tree.List(*self._between(parts, tree.Expr))

    def merge(self, parts: Parts) -> tree.Merge:
        kind, arguments, name = parts[:3]
        return tree.Merge(
            self._span(*parts),
            str(kind),
            arguments.items if arguments else (),
            name and str(name),
            self._between(parts, tree.Branch).items,
        )

    def branch(self, parts: Parts) -> tree.Branch:
        label, value, loop, condition = parts
        return tree.Branch(self._span(*parts), label, value, loop, condition)

    def loop(self, parts: Parts) -> tree.Loop:
        _, name, _, range_ = parts
        return tree.Loop(self._span(*parts), str(name), range_)

    def repeat(self, parts: Parts) -> tree.Repeat:
        _, name, _, range_, _, label, body, _ = parts
        return tree.Repeat(self._span(*parts), name and str(name), range_, label, body)

    def range(self, parts: Parts) -> tree.Range:
        start, _, stop = parts
        return tree.Range(self._span(*parts), start, stop)

    def label(self, parts: Parts) -> tree.Label:
        return tree.Label(self._span(*parts), str(parts[0][:-1]))

    def path(self, parts: Parts) -> tree.Path:
        return tree.Path(self._span(*parts), str(parts[0]))

    # ------------------------------------------------------------------------------------------ adapters, targets

    def adapt(self, parts: Parts) -> tree.Adapt:
        _, base, parameters, name, *_ = parts
        return tree.Adapt(
            self._span(*parts),
            str(base),
            parameters.items if parameters else (),
            str(name),
            self._between(parts, tree.Attach).items,
        )

    def attach(self, parts: Parts) -> tree.Attach:
        _, path, condition, _, expect, verb, label, layer = parts
        return tree.Attach(self._span(*parts), path, condition, expect, str(verb), label, layer)

    def where(self, parts: Parts) -> tree.Expr:
        return parts[1]

    def target(self, parts: Parts) -> tree.Target:
        _, name, _, backend, _, models, *_ = parts
        settings = self._between(parts, tree.SettingTree).items
        return tree.Target(self._span(*parts), str(name), str(backend), models, settings)

    def setting(self, parts: Parts) -> tree.Setting:
        name, _, value = parts
        return tree.Setting(self._span(*parts), str(name), value)

    def expect(self, parts: Parts) -> tree.Expect:
        return tree.Expect(*self._between(parts, tree.Count))

    def keep(self, parts: Parts) -> tree.Keep:
        return tree.Keep(self._span(*parts), parts[1])

    def bind(self, parts: Parts) -> tree.Bind:
        _, name, _, value = parts
        return tree.Bind(self._span(*parts), str(name), value)

    def override(self, parts: Parts) -> tree.Override:
        return tree.Override(self._span(*parts), parts[1], self._between(parts, tree.SettingTree).items)

    def count(self, parts: Parts) -> tree.Count:
        name, operator, value = parts
        return tree.Count(self._span(*parts), str(name), str(operator), value)
