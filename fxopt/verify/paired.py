"""How much worse a metric became, judged on the same samples before and after.

The difference is taken sample by sample, so what makes samples hard or easy cancels. Intervals, by what there is:

- A rate whose samples are right or wrong (top-1): the score interval of Tango, "Equivalence test and confidence interval
  for the difference in proportions for the paired-sample design" (1998), which excludes 0 where McNemar's test does.
- The same without a single flip: exact. The share of samples that flip is at most `1 - (1 - confidence)^(1/n)`, the
  upper bound of Clopper and Pearson (1934), near 3/n at 95%; so the drop is at most that, and at least minus that.
- All else: the BCa bootstrap of Efron, "Better bootstrap confidence intervals" (1987), over samples. Of another rate
  (mean IoU, character error rate) that fewer than ten samples changed, it is widened to the exact bound: so few changes
  tell a bootstrap too little.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fxopt.contracts.cost import Drop, Interval, Unit
from fxopt.contracts.metric import Metric
from fxopt.errors import InputError, MetricError
from fxopt.verify.score import value

CONFIDENCE = 0.95
RESAMPLES = 2000
_FEW = 10  # samples, or samples that differ: drawing among so few says next to nothing of others
_ROUNDING = 1e-12

Array = NDArray[np.float64]
Bounds = Callable[[float], tuple[float, float]]


@dataclass(frozen=True)
class PairedDrop:
    """The worsening of a metric from the original to a candidate; negative where it became better.

    Attributes:
        metric: what was compared.
        original: its value for the original.
        candidate: its value for the candidate.
        samples: how many the values are over.
        differing: how many samples have other statistics.
        method: of the interval: `"score"`, `"exact"` or `"bootstrap"`.
    """

    metric: Metric
    original: float
    candidate: float
    samples: int
    differing: int
    method: Literal["score", "exact", "bootstrap"]
    _bounds: Bounds = field(repr=False, compare=False)

    @classmethod
    def between(
        cls,
        metric: Metric,
        original: torch.Tensor,
        candidate: torch.Tensor,
        *,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> PairedDrop:
        """The drop between the statistics of two models, a row a sample, the same samples in the same order.

        Args:
            metric: whose statistics.
            original: float64 of shape (samples, k), as `Metric.collect` gives them.
            candidate: the same.
            seed: of the bootstrap; the order of the samples does not matter.
            resamples: of the bootstrap.

        Raises:
            MetricError: the shapes differ, there is no sample, or a value is not finite.
        """
        if original.shape != candidate.shape:
            shapes = f"{list(original.shape)} and {list(candidate.shape)}"
            raise MetricError(f"{metric.spec()}: statistics of the shapes {shapes} are not of the same samples")
        before, after = value(metric, original), value(metric, candidate)
        differing = int((original != candidate).any(1).sum())
        count = len(original)
        both = torch.cat([original, candidate])
        method: Literal["score", "exact", "bootstrap"] = "bootstrap"
        if metric.rate and both.shape[1] == 1 and bool(((both == 0) | (both == 1)).all()):
            change = (original - candidate)[:, 0] * _sign(metric)
            flips = int((change > 0).sum()), int((change < 0).sum())
            method, bounds = ("score", _score_bounds(*flips, count)) if differing else ("exact", _exact_bounds(count))
        elif metric.rate and not differing:
            method, bounds = "exact", _exact_bounds(count)
        else:
            bounds = _bootstrap_bounds(metric, original.numpy(), candidate.numpy(), seed, resamples)
            if metric.rate and differing < _FEW:
                bounds = _wider(bounds, _exact_bounds(count))
        return cls(metric, before, after, count, differing, method, bounds)

    @property
    def drop(self) -> float:
        """The estimate, in the metric's own unit."""
        return _sign(self.metric) * (self.original - self.candidate) + 0.0

    def interval(self, confidence: float = CONFIDENCE, unit: Unit = "") -> Interval:
        """The drop with its two-sided interval; infinite for the bootstrap of few samples.

        Args:
            confidence: of the interval.
            unit: as of a `Drop`; `""` is the metric's own.

        Raises:
            InputError: percentage points of what is no rate, or a percentage where the original's value is 0.
        """
        scale = self._scale(unit)
        low, high = self._bounds((1 - confidence) / 2)
        return Interval(self.drop / scale, low / scale, high / scale)

    def upper(self, confidence: float = CONFIDENCE) -> float:
        """What the drop is at most, with this one-sided confidence; in the metric's own unit."""
        return self._bounds(1 - confidence)[1]

    def limit(self, budget: Drop) -> float:
        """A budget in the metric's own unit.

        Raises:
            InputError: as `interval`.
        """
        return budget.value * self._scale(budget.unit)

    def keeps(self, budget: Drop, confidence: float | None = None) -> bool:
        """Whether the estimate is within the budget; with a confidence, whether the drop's upper bound is.

        Raises:
            InputError: as `interval`.
        """
        return self.fault(budget, confidence) is None

    def fault(self, budget: Drop, confidence: float | None = None) -> str | None:
        """Why the budget is not kept, in words; None if it is.

        Raises:
            InputError: as `interval`.
        """
        reached = self._reached(confidence)
        if reached <= self.limit(budget) + _ROUNDING * max(1.0, abs(self.original)):
            return None
        scale, unit = self._scale(budget.unit), budget.unit
        which = ""
        if confidence is not None and math.isinf(reached):
            which = f", or more: so few samples prove nothing with {confidence:.0%} confidence"
        elif confidence is not None:
            which = f" or, with {confidence:.0%} confidence, by up to {reached / scale:.3g}{unit}"
        allowed = f"--max-drop allows {budget.value:g}{unit}"
        samples = "1 sample" if self.samples == 1 else f"{self.samples} samples"
        if self.drop < 0 and not math.isinf(reached):
            which = which.replace(" or, with", ", but with").replace(", by up to", " perhaps worse, by up to")
        direction = "better" if self.drop < 0 else "worse"
        return (
            f"{self.metric.spec()} is {direction} by {abs(self.drop) / scale:.3g}{unit}{which} ({allowed}; {samples})"
        )

    def excess(self, budget: Drop, confidence: float | None = None) -> float:
        """How many times the budget it is, by the estimate or its upper bound; infinite where nothing is allowed.

        Raises:
            InputError: as `interval`.
        """
        limit = self.limit(budget)
        return self._reached(confidence) / limit if limit > 0 else math.inf

    def _reached(self, confidence: float | None) -> float:
        return self.drop if confidence is None else self.upper(confidence)

    def samples_needed(self, budget: Drop, confidence: float = CONFIDENCE) -> int | None:
        """About how many samples would show that the budget is kept, if the estimate stays as it is.

        None where the estimate itself does not keep it, or nothing can be said from what there is.

        Raises:
            InputError: as `interval`.
        """
        limit = self.limit(budget)
        if self.method == "exact":
            return samples_without_flip(limit, confidence)
        room, width = limit - self.drop, self.upper(confidence) - self.drop
        if room <= 0 or not math.isfinite(width):
            return None
        return max(1, math.ceil(self.samples * (width / room) ** 2))

    def to_json(self, confidence: float = CONFIDENCE) -> dict[str, Any]:
        """Plain data: values and drop in the metric's own unit, infinite ends of the interval as None."""
        interval = self.interval(confidence)
        ends = {name: end if math.isfinite(end) else None for name, end in interval.to_json().items()}
        return {
            "metric": self.metric.spec(),
            "original": self.original,
            "candidate": self.candidate,
            "drop": ends,
            "confidence": confidence,
            "samples": self.samples,
            "differing": self.differing,
            "method": self.method,
        }

    def _scale(self, unit: Unit) -> float:
        """One of a unit in the metric's own."""
        check_unit(self.metric, unit)
        name = self.metric.spec()
        if unit == "%" and not self.metric.relative and not self.original:
            raise InputError(f"{name} is 0 for the original, and no percentage of that; give a number in its own unit")
        return {"pt": 0.01, "%": 0.01 if self.metric.relative else abs(self.original) / 100, "": 1.0}[unit]


def check_unit(metric: Metric, unit: Unit) -> None:
    """Refuse a unit that no drop of the metric has.

    Raises:
        InputError: percentage points of what is no rate.
    """
    if unit == "pt" and not metric.rate:
        raise InputError(
            f"percentage points (pt) are of rates, which {metric.spec()} is not;"
            f" give a number in its own unit, or a percentage{_of_a_rate(metric)}"
        )


def check_budget(metric: Metric, budget: Drop) -> None:
    """Refuse a budget that no drop of the metric has, or that allows all of a rate.

    Raises:
        InputError: as `check_unit`; or a rate may become 0.
    """
    check_unit(metric, budget.unit)
    points = {"pt": budget.value, "%": budget.value, "": 100 * budget.value}[budget.unit]
    if metric.rate and points >= 100:
        meant = (
            f"; {budget.value:g} percentage points are {budget.value:g}pt"
            if budget.unit == "" and budget.value < 100
            else ""
        )
        raise InputError(f"--max-drop {budget}: {metric.spec()} lies between 0 and 1, so all of it might go{meant}")


def _of_a_rate(metric: Metric) -> str:
    """How a metric is told to be a rate, where that is one of its options."""
    optional = "rate" in {field.name for field in dataclasses.fields(metric)}
    return "; if its scores lie between 0 and 1, say so by its option rate=true" if optional else ""


def samples_without_flip(share: float, confidence: float = CONFIDENCE) -> int | None:
    """How many samples without a single flip show that at most this share of all flips.

    0.005 takes 598 at 95%. None for a share of 0, which no number shows.
    """
    if share <= 0:
        return None
    return 1 if share >= 1 else math.ceil(math.log(1 - confidence) / math.log1p(-share))


def _sign(metric: Metric) -> int:
    return 1 if metric.direction == "higher" else -1


def _exact_bounds(count: int) -> Bounds:
    """Without a flip: the share of samples that flip, either way."""

    def bounds(tail: float) -> tuple[float, float]:
        share = 1 - tail ** (1 / count)
        return -share, share

    return bounds


def _score_bounds(worse: int, better: int, count: int) -> Bounds:
    """Tango's interval for the difference of paired proportions, from the flips for the worse and for the better."""
    from scipy import optimize, special

    def score(drop: float) -> float:
        """The difference from `drop` in standard errors under it, with the nuisance parameter at its most likely."""
        b = (2 * count - worse + better) * drop - worse - better
        c = -better * drop * (1 - drop)
        least = (math.sqrt(max(b * b - 8 * count * c, 0.0)) - b) / (4 * count)  # share of flips for the better
        variance = count * (2 * least + drop * (1 - drop))
        gap = worse - better - count * drop
        return gap / math.sqrt(max(variance, 1e-300)) if gap else 0.0  # all flips one way: no variance, no gap

    estimate = (worse - better) / count

    def end(quantile: float, far: float) -> float:
        """Where the score is `quantile`, between the estimate and `far`, which it is if the score never gets there."""
        edge = far * (1 - 1e-9)
        if (score(edge) - quantile) * far > 0:
            return far
        return float(optimize.brentq(lambda drop: score(drop) - quantile, min(estimate, edge), max(estimate, edge)))

    def bounds(tail: float) -> tuple[float, float]:
        quantile = -float(special.ndtri(tail))
        return end(quantile, -1.0), end(-quantile, 1.0)

    return bounds


def _bootstrap_bounds(metric: Metric, original: Array, candidate: Array, seed: int, resamples: int) -> Bounds:
    """BCa over samples; infinite where there are few."""
    from scipy import special

    count, width = original.shape
    if count < _FEW:
        return lambda tail: (-math.inf, math.inf)
    rows = np.concatenate([original, candidate], 1)
    rows = rows[np.lexsort(rows.T)]  # so that the order of the samples does not matter
    sign = _sign(metric)

    def drop(sums: Array, samples: int) -> float:
        """As `PairedDrop.drop`, NaN where there is no value for lack of what is counted."""
        parts = torch.from_numpy(sums)
        return sign * (metric.value(parts[:width], samples) - metric.value(parts[width:], samples))

    random, total = np.random.default_rng(seed), rows.sum(0)
    draws = np.array(
        [drop(np.bincount(random.integers(count, size=count), minlength=count) @ rows, count) for _ in range(resamples)]
    )
    left_out = np.array([drop(total - row, count - 1) for row in rows])
    draws, left_out = draws[np.isfinite(draws)], left_out[np.isfinite(left_out)]
    if not len(draws):
        return lambda tail: (-math.inf, math.inf)
    estimate = drop(total, count)
    below = (np.sum(draws < estimate) + np.sum(draws == estimate) / 2) / len(draws)
    bias = float(special.ndtri(np.clip(below, 0.5 / len(draws), 1 - 0.5 / len(draws))))
    deviations = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    spread = float(np.sum(deviations**2)) ** 1.5
    acceleration = float(np.sum(deviations**3)) / (6 * spread) if spread > 0 else 0.0

    def bounds(tail: float) -> tuple[float, float]:
        ends = []
        for quantile in (float(special.ndtri(tail)), -float(special.ndtri(tail))):
            moved = bias + quantile
            ends.append(np.quantile(draws, special.ndtr(bias + moved / (1 - acceleration * moved))))
        return float(ends[0]), float(ends[1])

    return bounds


def _wider(first: Bounds, second: Bounds) -> Bounds:
    def bounds(tail: float) -> tuple[float, float]:
        lows, highs = zip(first(tail), second(tail), strict=True)
        return min(lows), max(highs)

    return bounds
