"""The sections of benchmarks/README.md, each written by the program that measures what it says."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parent / "README.md"


def write_section(name: str, text: str) -> None:
    """Put a text between the marks of its section, ``<!-- name -->`` and ``<!-- end of name -->``."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before = README.read_text(encoding="utf-8")
    after, found = re.subn(f"{begin}.*{end}", lambda _: f"{begin}\n{text.strip()}\n{end}", before, flags=re.DOTALL)
    assert found == 1, f"{README} has {found} sections {name}"
    README.write_text(after, encoding="utf-8")
