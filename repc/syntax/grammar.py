"""The LALR parser of ``grammar/repc.lark``, from tables that are built ahead of time.

Building the tables takes some 0.3 s, reading them 0.02 s, and a command should not pay the first.  So
``grammar/tables.json`` travels with the grammar.  The tables are lark's own structures, so they hold for the lark
release that wrote them (`tables["lark"]`); under any other release the parser is built from the grammar, which is
slower and otherwise the same.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

from repc.syntax.lexer import StateLexer

STARTS = ["file", "items", "expr"]
PLUGINS = {"ContextualLexer": StateLexer}


def read(name: str) -> str:
    """The text of a file of the grammar package."""
    return resources.files("repc.grammar").joinpath(name).read_text(encoding="utf-8")


def build(transformer: object | None = None, *, strict: bool = False) -> lark.Lark:
    """The parser, built from the grammar; `strict` refuses conflicts and terminals that compete."""
    options: dict[str, Any] = {"parser": "lalr", "start": STARTS, "keep_all_tokens": True, "transformer": transformer}
    return lark.Lark(read("repc.lark"), strict=strict, **options)


def tables() -> str:
    """The text that ``grammar/tables.json`` must have."""
    data, memo = build(strict=True).memo_serialize([TerminalDef, Rule])
    return json.dumps({"lark": lark.__version__, "data": data, "memo": memo}, separators=(",", ":")) + "\n"


def load(transformer: object) -> lark.Lark:
    """The parser, from the tables where they fit the lark that runs."""
    stored: dict[str, Any] = json.loads(read("tables.json"), object_pairs_hook=_with_integer_keys)
    if stored["lark"] != lark.__version__:
        return build(transformer)
    from_tables: Any = lark.Lark._load_from_dict  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]
    return from_tables(stored["data"], stored["memo"], transformer=transformer, _plugins=PLUGINS)


def _with_integer_keys(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    # JSON turns the numbers of states, tokens and shared objects into strings.
    return {int(key) if key.isdigit() else key: value for key, value in pairs}
