"""repc inside someone's own process: any torch module folded, and blocks of specs as torch modules.

A folded module is the inference module of the folded graph behind the call of the original: its parameters, its nested
arguments and results (`interface`), all as text, so that torch's own tools read through it.  What was done, what was
not, and how it was checked is its `report`.
"""

from repc.modules.block import block
from repc.modules.fold import fold
from repc.modules.lift import lift
from repc.modules.report import FoldReport

__all__ = ["FoldReport", "block", "fold", "lift"]
