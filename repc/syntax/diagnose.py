"""Which error it is: from the place where the parser stopped to a diagnostic in the words of the language.

`DETECTORS` are asked in order, the surest signs first.  What none of them knows is told as "expected this, found that".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from repc.diagnostics import Diagnostic, Label, Span, nearest
from repc.syntax import errors
from repc.syntax.faults import (
    COMPARISONS,
    ITEMS,
    STATEMENTS,
    Fault,
    expected_in_words,
    form_in_words,
    found_in_words,
    locate,
)
from repc.syntax.lalr import END, NO_TOKEN, Stop

Detector = Callable[[Fault], Diagnostic | None]


def diagnose(stop: Stop, base: int, spellings: Mapping[str, str]) -> Diagnostic:
    """The error at which the parser stopped in the text from `base` on."""
    fault = locate(stop, base, spellings)
    return next(diagnostic for detect in DETECTORS if (diagnostic := detect(fault)))


# ---------------------------------------------------------------- characters and marks


def _no_token(fault: Fault) -> Diagnostic | None:
    if fault.kind != NO_TOKEN:
        return None
    if fault.found == '"':
        rest = fault.after.partition("\n")[0].rstrip()
        return errors.unclosed_string(Span(fault.span.source, fault.span.start, fault.span.end + len(rest)))
    return errors.odd_character(fault.span)


def _wrong_arrow(fault: Fault) -> Diagnostic | None:
    start, end = fault.span.start, fault.span.end
    text = fault.span.source.text
    for begin in (start - 1, start):
        if begin >= 0 and text[begin : begin + 2] in ("->", "=>", "|>") and begin + 2 >= end:
            return errors.wrong_arrow(Span(fault.span.source, begin, begin + 2))
    return None


def _wrong_bracket(fault: Fault) -> Diagnostic | None:
    if fault.found not in (")", "]", "}"):
        return None
    opening = fault.brackets[-1] if fault.brackets else None
    if opening and errors.CLOSING[opening.text] == fault.found:
        return None
    return errors.wrong_bracket(fault.span, opening and fault.place(opening))


def _colon(fault: Fault) -> Diagnostic | None:
    """A colon after an operand, where it can only be meant for an argument or a label."""
    if fault.found != ":" or "PLUS" not in fault.expected:
        return None
    if _in_call(fault) and fault.before[-2].text in ("(", ","):
        return errors.colon_for_argument(fault.span, fault.previous.text)
    if fault.after[:1].strip():
        return errors.label_needs_space(fault.span)
    return errors.misplaced_label(fault.span)


def _in_call(fault: Fault) -> bool:
    """Whether the innermost bracket touches what it is called on."""
    if not fault.brackets or fault.brackets[-1].text != "(":
        return False
    opening = fault.brackets[-1]
    return any(callee.end == opening.start and callee.text.isidentifier() for callee in fault.before)


def _assignment(fault: Fault) -> Diagnostic | None:
    return errors.assignment_as_comparison(fault.span) if fault.found == "=" and "COMPARE" in fault.expected else None


def _chain(fault: Fault) -> Diagnostic | None:
    if fault.found not in COMPARISONS or "PLUS" not in fault.expected:
        return None
    again = any(x.text in COMPARISONS and fault.line(x.start) == fault.line(fault.span.start) for x in fault.before)
    return errors.chained_comparison(fault.span) if again else None


def _comma_between_branches(fault: Fault) -> Diagnostic | None:
    return errors.comma_between_branches(fault.span) if fault.found == "," and "VBAR" in fault.expected else None


# ---------------------------------------------------------------- what is missing


def _unclosed(fault: Fault) -> Diagnostic | None:
    """The end, or a word that begins an item or a line, while a bracket is open that cannot hold it."""
    if not fault.brackets:
        return None
    opening = fault.brackets[-1]
    begins_item = fault.begins_line and fault.found in ITEMS
    begins_statement = fault.begins_line and fault.found in STATEMENTS and opening.text != "{"
    if fault.kind != END and not begins_item and not begins_statement:
        return None
    return errors.unclosed_bracket(fault.place(opening), fault.span, found_in_words(fault))


def _attachment(fault: Fault) -> Diagnostic | None:
    missing = "EXPECT" in fault.expected and "KEEP" not in fault.expected and fault.kind != END
    return errors.attachment_without_expect(fault.span) if missing else None


def _misspelled_setting(fault: Fault) -> Diagnostic | None:
    """What was read as the name of a setting was meant as a word of targets."""
    words = ("at", "bind", "expect", "keep")
    if fault.expected != frozenset({"EQUAL"}) or len(fault.before) < 2 or fault.before[-2].text in ("let", *words):
        return None
    meant = nearest(fault.previous.text, words)
    return errors.unknown_word(fault.place(fault.previous), meant, words) if meant else None


def _misspelled_word(fault: Fault) -> Diagnostic | None:
    """A name that is almost one of the words that could stand there; words that begin a line stand nowhere else."""
    if fault.kind != "NAME" or "BLOCK" in fault.expected or len(fault.found) < 3:
        return None
    words = [word for word in fault.words() if fault.begins_line or word not in STATEMENTS]
    meant = nearest(fault.found, words)
    return errors.unknown_word(fault.span, meant, words) if meant else None


def _statement(fault: Fault) -> Diagnostic | None:
    """Something else where a body needs a statement or its `return`."""
    if "RETURN" not in fault.expected:
        return None
    if fault.kind == "NAME" and fault.begins_line and fault.after.lstrip().startswith("="):
        return errors.unknown_word(fault.span, f"let {fault.found}", fault.words())
    return errors.missing_return(fault.span) if fault.found == "}" or fault.begins_line else None


def _item(fault: Fault) -> Diagnostic | None:
    if "BLOCK" not in fault.expected or fault.kind != "NAME" or not fault.begins_line:
        return None
    return errors.unknown_item(fault.span, nearest(fault.found, ITEMS))


def _keyword_as_name(fault: Fault) -> Diagnostic | None:
    """A word of the language where a name could stand and where what follows shows that one is meant."""
    if "NAME" not in fault.expected or not fault.found.isalpha() or fault.kind == "NAME":
        return None
    following = fault.after.lstrip(" \t")[:1]
    only_names = "INT" not in fault.expected
    return errors.keyword_as_name(fault.span) if only_names or following in set("(.,)]}=+-*/%@>|:\n") else None


# ---------------------------------------------------------------- anything else


def _anything(fault: Fault) -> Diagnostic:
    expected, form = expected_in_words(fault), form_in_words(fault)
    if fault.kind == END:
        return errors.ends_early(fault.span, expected, form)
    around = [x for x in fault.brackets[-1:] if x.text != "{" and fault.line(x.start) != fault.line(fault.span.start)]
    related = tuple(Label(fault.place(bracket), "inside this bracket") for bracket in around)
    return errors.unexpected(fault.span, found_in_words(fault), expected, form, related)


DETECTORS: tuple[Detector, ...] = (
    _no_token,
    _wrong_arrow,
    _wrong_bracket,
    _unclosed,
    _attachment,
    _comma_between_branches,
    _keyword_as_name,
    _colon,
    _assignment,
    _chain,
    _misspelled_setting,
    _misspelled_word,
    _item,
    _statement,
    _anything,
)
