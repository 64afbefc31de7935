"""What keeps a torch module from being imported, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from repc.diagnostics import Diagnostic, Label, Span, nearest


def training(paths: Sequence[str]) -> Diagnostic:
    """E501: a module that trains is another function."""
    shown = ", ".join(path or "the module itself" for path in paths[:3])
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return Diagnostic(
        "E501",
        f"a module in training mode does not fold: {shown}{more}",
        help="call .eval() on it first; what is folded is the network in evaluation",
    )


def not_exported(name: str, reason: str, free: Sequence[str] = ()) -> Diagnostic:
    """E502: torch.export gave up, or fixed a size that was to be free; `free` are the arguments with such sizes."""
    head, *rest = [line.strip() for line in reason.strip().splitlines() if line.strip()] or ["no reason given"]
    remedy = "see that the example inputs are those of forward; fold the part that causes it by itself"
    if "data-dependent" in head:
        remedy = "values of tensors decide which way it takes: choose with torch.where, or fold the parts around it"
    elif "torch.func" in head or "does not require grad" in head:
        remedy = "take gradients by torch.autograd.grad under torch.enable_grad(), of x.detach().requires_grad_()"
    elif free:
        remedy = f"see that the example inputs are those of forward; then let fewer sizes of {', '.join(free)} be free"
    return Diagnostic("E502", f"torch.export cannot capture {name}: {head}", help=remedy, notes=tuple(rest[:8]))


def scripted(name: str) -> Diagnostic:
    """E513: a module of TorchScript."""
    return Diagnostic(
        "E513",
        f"{name} is TorchScript, which holds no Python that could be recorded or exported",
        help="fold the module that it was scripted or traced from",
    )


def stateful(names: Sequence[str]) -> Diagnostic:
    """E503: buffers that a forward pass in evaluation writes to."""
    return Diagnostic(
        "E503",
        f"the network changes {', '.join(names)} when it runs, so that it is no function of its inputs",
        help="take the update out of forward, or do it only while training",
    )


def unwritable(what: str, place: Span) -> Diagnostic:
    """E504: a call with an argument that is no data."""
    return Diagnostic(
        "E504",
        f"a call cannot be kept as it is: {what}",
        Label(place, "made here"),
        "compute this outside of the network, or hand the result in as an input",
    )


def free_size(reason: str) -> Diagnostic:
    """E505: a size of a program that repc has no formula for."""
    return Diagnostic(
        "E505",
        reason,
        help="export the program with the sizes that it is made of fixed",
    )


def no_copy(name: str, reason: str) -> Diagnostic:
    """E506: a module is captured from a copy of its structure, so that it stays as it is."""
    return Diagnostic(
        "E506",
        f"{name} cannot be copied: {reason}",
        help="fold the plain module inside (model.module, model._orig_mod), before it is wrapped",
    )


def element_type(dtype: str, place: Span | None) -> Diagnostic:
    """E507: tensors of a type that no operator of repc has."""
    return Diagnostic(
        "E507",
        f"there are tensors of type {dtype}, which repc does not have",
        Label(place, "made here") if place else None,
        "fold the network before it is quantized or cast",
    )


def higher_order(name: str, place: Span | None) -> Diagnostic:
    """E508: control flow and regions with a mode of their own."""
    return Diagnostic(
        "E508",
        f"a part of the network runs under {name}, which repc does not follow",
        Label(place, "here") if place else None,
        "decide it before the network is folded: conditions by arguments, autocast around the whole",
    )


def free_result(reason: str) -> Diagnostic:
    """E509: an output that is a size, not a tensor."""
    return Diagnostic("E509", reason, help="return tensors only, or pin that size")


def unknown_argument(name: str, known: Sequence[str]) -> Diagnostic:
    """E510: sizes of an argument that is not there."""
    close = nearest(name, known)
    remedy = f"did you mean {close}?" if close else f"the arguments are {', '.join(known)}"
    return Diagnostic("E510", f"dynamic names {name}, which is no argument of the example", help=remedy)


def unreadable(path: Path, reason: str) -> Diagnostic:
    """E511: the file does not exist, or the system does not let it be read."""
    return Diagnostic("E511", f"cannot read {path}: {reason}", help="check the path")


def no_program(path: Path, reason: str) -> Diagnostic:
    """E512: a file that `torch.export.save` did not write, or that this version of torch cannot read."""
    help = "export it again, with the torch that reads it: torch.export.save(torch.export.export(module, args), path)"
    return Diagnostic("E512", f"{path} is no exported program: {reason}", help=help)
