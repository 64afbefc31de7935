"""What a verification is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

LIMIT = 3.0  # times the noise: a fold's rounding scatters from 0.9 to 1.9 times it


@dataclass(frozen=True, eq=False)
class Options:
    """How thoroughly to look, on how many random inputs of which sizes, or on which inputs; how far off is too far.

    At level "certify" the fold is proved, for all weights and inputs; a sample is looked at in any case.  `sizes` sets
    free dimensions that are otherwise chosen so that every stage has some extent.  `inputs` are batches of real data,
    by input name, to be used instead of random ones.  `limit` is what a deployed network's error may be, in multiples
    of the noise of the unfused network.
    """

    level: Literal["sample", "certify"] = "certify"
    samples: int = 8
    seed: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    inputs: Sequence[Mapping[str, Tensor]] = ()
    limit: float = LIMIT
