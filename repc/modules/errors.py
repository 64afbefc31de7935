"""What keeps a module from being folded."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, nearest
from repc.verify import Report


def devices(found: Sequence[str]) -> Diagnostic:
    """E521: a module on several devices, or on none."""
    return Diagnostic(
        "E521",
        f"the tensors of the module are on {', '.join(found)}",
        help="move it to one device that holds values, for example with module.to('cpu')",
    )


def not_equal(name: str, report: Report) -> Diagnostic:
    """E522: the folded module does not do what the module does."""
    first, *others = (f"{check.name}: {check.reason}" for check in report.wrong)
    return Diagnostic(
        "E522",
        f"the folded module is not {name} on the example: {first}",
        help="this is a mistake of repc: please report it; verify=False returns the module all the same",
        notes=tuple(others),
    )


def unknown_size(name: str, block: str, known: Sequence[str]) -> Diagnostic:
    """E523: an argument that is neither a parameter of a block nor a size of its inputs."""
    close = nearest(name, known)
    remedy = f"did you mean {close}?" if close else f"it takes {', '.join(known)}"
    return Diagnostic("E523", f"{block} has no parameter and no size of an input called {name}", help=remedy)


def wrong_example(block: str, ports: int, tensors: int) -> Diagnostic:
    """E524: an example with another number of tensors than the block has inputs."""
    return Diagnostic(
        "E524", f"{block} has {ports} inputs, and the example has {tensors}", help="give one tensor for each"
    )


def unknown_rank(block: str, port: str, rest: str) -> Diagnostic:
    """E525: an input with any number of axes, and nothing that says how many."""
    return Diagnostic(
        "E525",
        f"input {port} of {block} has any number of axes as {rest}",
        help=f"say how many, {rest}=2, or give an example",
    )


def which_block(spec: str, known: Sequence[str]) -> Diagnostic:
    """E526: a file with several blocks, of which one must be named."""
    shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return Diagnostic(
        "E526", f"{spec} has {len(known)} blocks: which one?", help=f"write {spec}:NAME; there are {shown}"
    )
