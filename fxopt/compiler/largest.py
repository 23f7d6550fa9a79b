"""How much of a ranked plan can stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_FINEST = 16  # parts of a plan down to which is found out what has to be given back: each look takes a build


def largest(right: Callable[[int], T | None], count: int) -> T | None:
    """The build of the most first items that is right, where that of all `count` is not; None if there is none.

    Mostly few are at fault, so few are left out first, then twice as many, and what is between is halved.
    """
    finest = max(1, count // _FINEST)
    most, wrong, best, few = 0, count, None, finest
    while wrong - most > finest or (best is None and wrong > 1):
        middle = max(wrong - few, (most + wrong) // 2)
        part = right(middle)
        if part is not None:
            most, best = middle, part
        else:
            wrong, few = middle, 2 * few
    return best
