"""What is true of a stored weight and may not survive a merge: zeros, few values, orthogonality.

They are measured, not declared: a checkpoint that was pruned or quantised says so nowhere.
"""

from __future__ import annotations

from torch import Tensor

SMALL = 64  # elements below which anything is true by chance
SPARSE = 0.01
FEW = 256  # the values of eight bits
PROBE = 1024
ORTHOGONAL = 1e-4
LARGEST = 4096  # a side beyond which a Gram matrix takes too long


def lost(before: Tensor, after: Tensor) -> list[str]:
    """What was true of a matrix or kernel and is not true of what it became, in words."""
    if before.ndim < 2 or before.numel() < SMALL or not before.is_floating_point() or before.shape != after.shape:
        return []
    found: list[str] = []
    zeros = _zeros(before)
    if zeros >= SPARSE and (left := _zeros(after)) < zeros / 2:
        found.append(f"{zeros:.0%} of it was zero, {left:.0%} is")
    values = _values(before)
    if values is not None and values > 1 and _values(after) is None:
        found.append(f"it had {values} different values, as of a quantiser, and has many")
    if _is_orthogonal(before) and not _is_orthogonal(after):
        found.append("it was orthogonal, with a Lipschitz bound of one, and is not")
    return found


def _zeros(weight: Tensor) -> float:
    return 1 - int(weight.count_nonzero()) / weight.numel()


def _values(weight: Tensor) -> int | None:
    """How many values it has, None where that is no small number."""
    flat = weight.flatten()
    few = min(FEW, len(flat) // 8)
    if _different(flat[:PROBE]) > few:
        return None
    count = _different(flat)
    return None if count > few else count


def _different(flat: Tensor) -> int:
    ordered = flat.sort().values
    return 1 + int((ordered[1:] != ordered[:-1]).sum())


def _is_orthogonal(weight: Tensor) -> bool:
    """Whether its rows, or its columns, are orthonormal."""
    matrix = weight.flatten(1).double()
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.T
    if len(wide) > LARGEST or float((wide[0] @ wide[0] - 1).abs()) > ORTHOGONAL:
        return False
    gram = wide @ wide.T
    gram.diagonal().sub_(1)
    return float(gram.abs().max()) < ORTHOGONAL
