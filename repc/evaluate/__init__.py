"""Runs graphs and weight expressions over a field.

The walk (`run`, `evaluate`) knows nothing about numbers: `TorchField` makes it the float64 reference, a gradient or a
computation in any floating-point type, and another implementation of `repc.ir.field.Field` makes it something else.
`PrimeField` makes it a computation modulo a prime, in which equal random values prove that two graphs are equal
(`proof`).  Both are imported by their modules, so that the walk does not load torch.
"""

from repc.evaluate.expressions import evaluate
from repc.evaluate.graphs import run, sizes

__all__ = ["evaluate", "run", "sizes"]
