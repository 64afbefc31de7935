"""The one table from the operators of torch to those of repc, one file per family.

A function of the table gets the site of a call and the call's arguments in the order of its schema, all of them, with
tensors as values and sizes as those of repc.  It returns the value of the result, or a list of the first results where
there are several.  `Unknown` and `ShapeError` say that the call has to stay as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from repc.importers.torch.site import Value
from repc.importers.torch.table import linear, norm, pointwise, pool, reduce, select, shape, windows

Lowering: TypeAlias = "Callable[..., Value | list[Value]]"

# Functions that repc knows by the same name.
_SAME = (
    *("relu", "relu6", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "mish", "exp", "log", "sqrt", "rsqrt"),
    *("abs", "sin", "cos", "atan", "erf", "sign", "floor", "ceil", "round", "selu"),
)

_COMPARISONS = {
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}

TABLE: dict[str, Lowering] = {
    # convolutions and products
    **{f"aten.conv{n}d.{form}": linear.conv for n in (1, 2, 3) for form in ("default", "padding")},
    "aten.conv_transpose1d.default": linear.conv_transpose,
    "aten.conv_transpose2d.input": linear.conv_transpose,
    "aten.conv_transpose3d.input": linear.conv_transpose,
    "aten.convolution.default": linear.convolution,
    "aten._convolution.default": linear.convolution,
    "aten.linear.default": linear.linear,
    "aten.bilinear.default": linear.bilinear,
    "aten.addmm.default": linear.addmm,
    **{f"aten.{name}.default": linear.matmul for name in ("matmul", "mm", "bmm", "mv", "dot")},
    "aten.einsum.default": linear.einsum,
    "aten.scaled_dot_product_attention.default": linear.attention,
    # normalisations
    "aten.batch_norm.default": norm.batch_norm,
    "aten._native_batch_norm_legit_no_training.default": norm.native_batch_norm,
    "aten.layer_norm.default": norm.layer_norm,
    "aten.group_norm.default": norm.group_norm,
    "aten.rms_norm.default": norm.rms_norm,
    "aten.instance_norm.default": norm.instance_norm,
    # pools and resampling
    **{f"aten.max_pool{n}d.default": partial(pool.max_pool, n) for n in (1, 2, 3)},
    **{f"aten.max_pool{n}d_with_indices.default": partial(pool.max_pool, n) for n in (2, 3)},
    **{f"aten.avg_pool{n}d.default": partial(pool.avg_pool, n) for n in (1, 2, 3)},
    **{f"aten.adaptive_avg_pool{n}d.default": partial(pool.adaptive_avg_pool, n) for n in (1, 2, 3)},
    **{f"aten.adaptive_max_pool{n}d.default": partial(pool.adaptive_max_pool, n) for n in (1, 2, 3)},
    **{f"aten.upsample_nearest{n}d.vec": pool.nearest for n in (1, 2, 3)},
    "aten.upsample_linear1d.vec": partial(pool.interpolated, "linear"),
    "aten.upsample_bilinear2d.vec": partial(pool.interpolated, "linear"),
    "aten.upsample_trilinear3d.vec": partial(pool.interpolated, "linear"),
    "aten.upsample_bicubic2d.vec": partial(pool.interpolated, "cubic"),
    # functions, element by element
    **{f"aten.{name}.default": partial(pointwise.named, name) for name in _SAME},
    "aten.logical_not.default": pointwise.negated,
    "aten.gelu.default": pointwise.gelu,
    "aten.leaky_relu.default": pointwise.leaky_relu,
    "aten.elu.default": pointwise.elu,
    "aten.celu.default": pointwise.celu,
    "aten.hardtanh.default": pointwise.hardtanh,
    "aten.softplus.default": pointwise.softplus,
    "aten.log_sigmoid.default": partial(pointwise.named, "logsigmoid"),
    "aten.log1p.default": pointwise.log1p,
    "aten.log2.default": partial(pointwise.log_to, 2),
    "aten.log10.default": partial(pointwise.log_to, 10),
    "aten.threshold.default": pointwise.threshold,
    "aten.hardshrink.default": pointwise.hardshrink,
    "aten.softshrink.default": pointwise.softshrink,
    "aten.rrelu.default": pointwise.rrelu,
    "aten.glu.default": pointwise.glu,
    "aten.prelu.default": pointwise.prelu,
    "aten.clamp.default": pointwise.clamp,
    "aten.clamp.Tensor": pointwise.clamp,
    "aten.clamp_min.default": pointwise.clamp,
    "aten.clamp_min.Tensor": pointwise.clamp,
    "aten.clamp_max.default": pointwise.clamp_max,
    "aten.clamp_max.Tensor": pointwise.clamp_max,
    "aten.softmax.int": pointwise.softmax,
    "aten._softmax.default": pointwise.softmax,
    "aten.log_softmax.int": pointwise.log_softmax,
    "aten._log_softmax.default": pointwise.log_softmax,
    # arithmetic
    **{f"aten.add.{form}": pointwise.add for form in ("Tensor", "Scalar")},
    **{f"aten.sub.{form}": pointwise.subtract for form in ("Tensor", "Scalar")},
    **{f"aten.rsub.{form}": pointwise.subtract_from for form in ("Tensor", "Scalar")},
    **{f"aten.mul.{form}": pointwise.multiply for form in ("Tensor", "Scalar")},
    **{f"aten.div.{form}": pointwise.divide for form in ("Tensor", "Scalar", "Tensor_mode", "Scalar_mode")},
    "aten.neg.default": pointwise.negate,
    "aten.reciprocal.default": pointwise.reciprocal,
    "aten.square.default": pointwise.square,
    "aten.pow.Tensor_Scalar": pointwise.power,
    "aten.pow.Tensor_Tensor": partial(pointwise.binary, "power"),
    "aten.addcmul.default": pointwise.addcmul,
    **{f"aten.lerp.{form}": pointwise.lerp for form in ("Tensor", "Scalar")},
    "aten.maximum.default": partial(pointwise.binary, "maximum"),
    "aten.minimum.default": partial(pointwise.binary, "minimum"),
    "aten.max.other": partial(pointwise.binary, "maximum"),
    "aten.min.other": partial(pointwise.binary, "minimum"),
    **{
        f"aten.{name}.{form}": partial(pointwise.binary, function)
        for name, function in _COMPARISONS.items()
        for form in ("Tensor", "Scalar")
    },
    **{
        f"aten.{name}.default": partial(pointwise.logical, name)
        for name in ("logical_and", "logical_or", "logical_xor")
    },
    "aten.isnan.default": pointwise.is_nan,
    "aten.isfinite.default": partial(pointwise.compared_to_infinity, "less"),
    "aten.isinf.default": partial(pointwise.compared_to_infinity, "equal"),
    "aten.bitwise_not.default": pointwise.bitwise_not,
    **{
        f"aten.{spelled}.{form}": partial(pointwise.bitwise, f"logical_{name}")
        for name in ("and", "or", "xor")
        for spelled in (f"bitwise_{name}", f"__{name}__")
        for form in ("Tensor", "Scalar")
    },
    **{f"aten.where.{form}": pointwise.where for form in ("self", "ScalarSelf", "ScalarOther", "Scalar")},
    **{f"aten.masked_fill.{form}": pointwise.masked_fill for form in ("Scalar", "Tensor")},
    # the identity in evaluation, or in all but memory
    **{f"aten.{name}.default": pointwise.dropout for name in ("dropout", "feature_dropout", "alpha_dropout")},
    **{
        f"aten.{name}.default": pointwise.unchanged
        for name in ("contiguous", "clone", "alias", "detach", "lift_fresh_copy", "positive")
    },
    **{f"aten.to.{form}": pointwise.converted for form in ("dtype", "dtype_layout", "device", "other")},
    "aten._to_copy.default": pointwise.converted,
    "aten.type_as.default": pointwise.converted,
    # reductions
    "aten.sum.dim_IntList": partial(reduce.over, "sum"),
    "aten.sum.default": partial(reduce.over_all, "sum"),
    "aten.mean.dim": partial(reduce.over, "mean"),
    "aten.mean.default": partial(reduce.over_all, "mean"),
    "aten.amax.default": partial(reduce.over, "max"),
    "aten.amin.default": partial(reduce.over, "min"),
    "aten.max.default": partial(reduce.over_all, "max"),
    "aten.min.default": partial(reduce.over_all, "min"),
    "aten.max.dim": partial(reduce.extremum, "max"),
    "aten.min.dim": partial(reduce.extremum, "min"),
    **{f"aten.any.{form}": partial(reduce.quantified, "max") for form in ("dim", "dims", "default")},
    **{f"aten.all.{form}": partial(reduce.quantified, "min") for form in ("dim", "dims", "default")},
    "aten.argmax.default": partial(reduce.extreme_place, True),
    "aten.argmin.default": partial(reduce.extreme_place, False),
    "aten.topk.default": reduce.top,
    "aten.sort.default": reduce.sort,
    "aten.sort.stable": reduce.stable_sort,
    "aten.argsort.default": reduce.sorted_places,
    "aten.argsort.stable": reduce.stably_sorted_places,
    "aten.var.dim": reduce.variance_by_flag,
    "aten.std.dim": reduce.deviation_by_flag,
    "aten.var.correction": reduce.variance,
    "aten.std.correction": reduce.deviation,
    "aten.var_mean.correction": reduce.variance_and_mean,
    "aten.linalg_vector_norm.default": reduce.vector_norm,
    "aten.dist.default": reduce.distance,
    "aten.cosine_similarity.default": reduce.cosine_similarity,
    "aten.norm.ScalarOpt_dim": reduce.norm,
    "aten.norm.Scalar": reduce.norm,
    "aten.cumsum.default": reduce.cumsum,
    # shapes and axes
    **{
        f"aten.{name}": shape.reshape
        for name in (
            *("view.default", "reshape.default", "_unsafe_view.default", "reshape_as.default", "view_as.default"),
            *("flatten.using_ints", "unflatten.int", "unsqueeze.default"),
            *("squeeze.default", "squeeze.dim", "squeeze.dims"),
        )
    },
    "aten.expand.default": shape.expand,
    "aten.expand_as.default": shape.expand,
    "aten.broadcast_to.default": shape.expand,
    "aten.repeat.default": shape.repeat,
    "aten.tile.default": shape.repeat,
    "aten.repeat_interleave.self_int": shape.repeat_interleave,
    "aten.permute.default": shape.permute,
    "aten.transpose.int": shape.transpose,
    "aten.t.default": shape.transpose,
    "aten.numpy_T.default": shape.reversed_axes,
    "aten.movedim.int": shape.movedim,
    "aten.movedim.intlist": shape.movedim,
    # parts, joined parts, padding, orders
    "aten.slice.Tensor": shape.slice_,
    "aten.select.int": shape.select,
    "aten.narrow.default": shape.narrow,
    "aten.diagonal.default": shape.diagonal,
    "aten.split.Tensor": shape.split,
    "aten.split_with_sizes.default": shape.split,
    "aten.split.sizes": shape.split,
    "aten.chunk.default": shape.split,
    "aten.unsafe_chunk.default": shape.split,
    "aten.unbind.int": shape.unbind,
    "aten.cat.default": shape.concat,
    "aten.concat.default": shape.concat,
    "aten.stack.default": shape.stack,
    "aten.copy.default": shape.copy,
    "aten.slice_scatter.default": shape.slice_scatter,
    "aten.select_scatter.default": shape.select_scatter,
    **{f"aten.{name}.default": partial(shape.filled, 0) for name in ("zeros", "zeros_like", "new_zeros", "zero")},
    # What memory happens to hold is no value; zeros are as good, and the same every time.
    **dict.fromkeys(("aten.empty.memory_format", "aten.empty_like.default"), partial(shape.filled, 0)),
    "aten.new_empty.default": partial(shape.filled, 0),
    **{f"aten.{name}.default": partial(shape.filled, 1) for name in ("ones", "ones_like", "new_ones")},
    **{f"aten.{name}.default": partial(shape.filled, None) for name in ("full", "full_like", "new_full")},
    "aten.fill.Scalar": partial(shape.filled, None),
    "aten.fill.Tensor": shape.copy,
    "aten.pad.default": shape.pad,
    "aten.constant_pad_nd.default": shape.constant_pad,
    **{f"aten.reflection_pad{n}d.default": partial(shape.padding, "reflect") for n in (1, 2, 3)},
    **{f"aten.replication_pad{n}d.default": partial(shape.padding, "replicate") for n in (1, 2, 3)},
    "aten.roll.default": shape.roll,
    "aten.flip.default": shape.flip,
    "aten.pixel_shuffle.default": shape.pixel_shuffle,
    "aten.pixel_unshuffle.default": shape.pixel_unshuffle,
    "aten.channel_shuffle.default": shape.channel_shuffle,
    "aten.unfold.default": windows.unfold,
    "aten.im2col.default": windows.im2col,
    "aten.col2im.default": windows.col2im,
    "aten.embedding.default": select.embedding,
    "aten.index_select.default": select.index_select,
    "aten.index.Tensor": select.index,
    "aten.index_put.default": select.index_put,
    "aten.gather.default": select.gather,
    "aten.one_hot.default": select.one_hot,
}
