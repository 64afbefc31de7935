"""Checking a whole file: every error that can be found without being told parameters."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, Failure
from repc.semantics.context import Applied
from repc.semantics.elaborate import build_model, deep_stack, new_context
from repc.semantics.modules import Module
from repc.semantics.names import check_names
from repc.semantics.targets import targets


def check(module: Module) -> list[Diagnostic]:
    """The errors of a file, without repetitions, in the order of the text.

    Names are checked in every definition; models and adapted models whose parameters all have defaults are elaborated;
    targets are resolved.
    """
    found = check_names(module)
    known: dict[object, Applied] = {}
    for name, item in module.models().items():
        if all(parameter.default is not None for parameter in item.parameters):
            ctx = new_context(name)
            ctx.known = known
            try:
                with deep_stack():
                    build_model(ctx, module, name, {}, {})
                found.extend(ctx.errors)
            except Failure as failure:
                found.extend(failure.diagnostics)
    try:
        targets(module)
    except Failure as failure:
        found.extend(failure.diagnostics)
    return _in_order(found)


def _in_order(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    unique: dict[tuple[str, tuple[str, int]], Diagnostic] = {}
    for diagnostic in diagnostics:
        unique.setdefault((diagnostic.code, _place(diagnostic)), diagnostic)
    return sorted(unique.values(), key=_place)


def _place(diagnostic: Diagnostic) -> tuple[str, int]:
    span = diagnostic.primary.span if diagnostic.primary else None
    return (span.source.name, span.start) if span else ("", 0)
