"""What verification cannot do, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic, nearest


def no_sizes(model: str, free: Sequence[str], most: int) -> Diagnostic:
    """No size of the free dimensions leaves every value some extent."""
    return Diagnostic(
        "E811",
        f"{model} has no extent at its last values, with {' and '.join(free)} up to {most}",
        help=f"give sizes yourself, such as {free[0]}=224",
    )


def unknown_size(name: str, free: Sequence[str]) -> Diagnostic:
    """A size was given for something that is no free dimension of the inputs."""
    close = nearest(name, free)
    known = f"the free dimensions are {', '.join(free)}" if free else "all sizes are fixed by the spec"
    return Diagnostic("E812", f"there is no free dimension {name}", help=f"did you mean {close}?" if close else known)


def no_data() -> Diagnostic:
    """Networks are to be compared on nothing."""
    return Diagnostic("E813", "there is no data to compare on", help="give at least one batch")


def other_inputs(found: Sequence[str], wanted: Sequence[str]) -> Diagnostic:
    """A file takes other inputs than the network, or inputs of another size."""
    return Diagnostic(
        "E814",
        f"the file takes {', '.join(found) or 'nothing'}, and the network {', '.join(wanted) or 'nothing'}",
        help="give a file of this network, or pin the sizes that it was made for: --size h=224",
    )


def other_outputs(found: Sequence[str], wanted: Sequence[str]) -> Diagnostic:
    """A file gives other outputs than the network."""
    return Diagnostic(
        "E815",
        f"the file gives {', '.join(found) or 'nothing'}, and the network {', '.join(wanted) or 'nothing'}",
        help="give a file of this network",
    )
