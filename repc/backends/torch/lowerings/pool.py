"""Pools. What torch's own padding cannot say is padded before.

A window that `ceil` adds may reach over the end by at most stride − 1, but starts before the padding there.  So padding
the end by ``min(after + stride − 1, extent − 1)`` and rounding down gives the same windows.
"""

from __future__ import annotations

from repc.backends.torch.lowerings.shape import pad_arguments
from repc.backends.torch.text import Given, call, compact, literal
from repc.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool


def max_pool(op: MaxPool, given: Given) -> str:
    """Padding never wins."""
    x, name = given["x"].text, f"F.max_pool{len(op.kernel)}d"
    window = {"kernel_size": compact(op.kernel), "stride": compact(op.stride)}
    dilation = compact(op.dilation, 1)
    if _is_symmetric(op):
        return call(name, x, **window, padding=compact(_before(op), 0), dilation=dilation, ceil_mode=op.ceil or None)
    return call(
        name, call("F.pad", x, literal(_widths(op, op.dilation)), value=float("-inf")), **window, dilation=dilation
    )


def avg_pool(op: AvgPool, given: Given) -> str:
    """Where torch cannot say what counts, the mean of the padded input over the mean of what counts in it."""
    x, name = given["x"].text, f"F.avg_pool{len(op.kernel)}d"
    window = {"kernel_size": compact(op.kernel), "stride": compact(op.stride)}
    if _is_symmetric(op):
        counted = None if op.count_include_pad or not any(_before(op)) else False
        padding = compact(_before(op), 0)
        return call(name, x, **window, padding=padding, ceil_mode=op.ceil or None, count_include_pad=counted)
    widths = literal(_widths(op, (1,) * len(op.kernel)))
    mean = call(name, call("F.pad", x, widths), **window)
    if op.count_include_pad and not op.ceil:
        return mean
    return call("torch.div", mean, call(name, _counted(op, x), **window))


def adaptive_avg_pool(op: AdaptiveAvgPool, given: Given) -> str:
    """``F.adaptive_avg_pool2d(x, output)``"""
    return call(f"F.adaptive_avg_pool{len(op.output)}d", given["x"].text, literal(compact(op.output)))


def adaptive_max_pool(op: AdaptiveMaxPool, given: Given) -> str:
    """``F.adaptive_max_pool2d(x, output)``"""
    return call(f"F.adaptive_max_pool{len(op.output)}d", given["x"].text, literal(compact(op.output)))


def _is_symmetric(op: MaxPool | AvgPool) -> bool:
    return all(before == after for before, after in op.padding)


def _before(op: MaxPool | AvgPool) -> list[int]:
    return [before for before, _ in op.padding]


def _widths(op: MaxPool | AvgPool, dilation: tuple[int, ...]) -> tuple[int, ...]:
    """The padding that makes every window of the operator a whole one."""
    if not op.ceil:
        return pad_arguments(op.padding)
    axes = zip(op.padding, op.kernel, op.stride, dilation, strict=True)
    return pad_arguments([(b, min(a + stride - 1, step * (size - 1))) for (b, a), size, stride, step in axes])


def _counted(op: AvgPool, x: str) -> str:
    """One where an element counts in the mean, and zero elsewhere."""
    ones = f"torch.ones_like({x}[:1, :1])"
    widths = _widths(op, (1,) * len(op.kernel))
    if not op.count_include_pad:
        return call("F.pad", ones, literal(widths))
    inner = pad_arguments(op.padding)
    rest = tuple(width - done for width, done in zip(widths, inner, strict=True))
    return call("F.pad", call("F.pad", ones, literal(inner), value=1.0), literal(rest))
