"""What keeps a module from being folded."""

from __future__ import annotations

from collections.abc import Sequence

from repc.diagnostics import Diagnostic
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
    reasons = tuple(f"{check.name}: {check.reason}" for check in report.checks if not check.passed)
    return Diagnostic(
        "E522",
        f"the folded module is not {name} on the example",
        help="this is a mistake of repc: please report it; verify=False returns the module all the same",
        notes=reasons,
    )


