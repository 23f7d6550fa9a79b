"""Intervals and decisions on paired timings. No process, no clock: numbers in, numbers out.

One pair is the figures of two variants measured in the same round, in random order; its ratio is free of drift. The
interval is on the *median* of the ratios, from order statistics: swapping two equal variants is a fair coin whatever
the noise, so the sign test behind it is exact under spikes, drift and bursts, where an interval on the mean is not.
(Tried on recorded rounds: Hodges-Lehmann intervals are as wide on one workload and 30% to 40% wider on two.)

What order statistics cannot see: two processes that host the same artifact differ for good, by where their memory
lies. Their standard deviation, `PLACEMENT`, was 0.1% to 0.3% where tried (with outliers: see `interleave`), and without
it two processes of the same 1 ms kernel "differ" in half of all comparisons. It enters every interval in quadrature,
its variance divided by the number of process pairs that the ratios come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fxopt.contracts.cost import Interval

CONFIDENCE = 0.995
PLACEMENT = 0.003


@dataclass(frozen=True)
class Ratio:
    """The ratio of a variant's latency to the reference's: below 1 is faster.

    Attributes:
        interval: on the median of the paired ratios, at the confidence asked for, however the measurement stopped.
        p_value: two-sided, against 1, for `holm`. At most `1 - confidence` exactly where the interval excludes 1.
        pairs: number of pairs.
    """

    interval: Interval
    p_value: float
    pairs: int

    @property
    def faster(self) -> bool:
        """Whether it is a gain, before any correction for the number of comparisons."""
        return self.interval.high < 1

    @property
    def slower(self) -> bool:
        """Whether it is a loss."""
        return self.interval.low > 1


def median_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The median with its exact order-statistic interval; (-inf, inf) where there are too few values for one."""
    ordered = np.sort(np.asarray(values, float))
    rank = int(np.searchsorted(_levels(len(ordered)), 1 - confidence, side="right")) - 1
    low, high = (ordered[rank], ordered[-1 - rank]) if rank >= 0 else (-math.inf, math.inf)
    return Interval(float(np.median(ordered)), float(low), float(high))


def ratio(
    variant: ArrayLike,
    reference: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
    share: float = 1.0,
    processes: int = 1,
    placement: float = PLACEMENT,
) -> Ratio:
    """Compare two variants by the figures that they reached in the same rounds.

    Args:
        variant: one positive figure (any unit) a round.
        reference: the same for the reference, same length.
        confidence: of the interval.
        share: part of `1 - confidence` that may be spent here, where this is one of several looks at growing data.
        processes: how many pairs of processes the rounds come from, in equal parts.
        placement: standard deviation of the log latency between processes that host the same artifact.
    """
    from scipy import special  # here: workers import this package too, and start in half the time without it

    logs = np.sort(np.log(np.asarray(variant, float)) - np.log(np.asarray(reference, float)))
    estimate = float(np.median(logs))
    systematic = placement * math.sqrt(2 / processes)
    levels = _levels(len(logs))

    def bounds(rank: int) -> tuple[float, float]:
        widening = -float(special.ndtri(levels[rank] / 2)) * systematic
        return (
            estimate - math.hypot(estimate - logs[rank], widening),
            estimate + math.hypot(logs[-1 - rank] - estimate, widening),
        )

    excluding = [level for rank, level in enumerate(levels) if not bounds(rank)[0] <= 0 <= bounds(rank)[1]]
    rank = int(np.searchsorted(levels, (1 - confidence) * share, side="right")) - 1
    low, high = bounds(rank) if rank >= 0 else (-math.inf, math.inf)
    interval = Interval(math.exp(estimate), math.exp(low), math.exp(high))
    return Ratio(interval, min(1.0, excluding[0] / share) if excluding else 1.0, len(logs))


def _levels(count: int) -> NDArray[np.float64]:
    """For each rank, 1 - the coverage of the interval from the rank-th lowest to the rank-th highest value."""
    from scipy import special

    return np.asarray(2 * special.bdtr(np.arange((count + 1) // 2), count, 0.5), np.float64)


def holm(p_values: Mapping[str, float], alpha: float = 1 - CONFIDENCE) -> frozenset[str]:
    """The comparisons that stand at family-wise error `alpha`, by Holm's step-down procedure.

    Args:
        p_values: one for each comparison that the run made, the refuted ones too.
        alpha: probability of even one false difference among them.
    """
    standing: list[str] = []
    for index, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        if p_values[name] > alpha / (len(p_values) - index):
            break
        standing.append(name)
    return frozenset(standing)


def block_figure(nanoseconds: Sequence[int] | NDArray[np.int64]) -> float:
    """One figure for a block of calls: the lower quartile.

    Other people's load only ever adds time, so a low quantile has the least noise: across recorded blocks of 5 to 40
    calls the quartile halves that of the median. The minimum is better still for a one-thread kernel and worse than the
    median for a network on two threads.
    """
    return float(np.quantile(np.asarray(nanoseconds), 0.25))
