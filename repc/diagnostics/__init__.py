"""Places in source text, what is wrong there, and how it is shown.

Every error of repc is one `Diagnostic`: a code, a title, a labelled place and a remedy.  The stages construct
diagnostics (in their own ``errors.py``), one renderer prints them, and only the command line decides where.
A stage that cannot go on raises `Failure` with *all* diagnostics that it has collected.
"""

from repc.diagnostics.diagnostic import Diagnostic, Failure, Label, Severity
from repc.diagnostics.nearest import nearest
from repc.diagnostics.span import Source, Span

__all__ = ["Diagnostic", "Failure", "Label", "Severity", "Source", "Span", "nearest"]
