"""How much of a ranked plan can stay."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

T = TypeVar("T")

_FINEST = 16  # parts of a plan down to which is found out what has to be given back: each look takes a build
_PATIENT = 3  # looks before the least portion grows


def largest(look: Callable[[int], tuple[T | None, float]], costs: Sequence[float], excess: float) -> T | None:
    """The build of the most first items that is right, where that of all is not; None if there is none.

    As many of the last items are left out as are estimated to bring the rest down to what is allowed, at most half of them;
    where it is not known how far off a part is, few, and then twice as many. What is between is halved.

    Args:
        look: the build of so many first items, None if it is not right; and how many times what is allowed they cost
            together, infinite where that is no matter of degree.
        costs: of the items, as estimated; at least 0.
        excess: as from `look`, of all items.
    """
    finest, total = max(1, len(costs) // _FINEST), [0.0, *accumulate(costs)]
    if not total[-1] > 0:
        total = [float(count) for count in range(len(total))]
    most, wrong, best, few, misses = 0, len(costs), None, finest, 0
    while wrong - most > finest or (best is None and wrong > 1):
        aim = bisect_right(total, total[wrong] / excess) - 1 if 1 < excess < math.inf else wrong
        middle = max(min(aim, wrong - few), (most + wrong) // 2)
        part, reached = look(middle)
        if part is not None:
            most, best = middle, part
        else:
            wrong, excess, misses = middle, reached, misses + 1
            few = finest if misses < _PATIENT else 2 * few
    return best
