"""The reference of the language is right: its examples check, and its tables are those of the compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from repc.backends.spec.lift import LIBRARY
from repc.backends.spec.terms import literal
from repc.diagnostics import Source
from repc.ir.types import DTYPES
from repc.semantics import FileLibrary, check, context, declared, load, modules, shipped_source, statics
from repc.semantics.call import REQUIRED
from repc.semantics.functions import FUNCTIONS, Function
from repc.semantics.initial import INITIALISERS
from repc.syntax import builder, parse, scan, tree
from repc.syntax.printer import format_text
from repc.syntax.text import expression_text, parameters_text

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/language.md").read_text(encoding="utf-8")
EXAMPLES = [Source(f"example{i}.rep", text) for i, text in enumerate(re.findall(r"```repc\n(.*?)```", TEXT, re.DOTALL))]


def section(title: str) -> str:
    """The text under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def code(text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.findall(r"`([^`]+)`", text)]


@pytest.mark.parametrize("source", EXAMPLES, ids=lambda source: source.name)
def test_an_example_checks_and_is_canonical(source: Source) -> None:
    assert check(load(source, FileLibrary())) == []
    assert format_text(source) == source.text


def parts(node: object) -> Iterator[type]:
    """The classes of a tree, all the way down."""
    if isinstance(node, tree.Tree):
        yield type(node)
        for part in node.parts():
            yield from parts(part)
    elif isinstance(node, tuple):
        for part in cast("tuple[object, ...]", node):
            yield from parts(part)


def leaves(kind: type) -> Iterator[type]:
    inner = kind.__subclasses__()
    if not inner:
        yield kind
    for other in inner:
        yield from leaves(other)


def test_every_construct_has_an_example() -> None:
    said = {kind for source in EXAMPLES for kind in parts(parse(source))}
    assert set(leaves(tree.Tree)) - said == set()


def test_every_word_of_the_language_is_in_an_example() -> None:
    grammar = (ROOT / "grammar/repc.lark").read_text(encoding="utf-8")
    words = re.findall(r"^[A-Z]+\.2: /([a-z]+)\\b/$", grammar, re.MULTILINE)
    assert len(words) > 25
    examples = "\n".join(source.text for source in EXAMPLES)
    assert [word for word in words if not re.search(rf"\b{word}\b", examples)] == []


# ---------------------------------------------------------------- tables


def signature(function: Function) -> str:
    given = [
        name if default is REQUIRED else f"{name}={expression_text(literal(default))}"  # pyright: ignore[reportArgumentType]
        for name, default in function.attributes.items()
    ]
    return f"{function.name}({', '.join([*function.operands, *given, *['…'] * function.open_keywords])})"


def test_the_functions_are_those_of_the_compiler() -> None:
    said = [part for part in code(section("Functions").partition("Of numbers and lists")[0]) if "(" in part]
    assert sorted(said) == sorted(map(signature, FUNCTIONS.values()))


def test_the_static_functions_and_initial_values_are_those_of_the_compiler() -> None:
    numbers, _, initial = section("Functions").partition("Of numbers and lists")[2].partition("Initial values")
    assert {name for part in code(numbers) for name in part.partition("(")[0].split()} == set(statics.STATIC_FUNCTIONS)
    expected: list[str] = []
    for name, known in INITIALISERS.items():
        arguments = ", ".join(key if value is None else f"{key}={value}" for key, value in known.items())
        expected.append(f"{name}({arguments})" if known else name)
    assert code(initial) == expected


def test_the_blocks_are_those_that_ship() -> None:
    found = [
        item.name + parameters_text(item.parameters)
        for file in LIBRARY
        for item in parse(shipped_source(f"std/{file}") or Source("", "")).items
        if isinstance(item, tree.Definition)
    ]
    assert sorted(code(section("Blocks of specs/std").partition("\n\n")[2])) == sorted(found)


def test_the_lifter_knows_what_ships() -> None:
    for file, blocks in LIBRARY.items():
        items = parse(shipped_source(f"std/{file}") or Source("", "")).items
        assert sorted(item.name for item in items if isinstance(item, tree.Definition)) == sorted(blocks)


def test_the_element_types_and_limits_are_those_of_the_compiler() -> None:
    assert set(DTYPES) == set(next(part for part in code(section("Blocks and models")) if "bf16" in part).split())
    limits = section("Limits")
    assert scan.MAX_BYTES == 10**6
    assert f"1 MB, {scan.MAX_TOKENS:,} tokens, {scan.MAX_DEPTH} levels" in limits
    assert f"{builder.MAX_DIGITS} digits of an integer, lists of {statics.MAX_LIST:,} entries" in limits
    assert f"{modules.MAX_IMPORTS} nested imports, {context.MAX_DEPTH} nested calls, {context.MAX_ROUNDS:,} rounds" in (
        " ".join(limits.split())
    )
    assert (declared.MAX_ELEMENTS, statics.MAX_INTEGER) == (2**40, 2**63)
