"""What can be wrong with what a model is asked for (E90x)."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, nearest


def unknown_target(name: str, model: str, known: Sequence[str]) -> Diagnostic:
    """A target that the model does not have."""
    match = nearest(name, known)
    remedy = f"did you mean `{match}`?" if match else f"targets of this model: {', '.join(known) or 'none'}"
    return Diagnostic("E901", f"{model} has no target `{name}`", help=remedy)


def adapter_without_base(model: str) -> Diagnostic:
    """An adapter's file has the adapter alone; what it changes has to come from a checkpoint of the base."""
    return Diagnostic(
        "E902", f"the adapter of {model} needs the weights of its base", help="give the base with --weights"
    )


def not_of_a_spec(path: str, what: str) -> Diagnostic:
    """A parameter, a model or an adapter was asked of an imported model, or a size of an exported program.

    Only specs have parameters and models by name, and adapters attach to specs; an exported program has the sizes that
    it was exported with.
    """
    return Diagnostic("E903", f"{path} takes no {what}", help="leave it out, or give a spec")
