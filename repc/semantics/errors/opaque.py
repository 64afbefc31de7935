"""Opaque calls that do not say enough, or something that no spec may say."""

from __future__ import annotations

from repc.diagnostics import Diagnostic, Span
from repc.semantics.errors.base import error

FORM = 'opaque("aten.topk.default", x, 5) -> (f32[b, 5], i64[b, 5])'


def untyped_opaque(span: Span) -> Diagnostic:
    """An opaque call without the types of its results.

    Nothing is known of what an opaque call computes, so that its types have to be said.
    """
    return error("E275", "an opaque call says what it gives", span, "no result types", f"write them: `{FORM}`")


def typed_call(span: Span) -> Diagnostic:
    """Result types behind a call that is not opaque: functions and blocks know theirs."""
    return error("E276", "only an opaque call says what it gives", span, "this has types of its own", "leave them out")


def opaque_target(span: Span, target: str) -> Diagnostic:
    """An opaque call of something that is no operator of torch.

    A spec is data: it may name an operator that torch has registered, which computes with tensors, but no function that
    could read files or run programs.
    """
    return error(
        "E277",
        f"a spec cannot call `{target}`",
        span,
        "no operator of torch",
        'name an operator with its overload, as in "aten.topk.default", or a function as in '
        '"torch.nn.functional.grid_sample"',
    )


def opaque_node(span: Span) -> Diagnostic:
    """An opaque call of a node of ONNX that is not whole."""
    return error(
        "E278",
        "this is no node of ONNX",
        span,
        "not complete",
        "give `node` in base64, an integer `opset`, and in `names` what each tensor is called in the node",
    )
