"""What can be wrong with what a model is asked for (E90x)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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


def nothing_to_expand(pattern: str, into: str, known: Sequence[str]) -> Diagnostic:
    """No convolution or linear layer of the deployed network is at a path.

    Paths are those of the deployed network: what is folded is called as it was, or as the spec says.
    """
    match = nearest(pattern, known)
    remedy = f"did you mean `{match}`?" if match else f"operators are at {', '.join(known[:6]) or 'no place'}"
    return Diagnostic(
        "E904", f"there is no convolution or linear layer at `{pattern}` to expand to {into}", help=remedy
    )


def cannot_expand(path: str, into: str, reason: str, remedy: str) -> Diagnostic:
    """An operator cannot become that block and still compute the same.

    The block has to fold to the very same operator, so that the deployed form gets no dearer, and a parameter of it has
    to be able to make up for all others.
    """
    return Diagnostic("E905", f"{path} cannot become {into}: {reason}", help=remedy)


def no_solution(path: str) -> Diagnostic:
    """The parameter that makes up for the others is multiplied by something that its initial values make zero."""
    return Diagnostic(
        "E906", f"nothing that {path} could be makes up for the rest of its block", help="scale it by no zero at first"
    )


def unknown_block(text: str, known: Sequence[str]) -> Diagnostic:
    """An operator becomes something that has a name here, or the block of a spec."""
    match = nearest(text, known)
    remedy = f"did you mean {match}?" if match else f"it is one of {', '.join(known)}, or FILE.rep:BLOCK"
    return Diagnostic("E908", f"there is no block {text} to expand to", help=remedy)


def unfit_block(path: str, into: str, inner: Diagnostic) -> Diagnostic:
    """What is wrong with a block where it stands in the place of an operator."""
    return replace(inner, notes=(*inner.notes, f"{into} is put in the place of {path}"))


def which_block(text: str, known: Sequence[str]) -> Diagnostic:
    """An operator becomes one block, with one input."""
    match = nearest(text, known)
    remedy = f"give FILE.rep:BLOCK, such as {match or ', '.join(known[:6])}"
    return Diagnostic("E907", f"{text} is no block with one input", help=remedy)
