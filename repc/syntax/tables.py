"""``python -m repc.syntax.tables`` writes ``grammar/tables.json``; ``--check`` says whether it is up to date."""

from __future__ import annotations

import sys
from importlib import resources

from repc.syntax import grammar


def main(arguments: list[str]) -> int:
    """Write or check the tables; 0 when they are up to date in the end."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m repc.syntax.tables [--check]\n")
        return 2
    wanted = grammar.tables()
    if arguments:
        if grammar.read("tables.json") == wanted:
            return 0
        sys.stderr.write("grammar/tables.json does not fit the grammar; run: python -m repc.syntax.tables\n")
        return 1
    with resources.as_file(resources.files("repc.grammar").joinpath("tables.json")) as path:
        path.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
