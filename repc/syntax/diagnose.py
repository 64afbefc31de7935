"""Which error it is: from the place where the parser stopped to a diagnostic in the words of the language.

`DETECTORS` are asked in order, the surest signs first.  What none of them knows is told as "expected this, found that".
"""

from __future__ import annotations

from collections.abc import Callable

from repc.diagnostics import Diagnostic, Label, Span, nearest
from repc.syntax import errors
from repc.syntax.faults import (
    END,
    ITEMS,
    NO_TOKEN,
    STATEMENTS,
    Fault,
    expected_in_words,
    form_in_words,
    found_in_words,
)

Detector = Callable[[Fault], Diagnostic | None]


def diagnose(fault: Fault) -> Diagnostic:
    """The error that a fault is."""
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
    """A colon after an operand, where it can only be meant as a label or an argument."""
    if fault.found != ":" or "PLUS" not in fault.expected:
        return None
    if fault.brackets and fault.brackets[-1].text == "(" and len(fault.before) > 2 and fault.before[-2].text in "(,":
        callee = fault.before[fault.before.index(fault.brackets[-1]) - 1]
        if callee.end == fault.brackets[-1].start and (callee.text[-1].isalnum() or callee.text in (")", "]", "_")):
            return errors.colon_for_argument(fault.span, fault.previous.text)
    if fault.after[:1].strip():
        return errors.label_needs_space(fault.span)
    return errors.misplaced_label(fault.span)


def _assignment(fault: Fault) -> Diagnostic | None:
    return errors.assignment_as_comparison(fault.span) if fault.found == "=" and "COMPARE" in fault.expected else None


def _chain(fault: Fault) -> Diagnostic | None:
    compares = ("==", "!=", "<=", ">=", "<", ">")
    if fault.found not in compares or "PLUS" not in fault.expected:
        return None
    line = fault.span.source.position(fault.span.start)[0]
    same_line = (x for x in fault.before if fault.span.source.position(x.start)[0] == line)
    return errors.chained_comparison(fault.span) if any(x.text in compares for x in same_line) else None


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


def _misspelled(fault: Fault) -> Diagnostic | None:
    """A name that is almost one of the words that could stand there, or almost a word of a target."""
    if fault.expected == frozenset({"EQUAL"}) and len(fault.before) > 1:
        word, allowed = fault.previous, ["at", "bind", "expect", "keep"]
        if fault.before[-2].text in ("let", "bind", "target"):
            return None
    elif fault.kind == "NAME" and "BLOCK" not in fault.expected:
        line = [] if "LET" not in fault.expected or fault.begins_line else list(STATEMENTS)
        word, allowed = fault.previous._replace(text=fault.found, start=fault.span.start), fault.words()
        allowed = [word for word in allowed if word not in line]
    else:
        return None
    meant = nearest(word.text, allowed) if len(word.text) > 2 else None
    return errors.unknown_word(fault.place(word), meant, allowed) if meant else None


def _statement(fault: Fault) -> Diagnostic | None:
    if "RETURN" not in fault.expected or "COLON" in fault.expected:
        return None
    if fault.kind == "NAME" and fault.begins_line and fault.after.lstrip()[:1] == "=":
        return errors.unknown_word(fault.span, f"let {fault.found}", fault.words())
    if (
        fault.found == "}"
        or (fault.begins_line and "PLUS" in fault.expected and fault.kind != END)
        or "PLUS" not in fault.expected
    ):
        return errors.missing_return(fault.span)
    return None


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
    related = ()
    if fault.brackets and "PLUS" in fault.expected:
        related = (Label(fault.place(fault.brackets[-1]), "inside this bracket"),)
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
    _misspelled,
    _item,
    _statement,
    _anything,
)
