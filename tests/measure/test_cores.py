"""Measurements while threads share cores are made again; where they always do, that is borne."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from fxopt.measure import cores, undisturbed


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "_usual", {})
    monkeypatch.setattr(cores, "_PAUSE_S", 0.0)
    monkeypatch.setattr(cores, "_PATIENCE_S", 0.05)


def crowded(monkeypatch: pytest.MonkeyPatch, *found: float) -> list[float]:
    """What is found one time after the other, then the last for good; what was found is listed."""
    seen: list[float] = []

    def crowding(threads: int) -> float:
        seen.append(found[min(len(seen), len(found) - 1)])
        return seen[-1]

    monkeypatch.setattr(cores, "crowding", crowding)
    return seen


def counting() -> tuple[list[int], Callable[[], int]]:
    calls: list[int] = []

    def measure() -> int:
        calls.append(len(calls))
        return calls[-1]

    return calls, measure


def test_where_each_thread_has_a_core_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded(monkeypatch, 1.1)
    calls, measure = counting()
    assert undisturbed(2, measure) == 0
    assert calls == [0]


def test_it_is_waited_until_threads_no_longer_share_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = crowded(monkeypatch, 1.6, 1.6, 1.1)
    calls, measure = counting()
    assert undisturbed(2, measure) == 0
    assert seen == [1.6, 1.6, 1.1, 1.1]
    assert calls == [0]


def test_what_was_measured_while_they_came_to_share_them_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    crowded(monkeypatch, 1.1, 1.6, 1.6, 1.0)
    calls, measure = counting()
    assert undisturbed(2, measure) == 1
    assert calls == [0, 1]


def test_a_machine_on_which_they_always_share_them_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = crowded(monkeypatch, 1.6)
    _, measure = counting()
    assert undisturbed(2, measure) == 0
    waited = len(seen)
    assert waited > 2
    assert undisturbed(2, measure) == 1
    assert len(seen) == waited + 2


def test_what_is_never_undisturbed_is_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: Iterator[float] = iter([1.0, 1.6] * 10)
    monkeypatch.setattr(cores, "crowding", lambda threads: next(turns))
    calls, measure = counting()
    assert undisturbed(2, measure) == len(calls) - 1 < 4


def test_one_thread_shares_with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "crowding", lambda threads: pytest.fail("nothing to find out"))
    calls, measure = counting()
    assert undisturbed(1, measure) == 0
    assert calls == [0]


def test_threads_that_share_one_core_are_found_out() -> None:
    """All on one core, as a hypervisor may have it: each of four takes as long as all of them, one by itself does not."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores.crowding(4) > 2
    finally:
        os.sched_setaffinity(0, before)
