"""Adapters and targets."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, Label, Span
from repc.semantics.errors.base import did_you_mean, error, places, plural
from repc.syntax import tree


def attachment_count(
    statement: tree.Attach, expected: int, matched: Sequence[str], passed: Sequence[str]
) -> Diagnostic:
    """An attachment that matches another number of places than it says."""
    pattern = statement.path.text
    remedy = "change the pattern, or the number if this is what you mean"
    return error(
        "E401",
        f"`{pattern}` matches {len(matched)} {plural(len(matched), 'place')}, expected {expected}",
        statement.span,
        places(matched),
        remedy if matched else did_you_mean(pattern, passed, f"{remedy}; {_PLACES[statement.verb]}"),
    )


_PLACES = {
    "use": "`use` finds weights (`conv.weight`) and layers that have one",
    "then": "`then` finds labelled parts",
    "before": "`before` finds labelled stages of a pipe, no branches and no parts in parentheses",
}


def adapter_ports(span: Span, name: str, ports: int, path: str, weights: int) -> Diagnostic:
    """A block that takes another number of weights than the place of its attachment has."""
    return error(
        "E402",
        f"`{name}` has {ports} {plural(ports, 'port')}, but `{path}` gives {weights} {plural(weights, 'weight')}",
        span,
        "does not fit there",
        "a block with ports `(W, b)` fits a layer with weight and bias, one with `(W)` a weight: `at layer.weight`",
    )


def adapter_result(span: Span, path: str, expected: str, actual: str) -> Diagnostic:
    """An adapter that gives something else than the weights that it replaces."""
    return error(
        "E408",
        f"the adapter of `{path}` must give {expected}, not {actual}",
        span,
        "changes what it replaces",
        "return weights of the same types in the same order; a layer without bias may be given one",
    )


def target_without_model(span: Span, pattern: str, known: Sequence[str]) -> Diagnostic:
    """A target whose models do not exist."""
    return error(
        "E403",
        f"`{pattern}` matches no model of this file",
        span,
        "no such model",
        did_you_mean(pattern, known, "models: " + (", ".join(known) or "none")),
    )


def duplicate_target(span: Span, name: str, model: str, first: Span) -> Diagnostic:
    """Two targets of one model have the same name."""
    return error(
        "E404",
        f"`{model}` has two targets called `{name}`",
        span,
        "again here",
        "rename one of them, or narrow its pattern of models",
        related=(Label(first, "first defined here"),),
    )


def unknown_setting(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """A setting that targets do not have."""
    return error(
        "E405",
        f"a target has no setting `{name}`",
        span,
        "unknown setting",
        did_you_mean(name, known, "settings: " + ", ".join(known)),
    )


def bad_setting(span: Span, name: str, expected: str, kind: str) -> Diagnostic:
    """A setting with a value that it cannot have."""
    return error("E406", f"`{name}` cannot be {kind}", span, f"expected {expected}", f"give {expected}")


def unknown_backend(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """A backend that does not exist."""
    return error(
        "E407",
        f"no backend `{name}`",
        span,
        "unknown backend",
        did_you_mean(name, known, "backends: " + ", ".join(known)),
    )
