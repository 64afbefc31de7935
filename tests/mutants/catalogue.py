"""Each rule has a twin that is wrong in the way that implementations usually are: add a line for a new rule.

A mutant replaces functions of the algebra, so that the ordinary fold goes wrong.  On its witness the right fold applies
the rule and is exact, and the wrong one differs; both ways to check a fold must see it.
"""

from __future__ import annotations

from typing import Any

from repc.ops import BatchNorm, associate
from repc.passes import chains, compose, depthwise, families, kernels, maps, movement, parallel, views, workspace
from repc.passes.maps import Map
from repc.passes.rules import (
    border_map,
    centre_writers,
    collect_terms,
    conv_as_linear,
    drop_constant_channels,
    fold_affine,
    fold_affine_forward,
    fold_norm_forward,
    fold_threshold,
    hoist_movement,
    merge_movement,
    stack_hidden,
    stack_siblings,
    sum_affine,
)
from repc.passes.views import AffineView, LinearView
from repc.passes.workspace import Workspace
from tests.mutants import faults as f
from tests.mutants import witnesses as w
from tests.mutants.mutant import Mutant, Patch, Witness


def norm(*lost: str) -> Patch:
    """Batch norm seen without something."""
    return Patch(views._AFFINE, BatchNorm, f.norm_view(*lost))


def twin(rule: str, fault: str, witness: Witness, owner: Any, name: str, wrong: Any) -> Mutant:
    """A mutant by a single patch."""
    return Mutant(rule, fault, witness, (Patch(owner, name, wrong),))


IGNORED_SHARING = Patch(Workspace, "sharer", lambda *_: None)

MUTANTS = (
    Mutant("F1", "no γ", w.CONV_NORM, (norm("gamma"),)),
    Mutant("F1", "no μ", w.CONV_NORM, (norm("mean"),)),
    Mutant("F1", "unscaled μ", w.CONV_NORM, (norm("scale of mean"),)),
    Mutant("F1", "no β", w.CONV_NORM, (norm("beta"),)),
    Mutant("F1", "no ε", w.CONV_NORM, (norm("eps"),)),
    twin("F1", "norms swapped", w.TWO_NORMS, workspace, "affine_view", f.swapped_norms),
    twin("F1", "bias not scaled", w.CONV_NORM, AffineView, "shifted", f.unscaled_bias),
    twin("F1", "bias lost", w.CONV_NORM, AffineView, "shifted", f.lost_bias),
    twin("F1", "shift lost", w.CONV_NORM, AffineView, "shifted", f.lost_shift),
    twin("F1", "input channels scaled", w.CONV_NORM, LinearView, "scale_out", LinearView.scale_in),
    twin("F1", "transposed: axis 0", w.TRANSPOSED_NORM, LinearView, "scale_out", f.rows_of_anything),
    twin("F1", "entries repeated in the wrong order", w.SPLIT_NORM, Map, "reshaped", f.repeated_whole),
    twin("F1", "second reader ignored", w.READ_TWICE, Workspace, "other_reader", lambda *_: None),
    Mutant(
        "F1", "tied weight folded twice", w.TIED, (IGNORED_SHARING, Patch(fold_affine, "absorbed", f.folded_in_place))
    ),
    twin("F1", "every term of a sum shifted", w.SUMMED_NORM, movement, "before", f.shift_for_every_term),
    twin("F1", "first channels for every part", w.STACKED_NORM, movement, "_parts", f.first_channels_for_every_part),
    twin("F1", "scale of another part", w.SCALED_PART, Map, "among", f.part_at_the_end),
    twin("F10", "writers not centred", w.CENTRED, centre_writers, "_centred", lambda part, axis: part),
    twin("F12", "sign ignored", w.SCALE_RELU, workspace, "nonnegative", lambda _: True),
    twin("F13", "constants lost", w.CONSTANT_CHANNEL, drop_constant_channels, "plus", lambda bias, constants: bias),
    twin("F14", "biases in another order", w.SIBLINGS, stack_siblings, "stacked_bias", f.biases_reversed),
    twin("F2", "border ignored", w.AFFINE_PADDED_CONV, fold_affine_forward, "reads_everything", lambda _: True),
    twin("F2", "columns not grouped", w.SCALE_GROUPED_CONV, views, "scale_columns", f.ungrouped_columns),
    twin("F2", "a reader forgotten", w.TWO_READERS, fold_affine_forward, "downward", f.without_the_last_reader),
    twin("F2", "shift read by one tap", w.AFFINE_CONV, LinearView, "response", f.centre_response),
    twin("F2", "axes of a constant exchanged", w.FLATTENED_TABLE, maps, "of_constant", f.first_axes_exchanged),
    twin("F3", "kernels centred", w.EVEN_ODD, kernels, "place", f.centred),
    twin("F3", "kernel in the corner", w.WIDE_POINT, kernels, "place", f.cornered),
    twin("F3", "rows taken for columns", w.RECTANGULAR, parallel, "embed", f.transposed_kernel),
    twin("F3", "dilated taps placed densely", w.DILATED_DENSE, kernels, "place", f.dense),
    twin("F3", "dilation lost", w.DILATED, LinearView, "operator", f.without_dilation),
    twin("F3", "stride lost", w.TWO_STRIDES, families, "_kind", f.kind_without_stride),
    twin("F3", "padding mode lost", w.REFLECTED, LinearView, "operator", f.without_mode),
    twin("F3", "taps not turned", w.UP_BESIDE, compose, "flip", lambda weight: weight),
    twin("F3", "rows for columns forgotten", w.UP_BESIDE, compose, "swap", lambda weight, groups: weight),
    twin("F3", "coefficients lost", w.SUBTRACTED, parallel, "combined", f.coefficients_lost),
    Mutant("F3", "kernel transposed", w.DEEP, (Patch(parallel, "embed", f.transposed_kernel).at(w.LAST_STAGE),)),
    Mutant("F3", "kernel off the centre", w.DEEP, (Patch(parallel, "embed", f.rolled).at(w.LAST_STAGE),)),
    twin("F4", "plain diagonal", w.GROUPED_IDENTITY, parallel, "regroup", f.plain_diagonal),
    twin("F4", "spread over all columns", w.DENSE_IDENTITY, parallel, "regroup", f.spread_over_columns),
    twin("F4", "bias lost", w.NORMED_IDENTITY, families, "diagonal", f.identity_without_shift),
    twin("F5", "bias read by one tap", w.BIASED_ROW, LinearView, "response", f.centre_response),
    twin("F5", "border of a biased 1x1 ignored", w.BIASED_POINT, chains, "fault", lambda *_: None),
    twin("F5", "padding in between ignored", w.PADDED_ROW, chains, "fault", lambda *_: None),
    twin("F5", "another border than the bias", w.BORDERED_POINT, compose, "equal", lambda *_: True),
    twin("F5", "stride taken for dilation", w.STRIDED_ROW, compose, "_product", f.steps_exchanged),
    twin("F5", "kernel reflected", w.STRIDED_ROW, compose, "_product", f.reflected),
    twin("F5", "first group for all", w.GROUPED_ROW, compose, "_product", f.first_group_only),
    twin("F5", "taps not turned", w.UP_ROW, compose, "flip", lambda weight: weight),
    twin("F11", "coefficient lost", w.MIRROR, associate._Order, "_scaled", f.unscaled_factors),
    twin("F16", "border forgotten", w.MAPPED_POINT, border_map, "_map", f.map_without_border),
    twin("F17", "not turned around", w.NORM_THRESHOLD, fold_threshold, "_sign", f.always_positive),
    twin("F18", "columns in another order", w.TWO_HIDDEN, stack_hidden, "_columns", f.columns_reversed),
    twin("F6", "a sum for a mean", w.AVERAGED, depthwise, "averaged", f.doubled_average),
    twin("F7", "matrix transposed", w.LOCALITY, conv_as_linear, "_columns", f.transposed_columns),
    twin("F8", "β not scaled", w.NORM_AFFINE, AffineView, "shifted", f.unscaled_bias),
    twin("F9", "β lost", w.NORM_LINEAR, fold_norm_forward, "_own", f.norm_without_bias),
    twin("N1", "a scale taken for the identity", w.DROPOUT_SCALE, AffineView, "identity", True),
    twin("N2", "inner shift not scaled", w.TWO_AFFINE, AffineView, "shifted", f.unscaled_bias),
    twin("N3", "repeated terms counted once", w.NESTED, collect_terms, "_total", f.last_coefficient),
    twin("N4", "residual lost", w.RESIDUAL, sum_affine, "_scale", f.without_the_value_itself),
    twin("N5", "coefficients lost", w.MOVED, hoist_movement, "terms", f.unweighted),
    twin("N6", "composed the other way round", w.MOVED_TWICE, merge_movement, "_composed", f.other_way_round),
)
