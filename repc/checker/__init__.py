"""The independent checker of certificates: ``python -m repc.checker CERT --spec S --weights W --artifact A``.

It shares the parser, the elaboration, the importers, the meaning of operators and the evaluator with the compiler, and
they are what has to be trusted.  It shares no rule, no pass, no backend and nothing of the verification, which an
import contract holds.  The ONNX file it reads itself (`reader`, `operators`), as a graph whose stored tensors are
replaced by the certificate's expressions, and

- proves over a prime field, with random numbers of its own, that this graph is the training graph of the spec;
- computes each expression in float64 from the weights, and finds it in the file to half a unit in the last place.

Together these tie the file to the spec and the weights.  What the certificate says need not be believed: wrong cuts or
expressions make one of the two fail.
"""

from repc.checker.check import Finding, check

__all__ = ["Finding", "check"]
