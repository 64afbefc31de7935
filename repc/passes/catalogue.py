"""The identities that folding knows, as `repc rule` prints them; their text is that of the rules themselves."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from repc.passes.rule import Lemma
from repc.passes.rules import LEMMAS, RULES

PARAGRAPHS = ("identity", "precondition", "trap", "source")


@dataclass(frozen=True, slots=True)
class RuleDoc:
    """What one rule does, when it may, what goes wrong without care, and where it is from."""

    id: str
    name: str
    title: str
    identity: str
    precondition: str
    trap: str
    source: str


def catalogue() -> dict[str, RuleDoc]:
    """Every rule by its identifier, in order."""
    found = [_doc(lemma) for lemma in (*RULES, *LEMMAS)]
    return {doc.id: doc for doc in sorted(found, key=lambda doc: (doc.id[0], int(doc.id[1:])))}


def _doc(lemma: Lemma) -> RuleDoc:
    title, *rest = (" ".join(part.split()) for part in re.split(r"\n\s*\n", inspect.getdoc(lemma) or ""))
    parts = {name.lower(): text for name, _, text in (paragraph.partition(": ") for paragraph in rest)}
    return RuleDoc(lemma.id, type(lemma).__name__, title, *(parts[name] for name in PARAGRAPHS))
