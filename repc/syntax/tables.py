"""The parsing tables: ``python -m repc.syntax.tables`` makes ``grammar/tables.json`` from ``grammar/repc.lark``.

lark reads the grammar, refuses conflicts and terminals that compete, and computes the LALR(1) automaton.  That takes
0.4 s, so it happens when the grammar changes, not when a command starts: to parse takes the tables and
`repc.syntax.lalr`, which hold whatever lark is installed, or none.  ``--check`` says whether the tables are up to date.

The file holds

- ``terminals``: name and pattern of each, in the order in which they are tried; ``ignore``: the patterns between them;
- ``starts``: the first state for each start of the grammar;
- ``rules``: the symbol that a rule makes, the method of the builder for it (null: its one part is passed on; empty: its
  parts are those of a repetition), and a letter for each part: ``.`` a symbol, ``*`` a repetition, whose parts are
  taken one by one, ``_`` an optional part that is missing;
- ``states``: what each state does at a symbol: go on in state n (n >= 0), or reduce by rule -n - 1.  To take the end
  of the text is to accept it.

All is numbered and sorted by content, so that equal grammars give equal files.
"""

from __future__ import annotations

import json
import sys
from importlib import resources
from typing import Any, cast

from repc.syntax.lalr import END

STARTS = ("file", "items", "expr")


def main(arguments: list[str]) -> int:
    """Write or check the tables; 0 when they are up to date in the end."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m repc.syntax.tables [--check]\n")
        return 2
    target = resources.files("repc.grammar").joinpath("tables.json")
    wanted = tables()
    if not arguments:
        with resources.as_file(target) as path:
            path.write_text(wanted, encoding="utf-8")
    elif target.read_text(encoding="utf-8") != wanted:
        sys.stderr.write("grammar/tables.json does not fit the grammar; run: python -m repc.syntax.tables\n")
        return 1
    return 0


def tables() -> str:
    """The text that ``grammar/tables.json`` must have."""
    parser = lark_parser(strict=True)
    automaton = parser.parser.parser._parse_table
    rules = sorted(parser.rules, key=lambda rule: (rule.origin.name, [symbol.name for symbol in rule.expansion]))
    order = _breadth_first(automaton)
    action = {rule: -position - 1 for position, rule in enumerate(rules)} | {s: n for n, s in enumerate(order)}
    terminals = sorted(parser.terminals, key=lambda t: (-t.priority, -len(t.pattern.value), t.name))
    patterns = {t.name: t.pattern.to_regexp() for t in terminals}
    content = {
        "terminals": [pair for pair in patterns.items() if pair[0] not in parser.ignore_tokens],
        "ignore": [patterns[name] for name in parser.ignore_tokens],
        "starts": {start: action[automaton.start_states[start]] for start in STARTS},
        "rules": [_rule(rule) for rule in rules],
        "states": [
            {END: action[state]}
            if state in automaton.end_states.values()
            else {name: action[to] for name, (_, to) in sorted(automaton.states[state].items())}
            for state in order
        ],
    }
    fields = (f"{json.dumps(key)}: {_json(value)}" for key, value in content.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


def lark_parser(**options: Any) -> Any:
    """The grammar as lark itself parses by it; lark is largely untyped."""
    import lark

    grammar = resources.files("repc.grammar").joinpath("repc.lark").read_text(encoding="utf-8")
    return lark.Lark(grammar, parser="lalr", start=list(STARTS), keep_all_tokens=True, **options)


def _breadth_first(automaton: Any) -> list[int]:
    """The states in the order in which they are reached."""
    order = [automaton.start_states[start] for start in STARTS]
    for state in order:
        for _, (action, to) in sorted(automaton.states[state].items()):
            if action.name == "Shift" and to not in order:
                order.append(to)
    return order


def _rule(rule: Any) -> tuple[str, str | None, str]:
    name = rule.origin.name
    letters = iter("*" if symbol.name.startswith("__") and not symbol.is_term else "." for symbol in rule.expansion)
    missing = rule.options.empty_indices or [False] * len(rule.expansion)
    parts = "".join("_" if absent else next(letters) for absent in missing)
    method = "" if name.startswith("__") else None if rule.options.expand1 and not rule.alias else rule.alias or name
    return name, method, parts


def _json(value: Any) -> str:
    """JSON with one entry of a list per line, so that a change of the grammar shows as one."""
    if not isinstance(value, list):
        return json.dumps(value)
    entries = (json.dumps(entry, separators=(",", ":")) for entry in cast("list[Any]", value))
    return "[\n" + ",\n".join(entries) + "\n]"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
