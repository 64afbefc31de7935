"""Names that the language takes, made of labels, classes and whatever an importer found."""

from __future__ import annotations

import re
from collections.abc import Container
from functools import lru_cache

from repc.diagnostics import Failure, Source
from repc.syntax import parse_expression, tree

CONSTANTS = ("true", "false", "none")


@lru_cache(maxsize=4096)
def legal(text: str) -> bool:
    """Whether a text is a name, and no word of the language."""
    if re.fullmatch(r"[A-Za-z_]\w*", text, re.ASCII) is None or text in CONSTANTS:
        return False
    try:
        return isinstance(parse_expression(Source("", text)), tree.Name)
    except Failure:
        return False


def variable(text: str) -> str:
    """A name for a value, port or parameter, as close to the text as can be."""
    word = re.sub(r"\W", "_", text, flags=re.ASCII)
    if not word or word[0].isdigit():
        word = f"_{word}"
    return word if legal(word) else f"{word}_"


def title(text: str) -> str:
    """A name for a block or model: as it is where it begins with a capital letter, else each word with one."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", text) if word]
    if text[:1].isupper() and legal(text):
        return text
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Block{joined}"


def unused(name: str, taken: Container[str]) -> str:
    """A name that is not taken: itself, or with a number."""
    count, found = 1, name
    while found in taken:
        count += 1
        found = f"{name}_{count}" if name[-1].isdigit() else f"{name}{count}"
    return found
