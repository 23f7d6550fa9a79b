"""Times of layers: what a disturbed call does to them, and what they add up to."""

from __future__ import annotations

import pytest

from fxopt_plugins.engines import common
from fxopt_plugins.engines.common import profiled_calls, typical
from fxopt_plugins.engines.onnxruntime import _a_call


def test_a_call_that_was_disturbed_has_no_say() -> None:
    assert typical([1.0, 1.2, 90.0, 1.1, 1.0, 1.1, 0.9, 70.0]) == pytest.approx(1.1, abs=0.06)
    assert typical([3.0]) == 3.0


@pytest.mark.parametrize(("seconds", "counted"), [(0.0, common._LEAST_PROFILED), (1e9, common._MOST_PROFILED)])
def test_quick_models_are_called_more_often(seconds: float, counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "_PROFILE_S", seconds)
    calls: list[int] = []
    assert profiled_calls(lambda: calls.append(1)) == counted
    assert len(calls) == counted + 1


def test_a_node_in_a_loop_counts_as_often_as_it_runs_in_a_call() -> None:
    assert _a_call([9.0, 9.0, *[1.0, 2.0] * 4], 5) == 3.0
    assert _a_call([9.0, 1.0, 1.0, 1.0, 80.0], 5) == 1.0


def test_a_node_that_runs_in_some_calls_alone_counts_on_average() -> None:
    assert _a_call([1.0, 1.0], 4) == 0.5
    assert _a_call([1.0] * 6, 4) == 1.5
