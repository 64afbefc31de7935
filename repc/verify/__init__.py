"""Whether the network that is deployed is the network that was trained, and how far off it is.

That the fold is right is proved, for all weights and inputs, over a prime field (`certify`).  What the proof does not
see is measured.  The stored tensors are recomputed.  The reference is the training graph in float64; the folded graph
is compared with it in float64, and in the deployed type, where the unfused network's own rounding is the measure: a
fold may cost a few times that noise and no more.  What was emitted, the torch module and the ONNX file, is run itself.
Values are compared at cuts, all those that both graphs have, so that a failure names its place; the outermost
positions, where padding enters, apart from the others, so that an error at the border does not drown.

A proof can be checked again by others (`certificate`, `repc.checker`), and a file that others made be judged
(`verify_file`).  What is trusted: elaboration, the meaning of operators, the evaluator.
"""

from repc.verify.certify import Proof, certify
from repc.verify.compare import compare
from repc.verify.foreign import verify_file
from repc.verify.options import Options
from repc.verify.report import Check, Figure, Report
from repc.verify.spec import check_spec
from repc.verify.verification import verify

__all__ = [
    "Check",
    "Figure",
    "Options",
    "Proof",
    "Report",
    "certify",
    "check_spec",
    "compare",
    "verify",
    "verify_file",
]
