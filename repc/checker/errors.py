"""What the checker cannot read (E93x)."""

from __future__ import annotations

from pathlib import Path

from repc.diagnostics import Diagnostic


def unreadable(path: Path, reason: str) -> Diagnostic:
    """A file that the checker was given cannot be read."""
    return Diagnostic("E930", f"cannot read {path}: {reason}", help="check the path")


def no_certificate(path: Path, reason: str) -> Diagnostic:
    """The file is no certificate, or a damaged one."""
    return Diagnostic("E931", f"{path} is no certificate of repc: {reason}", help="compile the model again")


def unknown_operator(name: str, reason: str) -> Diagnostic:
    """The file has an operator that repc's writer does not use, or in a form that it does not write."""
    return Diagnostic("E932", f"the checker does not know {name}: {reason}", help="verify by sample: repc verify")
