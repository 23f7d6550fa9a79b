"""The smallest cause: of any failure a closed set of which nothing can be left out, found with few questions."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt.bisect.minimize import closed, reduce, smallest

Oracle = Callable[[frozenset[int]], bool]


class Counted:
    """An oracle that counts, and refuses questions about sets that are not closed."""

    def __init__(self, needs: dict[int, list[int]], fails: Oracle) -> None:
        self.needs, self.fails, self.asked = needs, fails, list[frozenset[int]]()

    def __call__(self, part: frozenset[int]) -> bool:
        assert closed(part, self.needs) == part
        assert part not in self.asked
        self.asked.append(part)
        return self.fails(part)


@st.composite
def things(draw: st.DrawFn, most: int = 40) -> tuple[list[int], dict[int, list[int]]]:
    count = draw(st.integers(1, most))
    needs = {i: draw(st.lists(st.integers(0, i - 1), max_size=2, unique=True)) if i else [] for i in range(count)}
    return list(range(count)), needs


def sinks(part: frozenset[int], needs: dict[int, list[int]]) -> frozenset[int]:
    return part - {need for thing in part for need in needs[thing]}


@given(things(), st.data())
def test_of_causes_that_stay_causes_as_things_are_added_one_of_the_smallest_is_found(
    drawn: tuple[list[int], dict[int, list[int]]], data: st.DataObject
) -> None:
    order, needs = drawn
    causes = data.draw(st.lists(st.frozensets(st.sampled_from(order), min_size=1, max_size=3), min_size=1, max_size=3))
    oracle = Counted(needs, lambda part: any(cause <= part for cause in causes))
    assert smallest(order, needs, oracle) in {closed(cause, needs) for cause in causes}


@given(things(8), st.data())
def test_whatever_the_oracle_says_what_is_found_is_closed_and_fails_and_nothing_can_be_left_out(
    drawn: tuple[list[int], dict[int, list[int]]], data: st.DataObject
) -> None:
    order, needs = drawn
    everything = frozenset(order)
    parts = chain.from_iterable(combinations(order, size) for size in range(len(order)))
    failing = {frozenset(part) for part in parts if data.draw(st.booleans())} | {everything}
    found = smallest(order, needs, Counted(needs, failing.__contains__))
    assert found in failing
    assert closed(found, needs) == found
    assert not [thing for thing in sinks(found, needs) if found - {thing} in failing]


@given(things(), st.data())
def test_one_thing_to_blame_takes_log2_questions_and_two(
    drawn: tuple[list[int], dict[int, list[int]]], data: st.DataObject
) -> None:
    order, needs = drawn
    blamed = data.draw(st.sampled_from(order))
    oracle = Counted(needs, lambda part: blamed in part)
    assert smallest(order, needs, oracle) == closed([blamed], needs)
    assert len(oracle.asked) <= math.ceil(math.log2(len(order))) + 2


@pytest.mark.parametrize("blamed", range(30))
def test_one_among_30_takes_7_questions_and_that_about_all(blamed: int) -> None:
    oracle = Counted({}, lambda part: blamed in part)
    assert smallest(range(30), {}, oracle) == {blamed}
    assert len(oracle.asked) <= 7


@pytest.mark.parametrize("pair", [(0, 1), (3, 27), (0, 29), (14, 15)])
def test_two_that_fail_only_together_are_found_as_two(pair: tuple[int, int]) -> None:
    oracle = Counted({}, lambda part: part.issuperset(pair))
    assert smallest(range(30), {}, oracle) == set(pair)
    assert len(oracle.asked) <= 2 * math.ceil(math.log2(30)) + 4


def test_where_nothing_at_all_fails_too_nothing_is_the_cause() -> None:
    assert smallest(range(5), {}, lambda part: True) == frozenset()


@given(things(), st.data())
def test_reducing_by_chunks_ends_as_small_as_one_by_one(
    drawn: tuple[list[int], dict[int, list[int]]], data: st.DataObject
) -> None:
    order, needs = drawn
    cause = data.draw(st.frozensets(st.sampled_from(order), max_size=4))

    def fails(part: frozenset[int]) -> bool:
        assert closed(part, needs) == part
        return cause <= part

    assert reduce(order, needs, fails, chunk=len(order) // 2) == closed(cause, needs)
    assert reduce(order, needs, fails) == closed(cause, needs)
