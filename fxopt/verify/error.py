"""How far two results are apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch


def relative_error(found: Any, expected: Any) -> float:
    """Largest absolute difference over the largest absolute value expected.

    0 for equal values (NaN and infinities at the same places are equal), infinity for other shapes, and for any
    difference in integers or booleans. Tuples and lists: the worst of their items.
    """
    if isinstance(expected, (tuple, list)):
        return worst(found, expected) if isinstance(found, (tuple, list)) else float("inf")
    if not isinstance(expected, torch.Tensor):
        return 0.0 if found == expected else float("inf")
    if not isinstance(found, torch.Tensor) or found.shape != expected.shape:
        return float("inf")
    if not (expected.dtype.is_floating_point or expected.dtype.is_complex):
        return 0.0 if torch.equal(found.to(expected.dtype), expected) else float("inf")
    wide = torch.complex128 if expected.dtype.is_complex else torch.float64
    found, expected = found.to(wide), expected.to(wide)
    if expected.numel() == 0:
        return 0.0
    difference = float((found - expected).abs().max())
    if not math.isfinite(difference):  # NaN or infinities in one of them: equal only where they are the same
        finite = torch.isfinite(expected)
        special = found[~finite], expected[~finite]
        if not torch.equal(finite, torch.isfinite(found)) or not torch.equal(*map(torch.nan_to_num, special)):
            return float("inf")
        found, expected = found[finite], expected[finite]
        difference = float((found - expected).abs().max()) if expected.numel() else 0.0
    scale = float(expected.abs().max()) if difference else 1.0
    return difference / scale if scale > 0 else float("inf")


def worst(found: Sequence[Any], expected: Sequence[Any]) -> float:
    """The largest `relative_error` of pairs; infinity where the counts differ."""
    if len(found) != len(expected):
        return float("inf")
    return max((relative_error(f, e) for f, e in zip(found, expected, strict=True)), default=0.0)
