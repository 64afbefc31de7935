"""What each alternative of the grammar becomes: the parser calls these methods as it reduces, so no walk follows.

A method is named for its rule or ``-> name`` in ``grammar/repc.lark`` and gets every part of it, in order, words and
punctuation too (``keep_all_tokens``); an optional part that is missing is None.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from repc.diagnostics import Failure, Span
from repc.syntax import errors, tree
from repc.syntax.lexer import Token

Parts = list[Any]

VERSION = 1  # of the language: the `repc 1` that begins a file
MAX_DIGITS = 18  # below 2**63, so that every integer of a spec fits in the int64 of shapes and attributes
MAX_FLOAT = 40  # characters of a decimal literal
MAX_EXPONENT = 400  # beyond the range of float64; an exact fraction has about as many digits


class Bracketed(NamedTuple):
    """The items between two brackets, and where the brackets are."""

    span: Span
    items: tuple[Any, ...]


def _span(*parts: Any) -> Span:
    """From the first to the last part that is there."""
    there = [part.span for part in parts if part is not None]
    return there[0].to(there[-1])


def _content(string: Token) -> str:
    """What stands between the quotes."""
    return string.text[1:-1]


def _between(parts: Parts, kind: type | tuple[type, ...]) -> Bracketed:
    """The parts of a kind, and where they all stand."""
    return Bracketed(_span(*parts), tuple(part for part in parts if isinstance(part, kind)))


class Builder:
    """Without state: each method makes the tree of one rule."""

    # ------------------------------------------------------------------------------------------ file and items

    def file(self, parts: Parts) -> tree.File:
        word, version, items = parts
        span = _span(word, version, *items)
        if version.text != str(VERSION):
            raise Failure(errors.unsupported_version(_span(version), VERSION))
        return tree.File(span, VERSION, items)

    def items(self, parts: Parts) -> tuple[tree.Item, ...]:
        return tuple(parts)

    def import_(self, parts: Parts) -> tree.Import:
        word, origin, alias = parts
        quoted = isinstance(origin, Token)
        path = _content(origin) if quoted else ".".join(origin.items)
        return tree.Import(_span(word, origin, alias), path, quoted, alias and alias.text)

    def module(self, parts: Parts) -> Bracketed:
        return Bracketed(_span(*parts), tuple(part.text for part in parts[::2]))

    def rename(self, parts: Parts) -> Token:
        return parts[1]

    title = rename

    def block(self, parts: Parts) -> tree.Definition:
        kind, name, parameters, ports, result, body = parts
        return tree.Definition(
            _span(kind, body),
            kind.text,
            name.text,
            parameters.items if parameters else (),
            ports.items,
            result,
            body,
        )

    def parameters(self, parts: Parts) -> Bracketed:
        return _between(parts, tree.Parameter)

    def parameter(self, parts: Parts) -> tree.Parameter:
        name, _, default = parts
        return tree.Parameter(_span(name, default), name.text, default)

    def ports(self, parts: Parts) -> Bracketed:
        return _between(parts, tree.Port)

    def port(self, parts: Parts) -> tree.Port:
        name, _, kind = parts
        return tree.Port(_span(name, kind), name.text, kind)

    def result(self, parts: Parts) -> tree.TypeExpr:
        return parts[1]

    def tensor_type(self, parts: Parts) -> tree.TypeExpr:
        dtype = parts[0]
        return tree.TypeExpr(_span(*parts), dtype and dtype.text, _between(parts, (tree.Expr, tree.Rest)).items)

    def rest(self, parts: Parts) -> tree.Rest:
        return tree.Rest(_span(*parts), parts[1] and parts[1].text)

    def short_body(self, parts: Parts) -> tree.Body:
        return tree.Body(_span(*parts), (), (parts[1],), braces=False)

    def long_body(self, parts: Parts) -> tree.Body:
        statements = _between(parts, tree.Statement).items
        return tree.Body(_span(*parts), statements, _between(parts, tree.Expr).items, braces=True)

    # ------------------------------------------------------------------------------------------ statements

    def require(self, parts: Parts) -> tree.Require:
        _, condition, _, message = parts
        return tree.Require(_span(*parts), condition, message and _content(message))

    def let(self, parts: Parts) -> tree.Let:
        _, target, _, value = parts
        names = (target.text,) if isinstance(target, Token) else target.items
        return tree.Let(_span(*parts), names, value)

    def names(self, parts: Parts) -> Bracketed:
        words = tuple(part.text for part in parts if part is not None and part.kind == "NAME")
        return Bracketed(_span(*parts), words)

    def weight(self, parts: Parts) -> tree.Weight:
        kind, name, key, _, type_, _, init, condition = parts
        return tree.Weight(_span(*parts), kind.text, name.text, key and _content(key), type_, init, condition)

    def key(self, parts: Parts) -> Token:
        return parts[1]

    def when(self, parts: Parts) -> tree.Expr:
        return parts[1]

    def alias(self, parts: Parts) -> tree.Alias:
        _, key, _, value = parts
        return tree.Alias(_span(*parts), _content(key), value)

    # ------------------------------------------------------------------------------------------ expressions

    def condition(self, parts: Parts) -> tree.If:
        _, condition, _, then, _, otherwise = parts
        return tree.If(_span(*parts), condition, then, otherwise)

    def pipe(self, parts: Parts) -> tree.Pipe:
        return tree.Pipe(_span(*parts), parts[0], tuple(parts[1:]))

    def stage(self, parts: Parts) -> tree.Stage:
        _, label, value = parts
        return tree.Stage(_span(label, value), label, value)

    def binary(self, parts: Parts) -> tree.Binary:
        left, operator, right = parts
        return tree.Binary(_span(*parts), operator.text, left, right)

    def unary(self, parts: Parts) -> tree.Unary:
        operator, operand = parts
        return tree.Unary(_span(*parts), operator.text, operand)

    def call(self, parts: Parts) -> tree.Call:
        function, arguments = parts
        return tree.Call(_span(*parts), function, arguments.items)

    def typed(self, parts: Parts) -> tree.Typed:
        function, arguments, _, types = parts
        call = tree.Call(_span(function, arguments), function, arguments.items)
        return tree.Typed(_span(*parts), call, types.items)

    def types(self, parts: Parts) -> Bracketed:
        return _between(parts, tree.TypeExpr)

    def arguments(self, parts: Parts) -> Bracketed:
        return _between(parts, tree.Argument)

    def argument(self, parts: Parts) -> tree.Argument:
        name, _, value = parts
        return tree.Argument(_span(*parts), name and name.text, value)

    def index(self, parts: Parts) -> tree.Index:
        return tree.Index(_span(*parts), parts[0], _between(parts, (tree.Expr, tree.Slice)).items[1:])

    def slice(self, parts: Parts) -> tree.Slice:
        start, _, stop = parts
        return tree.Slice(_span(*parts), start, stop)

    def attribute(self, parts: Parts) -> tree.Attribute:
        value, _, name = parts
        return tree.Attribute(_span(*parts), value, name.text)

    def name(self, parts: Parts) -> tree.Name:
        return tree.Name(_span(*parts), parts[0].text)

    def integer(self, parts: Parts) -> tree.Int:
        text = parts[0].text
        if len(text) > MAX_DIGITS:
            raise Failure(errors.number_too_long(_span(*parts), f"{MAX_DIGITS} digits"))
        return tree.Int(_span(*parts), int(text))

    def decimal(self, parts: Parts) -> tree.Float:
        text = parts[0].text
        if len(text) > MAX_FLOAT:
            raise Failure(errors.number_too_long(_span(*parts), f"{MAX_FLOAT} characters"))
        if abs(int(text.lower().partition("e")[2] or "0")) > MAX_EXPONENT:
            raise Failure(errors.number_too_long(_span(*parts), f"{MAX_EXPONENT} places"))
        return tree.Float(_span(*parts), Fraction(text), text)

    def string(self, parts: Parts) -> tree.String:
        return tree.String(_span(*parts), _content(parts[0]))

    def group(self, parts: Parts) -> tree.Group:
        _, label, value, _ = parts
        return tree.Group(_span(*parts), label, value)

    def several(self, parts: Parts) -> tree.Tuple:
        return tree.Tuple(*_between(parts, tree.Expr))

    def listing(self, parts: Parts) -> tree.List:
        return tree.List(*_between(parts, tree.Expr))

    def merge(self, parts: Parts) -> tree.Merge:
        kind, arguments, name = parts[:3]
        return tree.Merge(
            _span(*parts),
            kind.text,
            arguments.items if arguments else (),
            name and name.text,
            _between(parts, tree.Branch).items,
        )

    def branch(self, parts: Parts) -> tree.Branch:
        label, value, loop, condition = parts
        return tree.Branch(_span(*parts), label, value, loop, condition)

    def loop(self, parts: Parts) -> tree.Loop:
        _, name, _, range_ = parts
        return tree.Loop(_span(*parts), name.text, range_)

    def repeat(self, parts: Parts) -> tree.Repeat:
        _, name, _, range_, _, label, body, _ = parts
        return tree.Repeat(_span(*parts), name and name.text, range_, label, body)

    def range(self, parts: Parts) -> tree.Range:
        start, _, stop = parts
        return tree.Range(_span(*parts), start, stop)

    def label(self, parts: Parts) -> tree.Label:
        return tree.Label(_span(*parts), parts[0].text[:-1])

    def path(self, parts: Parts) -> tree.Path:
        return tree.Path(_span(*parts), parts[0].text)

    # ------------------------------------------------------------------------------------------ adapters, targets

    def adapt(self, parts: Parts) -> tree.Adapt:
        _, base, parameters, name, *_ = parts
        return tree.Adapt(
            _span(*parts),
            base.text,
            parameters.items if parameters else (),
            name.text,
            _between(parts, tree.Weight).items,
            _between(parts, tree.Attach).items,
        )

    def attach(self, parts: Parts) -> tree.Attach:
        _, path, condition, _, expect, verb, label, layer = parts
        return tree.Attach(_span(*parts), path, condition, expect, verb.text, label, layer)

    def where(self, parts: Parts) -> tree.Expr:
        return parts[1]

    def target(self, parts: Parts) -> tree.Target:
        _, name, _, backend, _, models, *_ = parts
        settings = _between(parts, tree.SettingTree).items
        return tree.Target(_span(*parts), name.text, backend.text, models, settings)

    def setting(self, parts: Parts) -> tree.Setting:
        name, _, value = parts
        return tree.Setting(_span(*parts), name.text, value)

    def expect(self, parts: Parts) -> tree.Expect:
        return tree.Expect(*_between(parts, tree.Count))

    def keep(self, parts: Parts) -> tree.Keep:
        return tree.Keep(_span(*parts), parts[1])

    def bind(self, parts: Parts) -> tree.Bind:
        _, name, _, value = parts
        return tree.Bind(_span(*parts), name.text, value)

    def override(self, parts: Parts) -> tree.Override:
        return tree.Override(_span(*parts), parts[1], _between(parts, tree.SettingTree).items)

    def count(self, parts: Parts) -> tree.Count:
        name, operator, value = parts
        return tree.Count(_span(*parts), name.text, operator.text, value)
