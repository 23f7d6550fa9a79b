"""Times of layers: what a disturbed call does to them, and what they add up to."""

from __future__ import annotations

import itertools
import time

import pytest

from fxopt_plugins.engines import common
from fxopt_plugins.engines.common import profiled_calls, typical
from fxopt_plugins.engines.onnxruntime import _a_call


def test_a_call_that_was_disturbed_has_no_say() -> None:
    assert typical([1.0, 1.2, 90.0, 1.1, 1.0, 1.1, 0.9, 70.0]) == pytest.approx(1.1, abs=0.06)
    assert typical([3.0]) == 3.0


def test_quick_models_are_called_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each burst is of some calls; what a call takes decides for how long there are bursts."""
    monkeypatch.setattr(common, "undisturbed", lambda burst, seconds, _: (asked.append(seconds), [burst(), burst()])[1])
    asked: list[float] = []
    for each_s in (0.0, 0.05):
        calls: list[int] = []

        def call(calls: list[int] = calls, each_s: float = each_s) -> None:
            calls.append(1)
            time.sleep(each_s)

        made, counted = profiled_calls(call, 1)
        assert made == len(calls)
        assert set(counted) <= set(range(2, made))
    assert asked[0] < common._PROFILE_S < asked[1]


def test_the_fastest_of_the_calls_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour may come and go within a burst."""
    monkeypatch.setattr(common, "undisturbed", lambda burst, seconds, threads: [burst() for _ in range(threads)])
    waits = itertools.cycle([0.001, 0.02, 0.02, 0.02])
    made, counted = profiled_calls(lambda: time.sleep(next(waits)), 4)
    assert len(counted) >= 3
    assert all(index % 4 == 0 for index in counted)
    assert len(counted) == (made - 2) // 4


def test_a_node_in_a_loop_counts_as_often_as_it_runs_in_a_call() -> None:
    assert _a_call([9.0, 9.0, *[1.0, 2.0] * 4], 5, range(1, 5)) == 3.0
    assert _a_call([9.0, 1.0, 1.0, 1.0, 80.0], 5, [1, 2, 3]) == 1.0


def test_a_node_that_runs_in_some_calls_alone_counts_on_average() -> None:
    assert _a_call([1.0, 1.0], 4, [2, 3]) == 0.5
    assert _a_call([1.0] * 6, 4, [2, 3]) == 1.5
