"""Intervals cover, decisions err as rarely as they claim. Simulations have fixed seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt.measure.statistics import PLACEMENT, block_figure, holm, median_interval, ratio


def test_median_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    missed = sum(median_interval(random.standard_cauchy(40), 0.9).excludes(0) for _ in range(2000))
    assert 0.06 < missed / 2000 < 0.1 + 3 * math.sqrt(0.09 / 2000)


def test_too_few_values_give_no_interval() -> None:
    assert median_interval([1.0, 2.0, 3.0]).high == math.inf
    assert ratio([1.0] * 5, [2.0] * 5).p_value > 0.005
    assert not ratio([1.0] * 5, [2.0] * 5).faster


@pytest.mark.parametrize(("pairs", "processes"), [(20, 1), (60, 3), (1000, 1)])
def test_equal_variants_in_differently_placed_processes_are_rarely_told_apart(pairs: int, processes: int) -> None:
    random = np.random.default_rng(1)
    apart = 0
    for _ in range(600):
        places = np.repeat(random.normal(0, PLACEMENT, (2, processes)), pairs // processes + 1, axis=1)[:, :pairs]
        a, b = np.exp(random.normal(0, 0.01, (2, pairs)) + places)
        apart += ratio(a, b, processes=processes).interval.excludes(1)
    assert apart <= 8  # 3 expected at most


def test_without_the_allowance_for_placement_processes_do_differ() -> None:
    random = np.random.default_rng(2)
    a, b = np.exp(random.normal(0, 0.001, (2, 60)))
    assert ratio(a * 1.003, b, placement=0).slower
    assert not ratio(a * 1.003, b).slower


def test_sixty_pairs_resolve_one_percent_and_a_half() -> None:
    random = np.random.default_rng(3)
    a, b = np.exp(random.normal(0, 0.01, (2, 200, 60)))
    found = [ratio(a[i] * 0.985, b[i], processes=3) for i in range(200)]
    assert sum(r.faster for r in found) > 180
    assert np.median([r.interval.high - r.interval.low for r in found]) < 0.025


RATIOS = st.lists(st.floats(0.5, 2), min_size=1, max_size=40)


@given(RATIOS, st.sampled_from([0.9, 0.99, 0.995]), st.sampled_from([1, 0.25]))
def test_p_value_and_interval_agree(values: list[float], confidence: float, share: float) -> None:
    result = ratio(values, np.ones(len(values)), confidence=confidence, share=share)
    assert result.interval.excludes(1) == (result.p_value <= 1 - confidence)
    assert result.interval.low <= result.interval.estimate <= result.interval.high


@given(RATIOS)
def test_swapping_the_variants_inverts_the_interval(values: list[float]) -> None:
    forth, back = (ratio(*pair) for pair in ((values, np.ones(len(values))), (np.ones(len(values)), values)))
    assert forth.interval.estimate == pytest.approx(1 / back.interval.estimate)
    assert forth.interval.low == pytest.approx(1 / back.interval.high)
    assert forth.p_value == back.p_value


def test_one_spike_moves_nothing() -> None:
    values = np.linspace(0.99, 1.01, 61)
    spiked = values.copy()
    spiked[-1] = 50
    assert ratio(spiked, np.ones(61)) == ratio(values, np.ones(61))


def test_holm_stops_at_the_first_that_falls() -> None:
    assert holm({"a": 0.001, "b": 0.01, "c": 0.03}, 0.05) == {"a", "b", "c"}
    assert holm({"a": 0.001, "b": 0.03, "c": 0.03}, 0.05) == {"a"}
    assert holm({"a": 0.02, "b": 0.02, "c": 0.02}, 0.05) == set()
    assert holm({}) == set()


def test_holm_keeps_the_family_wise_error() -> None:
    random = np.random.default_rng(4)
    wrong = sum(bool(holm({str(i): p for i, p in enumerate(random.random(20))}, 0.05)) for _ in range(2000))
    assert wrong / 2000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_the_figure_of_a_block_ignores_the_upper_half() -> None:
    assert block_figure(np.array([10, 10, 11, 12, 900])) == block_figure(np.array([10, 10, 11, 13, 90_000]))
