"""Expanding, the inverse of folding: an operator as more operators with the same function, to be trained on.

An expansion makes every parameter that it does not draw an expression over those that there were.  So the expanded
network with these expressions and the one that it was made of are two graphs over the same parameters, which the proof
compares as it compares a folded one; evaluated, the expressions are the checkpoint to train on.

`growth` is a network while it grows, `solve` finds the parameter of a block that makes up for all others, `branches`
puts a block in the place of an operator, `depth` and `width` add layers and channels.
"""

from repc.passes.expand.branches import Part, become, linear_part
from repc.passes.expand.depth import add_identity, deepen
from repc.passes.expand.growth import Growth, Unfit
from repc.passes.expand.width import widen

__all__ = ["Growth", "Part", "Unfit", "add_identity", "become", "deepen", "linear_part", "widen"]
