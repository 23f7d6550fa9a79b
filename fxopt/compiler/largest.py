"""How much of a ranked plan can stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FINEST = 16  # parts of a plan down to which is found out what has to be given back: each look takes a build
_PATIENT = 6  # looks before portions grow


def largest(right: Callable[[int], T | None], count: int) -> T | None:
    """The build of the most first items that is right, where that of all `count` is not; None if there is none.

    Mostly few are at fault, so few are left out first, some times over: quality on few samples does not fall evenly, and
    what is much smaller is worth much less. Then twice as many are, and what is between is halved.
    """
    finest = max(1, count // _FINEST)
    most, wrong, best, few, misses = 0, count, None, finest, 0
    while wrong - most > finest or (best is None and wrong > 1):
        middle = max(wrong - few, (most + wrong) // 2)
        part = right(middle)
        if part is not None:
            most, best = middle, part
        else:
            wrong, misses = middle, misses + 1
            few = finest if misses < _PATIENT else 2 * few
    return best
