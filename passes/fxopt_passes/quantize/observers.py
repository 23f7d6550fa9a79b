"""The range of a tensor: what several observers say of its histogram, and which of them costs the model least.

A range that holds everything wastes integers on rare values; one that cuts them off changes these. Which is worse depends on
what the model makes of them, so each observer's range is tried on the calibration data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from fxopt import Observed
from fxopt_passes.quantize.placement import Grid, grid

BINS = 8192
_MOST_VALUES = 16384  # of a sample that go into a histogram; its ends are those of all values
_MUCH_WORSE = 2.0  # times the least squared error: beyond it, a few samples' gradients are no evidence
_ALIKE = 0.01  # of the whole range: ends that are no further apart are not told apart
_PARTS = torch.linspace(0.2, 1.0, 33, dtype=torch.float64)  # of a side of the range that are tried for the least error
_THRESHOLDS = torch.linspace(0.1, 1.0, 46, dtype=torch.float64)  # of the range that are tried for the least divergence

Range = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """What kind of integers a tensor takes: as the arguments of `grid`."""

    signed: bool
    symmetric: bool

    def grid(self, span: Range) -> Grid:
        """The grid of a range."""
        return grid(*span, self.signed, self.symmetric)


class Histogram:
    """How often values fall into each of `BINS` bins, which grow with the range.

    Attributes:
        counts: float64, shape (BINS,).
        low, high: the ends of the bins.
        least, greatest: the ends of the values seen, with 0.
        finite: whether all of them were finite.
    """

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.low = self.high = 0.0
        self.least = self.greatest = 0.0
        self.finite = True

    def add(self, value: torch.Tensor) -> None:
        """Count the values of a batch, whose first axis are samples."""
        flat = value.detach().reshape(len(value), -1).float() if value.dim() else value.detach().reshape(1, 1).float()
        if not flat.numel():
            return
        low, high = (float(end) for end in flat.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            self.finite = False
            return
        self.least, self.greatest = min(self.least, low), max(self.greatest, high)
        self._grow()
        step = flat.shape[1] // _MOST_VALUES + 1
        flat = flat[:, :: step + (step % 2 == 0)]  # an odd step meets all positions of even sizes
        if self.high > self.low:
            self.counts += torch.histc(flat, BINS, self.low, self.high).double()

    def filled(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The bins that hold something: their middles and counts, float64."""
        held = self.counts.nonzero()[:, 0]
        return self.low + (self.high - self.low) / BINS * (held.double() + 0.5), self.counts[held]

    def _grow(self) -> None:
        """Double the bins' width until they hold all values; two bins become one."""
        if self.low == self.high:
            self.low, self.high = self.least, self.greatest
            if self.high - self.low < 1e-30:
                self.low = self.high = 0.0
            return
        while self.least < self.low or self.greatest > self.high:
            width, merged = self.high - self.low, self.counts.reshape(-1, 2).sum(1)
            empty = torch.zeros_like(merged)
            if self.least < self.low:
                self.low -= width
                self.counts = torch.cat([empty, merged])
            else:
                self.high += width
                self.counts = torch.cat([merged, empty])


# -- observers -------------------------------------------------------------------------------------------------------


def min_max(seen: Histogram, kind: Kind) -> Range:
    """All values."""
    return seen.least, seen.greatest


def percentile(share: float, seen: Histogram, kind: Kind) -> Range:
    """All but the outermost values, `1 - share` of them at each end."""
    total = seen.counts.sum()
    if not total:
        return min_max(seen, kind)
    below = seen.counts.cumsum(0) / total
    width = (seen.high - seen.low) / BINS
    first = int((below > 1 - share).nonzero()[0])
    last = int((below >= share - 1e-12).nonzero()[0])
    low, high = min(seen.low + width * first, 0.0), max(seen.low + width * (last + 1), 0.0)
    return max(low, seen.least), min(high, seen.greatest)


def least_squares(seen: Histogram, kind: Kind) -> Range:
    """The range with the least mean squared error among parts of the whole, each side by itself."""
    spans = zip(*_sides(seen, kind, _PARTS), strict=True)
    return min(spans, key=lambda span: squared_error(seen, kind, span))


def squared_error(seen: Histogram, kind: Kind, span: Range) -> float:
    """The sum of squared errors that rounding within a range brings, by the middles of bins."""
    x, counts = seen.filled()
    numbers = kind.grid(span)
    steps = (x / numbers.scale).round_().clamp_(numbers.low - numbers.zero_point, numbers.high - numbers.zero_point)
    return float(steps.mul_(numbers.scale).sub_(x).square_() @ counts)


def entropy(seen: Histogram, kind: Kind) -> Range:
    """The range that loses least information: the least Kullback-Leibler divergence of the rounded distribution.

    As in S. Migacz, "8-bit inference with TensorRT" (GTC 2017): what is cut off counts at the ends of the reference; each
    integer's share of the rounded one is spread over those of its bins that hold something. Zeros, which an integer stands
    for exactly, count no more than what is beside them.
    """
    x, counts = seen.filled()
    if len(x) > 2:
        zero = int(x.abs().argmin())
        beside = counts[max(zero - 1, 0) : zero + 2].sort().values
        counts[zero] = torch.minimum(counts[zero], beside[-2])
    best, least = min_max(seen, kind), math.inf
    for part in _THRESHOLDS.tolist():
        span = (seen.least * part, seen.greatest * part)
        numbers = kind.grid(span)
        inside = (x >= span[0]) & (x <= span[1])
        if not inside.any():
            continue
        reference = counts[inside]
        levels = _integers(x[inside], numbers) - numbers.low
        sums = torch.zeros(256, dtype=torch.float64).index_add_(0, levels, reference)
        bins = torch.zeros(256, dtype=torch.float64).index_add_(0, levels, torch.ones_like(reference))
        rounded = (sums / bins.clamp_min(1))[levels]
        reference = reference.clone()
        reference[0] += counts[x < span[0]].sum()
        reference[-1] += counts[x > span[1]].sum()
        p, q = reference / reference.sum(), rounded / rounded.sum()
        divergence = float((p * (p / q).log()).sum())
        if divergence < least:
            best, least = span, divergence
    return best


OBSERVERS: dict[str, Callable[[Histogram, Kind], Range]] = {
    "minmax": min_max,
    "percentile99.9": partial(percentile, 0.999),
    "percentile99.99": partial(percentile, 0.9999),
    "percentile99.999": partial(percentile, 0.99999),
    "mse": least_squares,
    "entropy": entropy,
}


def _sides(seen: Histogram, kind: Kind, parts: torch.Tensor) -> tuple[list[float], list[float]]:
    """Ranges to try: both sides together where the grid is symmetric or one side is empty, else all pairs."""
    if kind.symmetric or not (seen.least < 0 < seen.greatest):
        return (parts * seen.least).tolist(), (parts * seen.greatest).tolist()
    few = parts[::2]
    lows, highs = torch.meshgrid(few * seen.least, few * seen.greatest, indexing="ij")
    return lows.reshape(-1).tolist(), highs.reshape(-1).tolist()


def _integers(x: torch.Tensor, numbers: Grid) -> torch.Tensor:
    return ((x / numbers.scale).round() + numbers.zero_point).clamp(numbers.low, numbers.high).long()


# -- measuring -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What the calibration data say of a tensor.

    Attributes:
        span: the range; None where its values are not finite.
        observer: the name of the one that gave it.
    """

    span: Range | None
    observer: str


def observe(
    batches: Iterable[Mapping[str, Observed]], names: Collection[str], means: Collection[tuple[str, int]]
) -> tuple[dict[str, Histogram], dict[tuple[str, int], torch.Tensor]]:
    """Histograms of some values, and the means of some.

    Args:
        batches: values by name.
        names: of those whose histogram is wanted.
        means: names and axes, counted from the end, of those whose mean over all other axes is wanted.

    Returns:
        Histograms by name; means in float64, shape (channels,).
    """
    seen: dict[str, Histogram] = {}
    sums: dict[tuple[str, int], torch.Tensor] = {}
    counts: dict[tuple[str, int], int] = {}
    for batch in batches:
        for name in names:
            seen.setdefault(name, Histogram()).add(batch[name].value)
        for key in means:
            value = batch[key[0]].value.detach()
            if value.numel():
                sums[key] = sums.get(key, 0) + _sums(value, key[1])
                counts[key] = counts.get(key, 0) + value.numel() // value.shape[key[1]]
    return seen, {key: total / counts[key] for key, total in sums.items()}


def _sums(value: torch.Tensor, axis: int) -> torch.Tensor:
    """Sums over all axes but one: within a sample in the value's own dtype, which copies nothing; else in float64."""
    axis %= value.dim()
    inner = [other for other in range(1, value.dim()) if other != axis]
    each = (value.sum(inner) if inner else value).double()
    return each.sum(0) if axis else each


def choose(
    seen: Mapping[str, Histogram],
    kinds: Mapping[str, Kind],
    observer: str,
    again: Callable[[], Iterable[Mapping[str, Observed]]],
) -> dict[str, Found]:
    """A range for each tensor.

    Args:
        seen: histograms by name.
        kinds: how each tensor is rounded.
        observer: one of `OBSERVERS`; or `"measured"`: for each tensor the one whose rounding costs least by
            1/2 E[(sum g dy)^2], with `g` the gradient of the log likelihood, `dy` the change of the value, the sum over
            a sample; among those whose squared error is at most twice the least one. Where there is no gradient, the
            squared error decides.
        again: the values once more, with gradients; called for `"measured"` only.

    Returns:
        By name.
    """
    names = [observer] if observer != "measured" else list(OBSERVERS)
    offers: dict[str, dict[str, Range]] = {}
    for name, histogram in seen.items():
        if histogram.finite:
            offers[name] = {item: OBSERVERS[item](histogram, kinds[name]) for item in names}
    tried = {name: _worth_trying(seen[name], kinds[name], spans) for name, spans in offers.items()}
    scores = {name: _Scores(kinds[name], spans) for name, spans in tried.items() if len(spans) > 1}
    if scores:
        for batch in again():
            for name, score in scores.items():
                score.add(batch[name])
    found = {}
    for name in seen:
        if name not in offers:
            found[name] = Found(None, "none")
            continue
        best = scores[name].best() if name in scores else next(iter(tried[name]))
        found[name] = Found(offers[name][best], best)
    return found


def _worth_trying(seen: Histogram, kind: Kind, spans: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges that differ from one another and have no more than so much of the least squared error."""
    errors = {name: squared_error(seen, kind, span) for name, span in spans.items()}
    bound, alike = _MUCH_WORSE * min(errors.values()), _ALIKE * (seen.greatest - seen.least)
    kept: dict[str, Range] = {}
    for name, (low, high) in spans.items():
        known = any(abs(low - a) <= alike and abs(high - b) <= alike for a, b in kept.values())
        if errors[name] <= bound and not known:
            kept[name] = (low, high)
    return kept


class _Scores:
    """What each observer's range does to a tensor."""

    def __init__(self, kind: Kind, spans: Mapping[str, Range]) -> None:
        self.names = list(spans)
        self.grids = [kind.grid(span) for span in spans.values()]
        self.squared = [0.0] * len(self.grids)
        self.cost = [0.0] * len(self.grids)
        self.graded = False

    def add(self, observed: Observed) -> None:
        value = observed.value.detach().float()
        value = value.reshape(len(value), -1) if value.dim() else value.reshape(1, 1)
        gradient = None if observed.gradient is None else observed.gradient.float().reshape(value.shape)
        self.graded = self.graded or gradient is not None
        for index, numbers in enumerate(self.grids):
            change = numbers.rounded(value).sub_(value)
            if gradient is None:
                self.squared[index] += float(torch.linalg.vector_norm(change, dtype=torch.float64)) ** 2
            else:
                self.cost[index] += float(torch.linalg.vecdot(change, gradient).double().square().sum())

    def best(self) -> str:
        cost = self.cost if self.graded else self.squared
        return self.names[cost.index(min(cost))]
