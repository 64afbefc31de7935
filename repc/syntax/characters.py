"""Characters that are no part of the language: what to call them, and what they were probably meant for."""

from __future__ import annotations

import unicodedata

_LOOKALIKES = {
    character: meaning
    for characters, meaning in (
        ("'‘’“”`", '`"`'),
        ("−–—", "`-`"),
        ("×·", "`*`"),
        ("÷", "`/`"),
        ("→⟶»", "`>>`"),
        ("≤", "`<=`"),
        ("≥", "`>=`"),
        ("≠", "`!=`"),
        ("!", "`not`"),
        ("&", "`and`"),
        (";", "a new line"),
        ("\u200b\ufeff", "nothing"),
    )
    for character in characters
}


def named(character: str) -> str:
    """``U+2212 (minus sign)``; a character without a name has only its number."""
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def meant(character: str) -> str | None:
    """What to write for a character that looks like one of the language, such as a full-width bracket."""
    plain = unicodedata.normalize("NFKC", character)
    if character in _LOOKALIKES:
        return _LOOKALIKES[character]
    if plain == character or not plain.isascii():
        return None
    return "a space" if plain.isspace() else f"`{plain}`"
