"""What is measured while cores are shared is measured again, for a while; where they always are, that is borne."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from fxopt.measure import cores, least_disturbed, undisturbed


class Stranger:
    """Shares cores from time to time; its clock goes on by what is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, crowding: Iterator[float]) -> None:
        self.now, self._crowding, self.alone = (
            1000.0,
            crowding,
            1.0,
        )  # a process that has been at work for long may wait
        self.seen: list[float] = []
        self.handover: Iterator[float]
        monkeypatch.setattr(cores.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(cores.time, "sleep", self.pass_by)
        monkeypatch.setattr(cores, "_milliseconds", self._milliseconds)
        self.handover = repeat(1.0)
        monkeypatch.setattr(cores, "_handover_ms", lambda threads: next(self.handover))
        monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1})
        monkeypatch.setattr(cores, "_cores", cores.Cores())
        cores._cores.since = 0.0

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def _milliseconds(self, threads: int, _: int) -> float:
        if threads == 1:
            return self.alone
        self.seen.append(next(self._crowding))
        return self.seen[-1]

    def burst(self) -> Callable[[], float]:
        """Takes a second, and results in how crowded it was when it began."""

        def work() -> float:
            self.now += 1.0
            return self.seen[-1]

        return work


def test_where_no_core_is_shared_nothing_is_done_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(monkeypatch, repeat(1.1))
    assert undisturbed(stranger.burst()) == [1.1]
    assert undisturbed(stranger.burst(), 3.0) == [1.1] * 3
    assert stranger.now == 1004.0


def test_bursts_that_a_stranger_came_into_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(monkeypatch, chain([1.0, 1.6, 1.6, 1.6, 1.1], repeat(1.0)))
    assert undisturbed(stranger.burst(), 2.0) == [1.0, 1.1]


def test_the_stranger_is_waited_for_though_each_thread_is_as_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """One who shares all cores slows one thread as well: what one takes just now is no measure."""
    stranger = Stranger(monkeypatch, chain([1.0, 1.0, 1.6, 1.6, 1.6], repeat(1.1)))
    undisturbed(stranger.burst())
    stranger.alone = 1.6
    assert undisturbed(stranger.burst()) == [1.1]
    assert stranger.seen == [1.0, 1.0, 1.6, 1.6, 1.6, 1.1, 1.1]


def test_after_a_while_the_least_disturbed_bursts_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(monkeypatch, chain([1.0, 1.0, 2.0, 1.8, 1.8], repeat(1.9)))
    undisturbed(stranger.burst())
    found = undisturbed(stranger.burst(), 2.0)
    assert cores._PATIENCE_S < stranger.now - 1001.0 < cores._PATIENCE_S + 6.0
    assert 1.8 in found
    assert 2.0 not in found


def test_where_cores_are_always_shared_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(monkeypatch, repeat(1.7))
    assert undisturbed(stranger.burst(), 2.0) == [1.7, 1.7]
    assert stranger.now == 1002.0


def test_cores_that_have_no_cache_in_common_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by itself computes as fast as ever; what they hand to one another takes twice as long."""
    stranger = Stranger(monkeypatch, repeat(1.0))
    stranger.handover = chain([1.0, 1.0], repeat(2.3, 5), repeat(1.1))
    undisturbed(stranger.burst())
    looks = len(stranger.seen)
    assert len(undisturbed(stranger.burst())) == 1
    assert len(stranger.seen) - looks == 7


def test_what_another_process_knows_of_the_cores_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one that has begun while they are apart does not take that for what is usual."""
    stranger = Stranger(monkeypatch, repeat(1.0))
    stranger.handover = chain(repeat(2.3, 5), repeat(1.1))
    cores.learn({"2": [1.0, 1.1], "4": [9.0, 1.0]})
    cores.learn({"2": [1.5, 1.0]})
    assert cores.known() == {"2": [1.0, 1.0], "4": [9.0, 1.0]}
    undisturbed(stranger.burst())
    assert len(stranger.seen) == 7


def test_where_cores_are_always_apart_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(monkeypatch, repeat(1.0))
    stranger.handover = repeat(2.3)
    undisturbed(stranger.burst(), 3.0)
    assert stranger.now == 1003.0


def test_what_one_thread_does_hangs_on_no_other_core(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(monkeypatch, repeat(1.0))
    stranger.handover = chain([1.0, 1.0], repeat(2.3))
    undisturbed(stranger.burst())
    undisturbed(stranger.burst(), 2.0, threads=1)
    assert stranger.now == 1003.0


def test_what_is_handed_over_is_timed_in_every_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer it is, the longer that takes."""
    short = min(cores._handover_ms(3) for _ in range(5))
    monkeypatch.setattr(cores, "_HANDED", 64 * cores._HANDED)
    assert min(cores._handover_ms(3) for _ in range(5)) > 8 * short > 0


def test_a_process_waits_for_a_part_of_its_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Stranger(monkeypatch, chain([1.0, 1.0], repeat(1.8)))
    stranger.now = cores._cores.since
    undisturbed(stranger.burst())
    for _ in range(60):
        undisturbed(stranger.burst())
    share = (cores._cores.waited_s - cores._PATIENCE_S) / stranger.now
    assert 0.8 * cores._SHARE < share < 1.2 * cores._SHARE


def test_one_thread_does_not_wait_for_a_second_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that share a core are in one another's way, one is not."""
    stranger = Stranger(monkeypatch, chain([1.0, 1.0], repeat(1.9)))
    undisturbed(stranger.burst())
    now = stranger.now
    assert len(undisturbed(stranger.burst(), 2.0, threads=1)) == 2
    assert stranger.now == now + 2.0


def test_a_look_at_the_cores_takes_about_as_long_on_any_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for slow in (1.0, 8.0):
        known = cores.Cores()
        monkeypatch.setattr(cores, "_milliseconds", lambda threads, calls, slow=slow: 0.02 * slow * calls)
        known.now(2)
        assert known.alone_ms == pytest.approx(1e3 * cores._LOOK_S, rel=0.1)


def test_of_all_calls_the_fastest_quarter_is_the_least_disturbed() -> None:
    assert least_disturbed([5.0, 1.0, 5.0, 2.0, 5.0, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]) == [1, 3, 5]
    assert least_disturbed([2.0, 1.0]) == [1, 0]


def test_threads_that_share_one_core_are_found_out() -> None:
    """All on one core, as a hypervisor may have it: each of four takes as long as all of them, one by itself does not."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores._milliseconds(4, 20) > 2 * cores._milliseconds(1, 20)
    finally:
        os.sched_setaffinity(0, before)
