"""Folding: linear-operator algebra over the typed graph.

A rule is one identity of linear operators, never the block of a paper: what RepVGG, MobileOne or RepMLP fold to follows
from a handful of them.  Rules see operators through views (`views`): a batch norm, a layer scale and a constant factor
are one kind of map, a linear layer is a convolution without spatial axes.  Nothing is lowered to be folded, so that
what stays keeps its own parameters.  Weights are expressions; no array is computed here.

`fold` runs the passes of `pipeline`; `rules` holds one identity per file; `catalogue` describes them for people.
"""

from repc.passes.catalogue import RuleDoc, catalogue
from repc.passes.options import Options
from repc.passes.pipeline import fold

__all__ = ["Options", "RuleDoc", "catalogue", "fold"]
