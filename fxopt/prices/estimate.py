"""What a piece costs: measured where it was, else interpolated from others of its kind.

What is interpolated is the efficiency, the share of the roofline that kernels reach: times differ by a factor of a thousand
from one layer to the next, efficiencies vary slowly (Williams, Waterman and Patterson, "Roofline", CACM 2009). They are
taken for a Gaussian process over the logarithms of what a piece computes and moves, with one part that all kinds of call of
a sort share and one of each kind.

What a network comes by from one call to the next, its footprint, says where its bytes are found: the weights of one that fits
into the caches are there still, those of a large one are not, and the same kernel takes two or three times as long.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fxopt.contracts.price import Estimate, Piece
from fxopt.prices.gaussian import Array, Covariance, Process
from fxopt.prices.table import Price

_COORDINATES = ("flops", "read", "weights", "written", "calls")
_VECTOR, _BLOCK = 16, 64  # channels of which kernels like whole multiples
_NOISE = 0.05  # standard deviation of the logarithm of what a kernel takes from one build to another
# What is thought of the logarithms of efficiencies before any is seen: over a factor of about four in what a piece computes
# and moves they become another matter.
_LENGTHS = (
    *(1.5 for _ in _COORDINATES),
    5.0,
    1.5,
    1.5,
    0.4,
    3.0,
)  # the last of functions, of channels that are read and written, of what they are rounded up to, and of how even they are
_THOUGHT = Covariance(_LENGTHS, shared=0.35, own=0.25, level=0.2, noise=_NOISE)
_UNKNOWN_EFFICIENCY, _UNKNOWN_SPREAD = 0.3, 0.8
_WIDEST = 1.5  # spread: a factor of twenty either way in 95 of 100 cases
_MOST = 600  # neighbours of a sort that an estimate is made from
# Bytes of a footprint at which half of the weights have left the caches; how many bytes more one counts for that has; and what
# part of that one of the activations does, which another kernel has just written, or written over.
_CACHE, _COLD, _OF_ACTIVATIONS = 20e6, 2.0, 0.3
# Share of kernels that are below the bandwidth of a roofline, of those that move so many bytes.
USUAL, _ENOUGH = 0.8, 1e5


@dataclass(frozen=True)
class Roofline:
    """The most that a machine does with the threads that a call has.

    Attributes:
        flops: a second, by dtype; of others as of float32.
        bytes: a second, of those that are found in the caches; others count several times.
        start_s: the least that a kernel takes.
    """

    flops: Mapping[str, float]
    bytes: float
    start_s: float = 1e-6

    def reaching(self, known: Iterable[Price]) -> Roofline:
        """The roofline, raised to what was measured: the most that was computed in a second, and bytes as most kernels move them.

        Some move next to nothing of what they are said to, as where an engine writes a part to its place in the whole.
        """
        flops, rates = dict(self.flops), list[float]()
        for price in known:
            features, seconds = price.features, price.milliseconds / 1e3
            if features["sort"] == "view":
                continue  # which may move nothing
            dtype = features["dtype"] if features["dtype"] in flops else "float32"
            flops[dtype] = max(flops[dtype], features["flops"] / seconds)
            if (moved := _moved(features)) > _ENOUGH:
                rates.append(moved / seconds)
        usual = float(np.quantile(rates, USUAL)) if rates else 0.0
        return replace(self, flops=flops, bytes=max(self.bytes, usual))

    def milliseconds(self, features: Mapping[str, Any]) -> float:
        """About the least that a piece takes, if what it computes, or what it moves, were all."""
        return max(self.computing(features), 1e3 * _moved(features) / self.bytes) + 1e3 * self.start_s

    def computing(self, features: Mapping[str, Any]) -> float:
        """The least that what a piece computes takes, in milliseconds."""
        return 1e3 * float(features["flops"]) / self.flops.get(features["dtype"], self.flops["float32"])


def _moved(features: Mapping[str, Any]) -> float:
    """Bytes, of which those count more that are not found in a cache."""
    cold = _COLD / (1 + (_CACHE / max(features["footprint"], 1)) ** 2)
    weights, activations = features["weights"], features["read"] + features["written"]
    return float(weights * (1 + cold) + activations * (1 + _OF_ACTIVATIONS * cold))


class Estimator:
    """Prices of pieces at one place."""

    def __init__(self, prices: Mapping[str, Price], roofline: Roofline) -> None:
        """Begin with what is known.

        Args:
            prices: of the place, by kernel, as `KernelTable.prices` gives it.
            roofline: of the place.
        """
        self._prices = {name: price for name, price in prices.items() if "bare" in price.features}
        self._roofline = roofline.reaching(self._prices.values())
        self._processes: dict[str, Process | None] = {}

    def estimate(self, piece: Piece) -> Estimate:
        """What a piece is expected to take."""
        known = self._prices.get(piece.kernel)
        if known is not None:
            return Estimate(self._there(known, piece), _finite(known.spread), known.source)
        alike = self._by_bare.get(piece.features["bare"])
        if alike:
            logs = [math.log(self._there(price, piece)) for price in alike]
            spread = math.sqrt(_NOISE**2 + float(np.var(logs)))
            return Estimate(math.exp(sum(logs) / len(logs)), spread, "context")
        bound = self._roofline.milliseconds(piece.features)
        process = self._process(piece.features["sort"])
        if process is None:
            return Estimate(bound / _UNKNOWN_EFFICIENCY, _UNKNOWN_SPREAD, "roofline")
        efficiency, spread = process.at(_coordinates(piece.features), _kind(piece.features))
        expected = max(bound / math.exp(efficiency), self._roofline.computing(piece.features))
        return Estimate(expected, min(spread, _WIDEST), "interpolated")

    def _there(self, known: Price, piece: Piece) -> float:
        """What a kernel takes that was timed in a program of another footprint."""
        moved = self._roofline.milliseconds(piece.features) / self._roofline.milliseconds(known.features)
        return known.milliseconds * moved

    @cached_property
    def _by_bare(self) -> dict[str, list[Price]]:
        found: dict[str, list[Price]] = {}
        for price in self._prices.values():
            found.setdefault(price.features["bare"], []).append(price)
        return found

    def _process(self, sort: str) -> Process | None:
        if sort not in self._processes:
            known = [price for price in self._prices.values() if price.features.get("sort") == sort]
            known.sort(key=lambda price: -price.count)
            self._processes[sort] = _process(known[:_MOST], self._roofline) if len(known) > 1 else None
        return self._processes[sort]


def _process(known: Sequence[Price], roofline: Roofline) -> Process:
    """Logarithms of efficiencies of pieces of one sort.

    What else runs on a machine only adds to times. So a kernel that took longer than all others foretell counts the less,
    the longer it took.
    """
    at = np.array([_coordinates(price.features) for price in known])
    kinds = np.array([_kind(price.features) for price in known])
    values = np.log([roofline.milliseconds(price.features) / price.milliseconds for price in known])
    variances = np.array([_finite(price.spread) ** 2 / price.count for price in known])
    off = Process(at, kinds, values, variances, _THOUGHT).left_out
    usual = 1.4826 * float(np.median(np.abs(off)))  # a standard deviation, were they normal
    late = np.maximum(0.0, -off - usual)
    return Process(at, kinds, values, variances + late**2, _THOUGHT)


def _coordinates(features: Mapping[str, Any]) -> Array:
    """Sizes, among them of channels, and how well these fill vectors and blocks of them, as kernels take them."""
    channels = [channel for channel in features["channels"] if channel]
    rounded = sum(math.log(-(-channel // _VECTOR) * _VECTOR / channel) for channel in channels)
    even = sum(math.log2(math.gcd(channel, _BLOCK)) for channel in channels)
    functions = math.log1p(features["functions"])  # whether there are any matters more than how many
    ends = [math.log(channel) for channel in (channels[0], channels[-1])] if channels else [0.0, 0.0]
    return np.array([*(math.log1p(features[name]) for name in _COORDINATES), functions, *ends, rounded, even])


def _kind(features: Mapping[str, Any]) -> str:
    return f"{features['main']} {features['dtype']}"


def _finite(spread: float) -> float:
    """A spread; of one observation nothing is known but how much such differ."""
    return spread if math.isfinite(spread) else 2 * _NOISE
