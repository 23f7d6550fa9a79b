"""How much of a plan stays, where more is not right."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt.compiler.largest import largest


def looks(costs: list[float], limit: int, known: bool) -> tuple[int | None, list[int]]:
    """What is found, and where it was looked, if up to `limit` are right; no build of nothing is."""
    seen: list[int] = []
    total = [0.0, *accumulate(costs)]

    def excess(first: int) -> float:
        allowed = (total[limit] + total[limit + 1]) / 2
        return total[first] / allowed if known and allowed > 0 else math.inf

    def look(first: int) -> tuple[int | None, float]:
        seen.append(first)
        return first if 0 < first <= limit else None, excess(first)

    return largest(look, costs, excess(len(costs))), seen


@given(st.lists(st.floats(0, 1), min_size=1, max_size=600), st.booleans(), st.data())
def test_what_stays_is_right_and_misses_at_most_a_sixteenth(
    costs: list[float], known: bool, data: st.DataObject
) -> None:
    count = len(costs)
    limit = data.draw(st.integers(0, count - 1))
    found, seen = looks(costs, limit, known)
    assert limit - max(1, count // 16) < (found or 0) <= limit
    assert found is None or found in seen
    assert len(seen) <= 12


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200), st.data())
def test_whatever_a_part_is_said_to_lose_the_search_ends_at_what_is_right(
    costs: list[float], data: st.DataObject
) -> None:
    count = len(costs)
    limit, said = data.draw(st.integers(0, count - 1)), st.floats(allow_nan=True)

    def look(first: int) -> tuple[int | None, float]:
        return first if 0 < first <= limit else None, data.draw(said)

    found = largest(look, costs, data.draw(said))
    assert limit - max(1, count // 16) < (found or 0) <= limit


def test_the_first_look_is_where_costs_come_down_to_what_is_allowed() -> None:
    _, seen = looks([*[1.0] * 24, *[3.0] * 8], 27, known=True)
    assert seen[0] == 27


@pytest.mark.parametrize("limit", [8, 12, 20])
def test_it_is_found_in_fewer_looks_where_losses_tell_how_far_off_a_part_is(limit: int) -> None:
    costs = [1.1**item for item in range(32)]
    _, told = looks(costs, limit, known=True)
    _, blind = looks(costs, limit, known=False)
    assert len(told) < len(blind)


def test_a_part_that_is_wrong_by_chance_costs_little() -> None:
    """Of 32, those of 28 are wrong by a flip or two; the next smaller part is looked at, not one of half the size."""

    def look(first: int) -> tuple[int | None, float]:
        return (None, 1.02) if first in (30, 28) else (first, 1.0)

    assert largest(look, [1.0] * 32, 1.02) == 26
