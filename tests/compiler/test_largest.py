"""How much of a plan stays, where more is not right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fxopt.compiler.largest import largest


def looks(count: int, limit: int) -> tuple[int | None, list[int]]:
    """What is found, and where it was looked, if up to `limit` of `count` are right; no build of nothing is."""
    seen: list[int] = []

    def right(first: int) -> int | None:
        seen.append(first)
        return first if 0 < first <= limit else None

    return largest(right, count), seen


@given(st.integers(1, 1000), st.data())
def test_what_stays_is_right_and_misses_at_most_a_sixteenth(count: int, data: st.DataObject) -> None:
    limit = data.draw(st.integers(0, count - 1))
    found, seen = looks(count, limit)
    assert limit - max(1, count // 16) < (found or 0) <= limit
    assert found is None or found in seen
    assert len(seen) <= 20


def test_a_part_that_is_wrong_by_chance_costs_little() -> None:
    """Of 32, those of 28 are wrong by a flip or two; the next smaller part is looked at, not one of half the size."""
    assert largest(lambda first: None if first in (30, 28) else first, 32) == 26
