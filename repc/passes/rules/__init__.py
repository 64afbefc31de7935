"""The rules in the order in which they are tried at a node; the order is part of their meaning.

Cleaning comes first, so that the algebra sees terms and maps as such.  Backward folding comes before forward folding:
what follows a linear operator always folds into it, what precedes it may meet a border.  Linear branches merge before
affine ones, so that the identity joins a convolution where there is one.
"""

from typing import Any

from repc.passes.rule import Lemma, Rule
from repc.passes.rules.average_as_conv import AverageAsConv
from repc.passes.rules.border_map import BorderMap
from repc.passes.rules.centre_writers import CentreWriters
from repc.passes.rules.collect_terms import CollectTerms
from repc.passes.rules.compose_linear import ComposeLinear
from repc.passes.rules.conv_as_linear import ConvAsLinear
from repc.passes.rules.drop_constant_channels import DropConstantChannels
from repc.passes.rules.fold_affine import FoldAffine
from repc.passes.rules.fold_affine_forward import FoldAffineForward
from repc.passes.rules.fold_homogeneous import FoldHomogeneous
from repc.passes.rules.fold_norm_affine import FoldNormAffine
from repc.passes.rules.fold_norm_forward import FoldNormForward
from repc.passes.rules.fold_threshold import FoldThreshold
from repc.passes.rules.hoist_movement import HoistMovement
from repc.passes.rules.identity_as_conv import IdentityAsConv
from repc.passes.rules.merge_affine import MergeAffine
from repc.passes.rules.merge_movement import MergeMovement
from repc.passes.rules.remove_identity import RemoveIdentity
from repc.passes.rules.stack_hidden import StackHidden
from repc.passes.rules.stack_siblings import StackSiblings
from repc.passes.rules.sum_affine import SumAffine
from repc.passes.rules.sum_parallel import SumParallel

RULES: tuple[Rule[Any], ...] = (
    RemoveIdentity(),
    MergeMovement(),
    CollectTerms(),
    FoldAffine(),
    FoldAffineForward(),
    FoldNormForward(),
    FoldHomogeneous(),
    FoldThreshold(),
    SumParallel(),
    SumAffine(),
    StackSiblings(),
    StackHidden(),
    ComposeLinear(),
    BorderMap(),
    ConvAsLinear(),
    HoistMovement(),
)

# Identities that other rules use, and those of passes over the whole graph.
LEMMAS: tuple[Lemma, ...] = (
    IdentityAsConv(),
    AverageAsConv(),
    FoldNormAffine(),
    MergeAffine(),
    CentreWriters(),
    DropConstantChannels(),
)
