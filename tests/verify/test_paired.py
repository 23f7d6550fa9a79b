"""Drops on the same samples: their intervals, budgets, and how many samples it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from fxopt.contracts.cost import Drop
from fxopt.contracts.metric import Metric
from fxopt.errors import InputError, MetricError
from fxopt.verify.paired import PairedDrop, samples_without_flip
from fxopt_plugins.metrics.classes import KlDivergence, Top1
from fxopt_plugins.metrics.images import Psnr
from fxopt_plugins.metrics.segmentation import MeanIou
from fxopt_plugins.metrics.text import CharacterErrorRate
from fxopt_plugins.metrics.vectors import OutputError


def column(values: object) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values, float))[:, None]


def flips(worse: int, better: int, count: int) -> PairedDrop:
    """Of `count` samples so many became wrong, and so many right."""
    before, after = np.ones(count), np.ones(count)
    before[:better] = 0
    after[count - worse :] = 0
    return PairedDrop.between(Top1(), column(before), column(after))


# -- rates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("worse", "better", "count"), [(3, 1, 60), (9, 1, 60), (0, 7, 60), (20, 2, 600), (60, 0, 60)])
def test_the_score_interval_inverts_the_score_test(worse: int, better: int, count: int) -> None:
    """The test's nuisance parameter is found here by maximizing the likelihood itself."""

    def chi2(drop: float) -> float:
        def unlikely(share: float) -> float:  # of flips for the better
            shares = np.array([share + drop, share, 1 - drop - 2 * share])
            counts = np.array([worse, better, count - worse - better])
            return float(-np.sum(counts * np.log(np.maximum(shares, 1e-300))))

        low, high = max(0.0, -drop), (1 - drop) / 2
        share = optimize.minimize_scalar(unlikely, (low, high), bounds=(low, high), options={"xatol": 1e-12}).x
        return (worse - better - count * drop) ** 2 / (count * (2 * share + drop * (1 - drop)))

    interval = flips(worse, better, count).interval()
    assert interval.estimate == pytest.approx((worse - better) / count)
    for end in (interval.low, interval.high):
        if abs(end) < 1:
            assert chi2(end) == pytest.approx(stats.chi2.ppf(0.95, 1), rel=1e-3)
    assert interval.low < interval.estimate
    assert interval.high > interval.estimate or interval.estimate == 1


@given(worse=st.integers(0, 40), better=st.integers(0, 40))
@settings(deadline=None)
def test_the_interval_excludes_0_where_mcnemars_test_does(worse: int, better: int) -> None:
    statistic = (worse - better) ** 2 / (worse + better) if worse + better else 0.0
    assert flips(worse, better, 100).interval().excludes(0.0) == (statistic > stats.chi2.ppf(0.95, 1))


@given(worse=st.integers(0, 40), better=st.integers(0, 40))
@settings(deadline=None)
def test_the_interval_decides_as_mcnemars_exact_test_with_mid_p_but_in_border_cases(worse: int, better: int) -> None:
    number = worse + better
    exact = stats.binomtest(worse, number).pvalue - stats.binom.pmf(worse, number, 0.5) if number else 1.0
    if not 0.035 < exact < 0.065:
        assert flips(worse, better, 100).interval().excludes(0.0) == (exact < 0.05)


@given(count=st.integers(1, 30), data=st.data())
@settings(deadline=None)
def test_ends_are_ordered_and_in_range_for_any_flips(count: int, data: st.DataObject) -> None:
    worse = data.draw(st.integers(0, count))
    better = data.draw(st.integers(0, count - worse))
    interval, mirrored = flips(worse, better, count).interval(), flips(better, worse, count).interval()
    assert -1 <= interval.low <= interval.estimate <= interval.high <= 1
    assert interval.low < interval.high
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-7)


@pytest.mark.parametrize("count", [60, 600])
def test_without_a_flip_the_bound_is_that_of_clopper_and_pearson(count: int) -> None:
    drop = flips(0, 0, count)
    exact = stats.binomtest(0, count).proportion_ci(0.95, "exact").high
    assert drop.method == "exact"
    assert (drop.interval().low, drop.interval().high) == pytest.approx((-exact, exact))
    assert drop.upper(0.95) == pytest.approx(3 / count, rel=0.03)  # the rule of three


def test_the_first_flip_does_not_lower_the_bound() -> None:
    for count in (5, 60, 600):
        for confidence in (0.8, 0.95, 0.99):
            assert flips(1, 0, count).upper(confidence) > flips(0, 0, count).upper(confidence)


@pytest.mark.parametrize("count", [60, 600])
@pytest.mark.parametrize(("worse", "better"), [(0.005, 0.0), (0.01, 0.005), (0.05, 0.05), (0.2, 0.1)])
def test_95_percent_intervals_cover_the_true_drop_of_simulated_flips(count: int, worse: float, better: float) -> None:
    """Over all outcomes, weighted by their probability: no noise of a simulation."""
    covered = bounded = 0.0
    for (b, c), probability in outcomes(count, worse, better):
        drop = flips(b, c, count)
        interval = drop.interval(0.95)
        covered += probability * (interval.low <= worse - better <= interval.high)
        bounded += probability * (drop.upper(0.95) >= worse - better)
    assert covered > 0.935
    assert bounded > 0.935


def outcomes(count: int, worse: float, better: float) -> list[tuple[tuple[int, int], float]]:
    """Outcomes that matter, with their probabilities; what is left out counts as not covered."""
    spread = [math.ceil(5 * math.sqrt(count * share) + 3) if share else 0 for share in (worse, better)]
    middles = [round(count * share) for share in (worse, better)]
    pairs = [
        (b, c)
        for b in range(max(0, middles[0] - spread[0]), middles[0] + spread[0] + 1)
        for c in range(max(0, middles[1] - spread[1]), middles[1] + spread[1] + 1)
        if b + c <= count
    ]
    law = stats.multinomial(count, [worse, better, 1 - worse - better])
    found = [(pair, float(law.pmf([*pair, count - sum(pair)]))) for pair in pairs]
    return [(pair, probability) for pair, probability in found if probability > 1e-5]


def test_a_rate_of_errors_counts_flips_the_other_way() -> None:
    @dataclass(frozen=True)
    class Wrong(Top1):
        """Share of samples whose class is wrong."""

        name: ClassVar[str] = "wrong"
        direction: ClassVar[str] = "lower"

    before, after = column([0, 0, 0, 1]), column([1, 1, 0, 1])
    assert PairedDrop.between(Wrong(), before, after).drop == 0.5
    assert PairedDrop.between(Wrong(), before, after).interval() == flips(2, 0, 4).interval()


def test_another_rate_that_hardly_changed_is_not_surer_than_one_without_any_flip() -> None:
    errors, lengths = np.zeros(60), np.full(60, 20.0)
    same = torch.from_numpy(np.stack([errors, lengths], 1))
    changed = same.clone()
    changed[0, 0] = 1
    none, one = (PairedDrop.between(CharacterErrorRate(), same, other) for other in (same, changed))
    assert (none.method, one.method) == ("exact", "bootstrap")
    assert one.upper() >= none.upper() > 0.04
    assert one.interval().low <= none.interval().low < 0


# -- the bootstrap -----------------------------------------------------------------------------------------------------


def test_the_interval_is_that_of_scipys_bca_where_differences_are_skewed() -> None:
    random = np.random.default_rng(0)
    before, difference = random.exponential(1, 40), random.exponential(1, 40) ** 3
    drop = PairedDrop.between(KlDivergence(), column(before), column(before + difference), resamples=20000)
    bca, percentile = (
        stats.bootstrap((difference,), np.mean, n_resamples=20000, rng=1, method=method).confidence_interval
        for method in ("BCa", "percentile")
    )
    ends = drop.interval()
    assert drop.method == "bootstrap"
    assert (ends.low, ends.high) == pytest.approx((bca.low, bca.high), rel=0.05)
    assert (ends.low, ends.high) != pytest.approx((percentile.low, percentile.high), rel=0.05)


def test_it_covers_the_true_drop_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        before = random.normal(0, 3, 60)
        after = before + random.exponential(1, 60)
        interval = PairedDrop.between(KlDivergence(), column(before), column(after), resamples=400).interval()
        covered += interval.low <= 1 <= interval.high
    assert covered >= 180


def test_the_pairing_cancels_what_samples_have_in_common() -> None:
    random = np.random.default_rng(0)
    before = random.normal(30, 5, 100)
    after = before - random.normal(0.1, 0.05, 100)
    interval = PairedDrop.between(Psnr(), column(before), column(after)).interval()
    assert interval.estimate == pytest.approx(0.1, abs=0.02)
    assert interval.high - interval.low < 0.05


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_so() -> None:
    random = np.random.default_rng(0)
    before, after = column(random.normal(0, 1, 50)), column(random.normal(0, 1, 50))
    first, again, other = (PairedDrop.between(Psnr(), before, after, seed=seed).interval() for seed in (0, 0, 1))
    assert first == again != other
    assert first.high == pytest.approx(other.high, abs=0.1)


@pytest.mark.parametrize(("count", "proven"), [(2, False), (9, False), (10, True)])
def test_few_samples_prove_nothing_however_equal_their_differences(count: int, proven: bool) -> None:
    before = np.linspace(1, 2, count)
    drop = PairedDrop.between(KlDivergence(), column(before), column(before + 0.01))
    assert drop.keeps(Drop(0.1))
    assert drop.keeps(Drop(0.1), 0.95) == proven
    assert ("prove nothing" in (drop.fault(Drop(0.1), 0.95) or "")) == (not proven)
    assert math.isfinite(drop.interval().high) == proven


def test_a_resample_without_a_value_is_left_out() -> None:
    either, found = np.zeros((12, 1)), np.zeros((12, 1))
    either[:2] = 1  # in every ninth resample there is none of them
    found[0] = 1
    before = torch.from_numpy(np.concatenate([either, either], 1))
    after = torch.from_numpy(np.concatenate([found, either], 1))
    drop = PairedDrop.between(MeanIou(), before, after)
    assert (drop.drop, drop.method) == (0.5, "bootstrap")
    assert 0 <= drop.interval().low + 1 <= drop.interval().high + 1 <= 2


def test_one_sample_says_nothing_about_others() -> None:
    drop = PairedDrop.between(Psnr(), column([30.0]), column([29.0]))
    assert (drop.interval().low, drop.interval().high) == (-math.inf, math.inf)
    assert drop.to_json()["drop"] == {"estimate": 1.0, "low": None, "high": None}
    assert not drop.keeps(Drop(2.0), confidence=0.95)
    assert drop.samples_needed(Drop(2.0)) is None


# -- budgets -----------------------------------------------------------------------------------------------------------


def test_a_budget_in_points_is_kept_by_the_estimate_or_by_the_bound() -> None:
    drop = flips(5, 2, 600)
    assert drop.keeps(Drop(0.5, "pt"))
    assert not drop.keeps(Drop(0.5, "pt"), confidence=0.95)
    assert flips(0, 0, 600).keeps(Drop(0.5, "pt"), confidence=0.95)
    assert not flips(0, 0, 590).keeps(Drop(0.5, "pt"), confidence=0.95)


def test_a_drop_of_just_the_budget_keeps_it_whatever_the_rounding() -> None:
    for count in (200, 600, 1000, 1400):
        assert flips(count // 200, 0, count).keeps(Drop(0.5, "pt"))
        assert not flips(count // 200 + 1, 0, count).keeps(Drop(0.5, "pt"))


def test_a_percentage_is_relative_to_the_originals_value() -> None:
    drop = PairedDrop.between(Psnr(), column([30.0, 50.0]), column([29.8, 49.8]))
    assert drop.limit(Drop(1, "%")) == pytest.approx(0.4)
    assert drop.keeps(Drop(1, "%"))
    assert drop.keeps(Drop(0.3))
    assert not drop.keeps(Drop(0.1))


def test_an_interval_may_be_in_points_and_percent() -> None:
    drop = flips(3, 1, 100)
    own, points, percent = (drop.interval(0.9, unit) for unit in ("", "pt", "%"))
    assert points.estimate == pytest.approx(2)
    assert (points.low, points.high) == pytest.approx((100 * own.low, 100 * own.high))
    assert (percent.low, percent.high) == pytest.approx((points.low / 0.99, points.high / 0.99))


def test_a_percentage_of_a_relative_error_is_a_hundredth() -> None:
    drop = PairedDrop.between(OutputError(), column([0.0, 0.0]), column([0.009, 0.009]))
    assert drop.keeps(Drop(1, "%"))
    assert not drop.keeps(Drop(0.5, "%"))


def test_a_budget_that_cannot_be_meant_is_refused_in_one_line() -> None:
    psnr = PairedDrop.between(Psnr(), column([30.0]), column([29.0]))
    with pytest.raises(InputError, match=r"^percentage points \(pt\) are of rates, which psnr is not;"):
        psnr.keeps(Drop(0.5, "pt"))
    kl = PairedDrop.between(KlDivergence(), column([0.0]), column([0.1]))
    with pytest.raises(InputError, match="^kl is 0 for the original, and no percentage of that;"):
        kl.keeps(Drop(1, "%"))


def test_a_fault_says_how_far_over_it_is_in_the_unit_of_the_budget() -> None:
    assert flips(6, 0, 600).fault(Drop(0.5, "pt")) == ("top1 is worse by 1pt (--max-drop allows 0.5pt; 600 samples)")
    found = flips(2, 0, 600).fault(Drop(0.5, "pt"), 0.95)
    assert found is not None
    assert found.startswith("top1 is worse by 0.333pt or, with 95% confidence, by up to 1pt (--max-drop allows 0.5pt")


def test_what_became_better_and_proves_nothing_is_not_called_worse() -> None:
    found = flips(0, 1, 60).fault(Drop(0.5, "pt"), 0.95)
    assert found is not None
    assert found.startswith("top1 is better by 1.67pt, but with 95% confidence perhaps worse, by up to ")


def test_better_is_within_any_budget() -> None:
    assert flips(0, 5, 600).drop < 0
    assert flips(0, 5, 600).keeps(Drop(0, "pt"))


# -- how many samples --------------------------------------------------------------------------------------------------


def test_half_a_point_takes_about_600_samples_without_a_flip() -> None:
    needed = samples_without_flip(0.005)
    assert needed == flips(0, 0, 60).samples_needed(Drop(0.5, "pt")) == 598
    assert flips(0, 0, needed).keeps(Drop(0.5, "pt"), 0.95)
    assert not flips(0, 0, needed - 1).keeps(Drop(0.5, "pt"), 0.95)
    assert samples_without_flip(0) is None


def test_samples_needed_would_show_what_is_asked_if_the_estimate_stays() -> None:
    few = flips(1, 0, 400)
    needed = few.samples_needed(Drop(0.5, "pt"))
    assert needed is not None
    times = math.ceil(needed / 400)
    assert not few.keeps(Drop(0.5, "pt"), 0.95)
    assert flips(times, 0, 400 * times).keeps(Drop(0.5, "pt"), 0.95)
    assert flips(4, 0, 400).samples_needed(Drop(0.5, "pt")) is None


def test_samples_needed_of_a_mean_grow_with_the_square_of_its_spread() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 1, 100)
    noise -= noise.mean()
    narrow, wide = (
        PairedDrop.between(Psnr(), column(np.full(100, 30.0)), column(30 - spread * noise)).samples_needed(Drop(0.1))
        for spread in (0.5, 1.0)
    )
    assert narrow is not None
    assert wide == pytest.approx(4 * narrow, rel=0.05)
    assert narrow == pytest.approx((stats.norm.ppf(0.95) * 0.5 / 0.1) ** 2, rel=0.2)


# -- what is not of the same samples -----------------------------------------------------------------------------------


def test_statistics_of_other_samples_are_refused() -> None:
    with pytest.raises(MetricError, match=r"^top1: statistics of the shapes \[2, 1\] and \[3, 1\]"):
        PairedDrop.between(Top1(), column([1, 1]), column([1, 1, 1]))


def test_no_sample_is_an_error_of_one_line() -> None:
    metric: Metric = Top1()
    with pytest.raises(MetricError, match="^top1: there are no samples$"):
        PairedDrop.between(metric, column([]), column([]))


def test_what_was_found_is_plain_data() -> None:
    found = flips(3, 1, 100).to_json(0.9)
    assert (found["metric"], found["samples"], found["differing"], found["method"]) == ("top1", 100, 4, "score")
    assert (found["original"], found["candidate"], found["confidence"]) == (0.99, 0.97, 0.9)
    assert found["drop"]["low"] < found["drop"]["estimate"] < found["drop"]["high"]
