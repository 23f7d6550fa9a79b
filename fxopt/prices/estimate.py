"""What a piece costs: measured where it was, else interpolated from others of its kind.

What is interpolated is the efficiency, the share of the roofline that kernels reach: times differ by a factor of a thousand
from one layer to the next, efficiencies vary slowly (Williams, Waterman and Patterson, "Roofline", CACM 2009). They are
taken for a Gaussian process over the logarithms of what a piece computes and moves, with one part that all kinds of call of
a sort share and one of each kind (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter 2).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from fxopt.contracts.price import Estimate, Piece
from fxopt.prices.table import Price

Array = NDArray[np.float64]

_SHARED, _OWN, _NOISE = 0.35, 0.25, 0.05  # standard deviations of the logarithm of efficiency
_LENGTH = 1.5  # in logarithms of flops and bytes: over a factor of about four, efficiencies become another matter
_UNKNOWN_EFFICIENCY, _UNKNOWN_SPREAD = 0.3, 0.8
_MOST = 600  # neighbours of a sort that an estimate is made from


@dataclass(frozen=True)
class Roofline:
    """The most that a machine does with the threads that a call has.

    Attributes:
        flops: a second, by dtype; of others as of float32.
        bytes: a second, from and to main memory.
        start_s: the least that a kernel takes.
    """

    flops: Mapping[str, float]
    bytes: float
    start_s: float = 1e-6

    def reaching(self, known: Iterable[Price]) -> Roofline:
        """The roofline, raised to what was measured: a peak that is taken too low would make what is faster impossible."""
        flops, moved = dict(self.flops), self.bytes
        for price in known:
            features, seconds = price.features, price.milliseconds / 1e3
            dtype = features["dtype"] if features["dtype"] in flops else "float32"
            flops[dtype] = max(flops[dtype], features["flops"] / seconds)
            moved = max(moved, _moved(features) / seconds)
        return replace(self, flops=flops, bytes=moved)

    def milliseconds(self, features: Mapping[str, Any]) -> float:
        """The least that a piece takes, if what it computes, or what it moves, were all."""
        peak = self.flops.get(features["dtype"], self.flops["float32"])
        return 1e3 * (self.start_s + max(float(features["flops"]) / peak, _moved(features) / self.bytes))


def _moved(features: Mapping[str, Any]) -> float:
    return float(features["read"] + features["weights"] + features["written"])


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
        self._processes: dict[str, _Process | None] = {}

    def estimate(self, piece: Piece) -> Estimate:
        """What a piece is expected to take."""
        known = self._prices.get(piece.kernel)
        if known is not None:
            return Estimate(known.milliseconds, _finite(known.spread), known.source)
        alike = self._by_bare.get(piece.features["bare"])
        if alike:
            logs = [math.log(price.milliseconds) for price in alike]
            spread = math.sqrt(_NOISE**2 + float(np.var(logs)))
            return Estimate(math.exp(sum(logs) / len(logs)), spread, "context")
        bound = self._roofline.milliseconds(piece.features)
        process = self._process(piece.features["sort"])
        if process is None:
            return Estimate(bound / _UNKNOWN_EFFICIENCY, _UNKNOWN_SPREAD, "roofline")
        efficiency, spread = process.at(piece.features)
        return Estimate(bound / min(math.exp(efficiency), 1.0), spread, "interpolated")

    @cached_property
    def _by_bare(self) -> dict[str, list[Price]]:
        found: dict[str, list[Price]] = {}
        for price in self._prices.values():
            found.setdefault(price.features["bare"], []).append(price)
        return found

    def _process(self, sort: str) -> _Process | None:
        if sort not in self._processes:
            known = [price for price in self._prices.values() if price.features.get("sort") == sort]
            known.sort(key=lambda price: -price.count)
            self._processes[sort] = _Process(known[:_MOST], self._roofline) if len(known) > 1 else None
        return self._processes[sort]


class _Process:
    """Logarithms of efficiencies of pieces of one sort."""

    def __init__(self, known: Sequence[Price], roofline: Roofline) -> None:
        self._at = np.array([_coordinates(price.features) for price in known])
        self._kinds = np.array([_kind(price.features) for price in known])
        found = [roofline.milliseconds(price.features) / price.milliseconds for price in known]
        values = np.log(np.array(found))
        self._mean = float(np.mean(values))
        noise = np.array([_finite(price.spread) ** 2 / price.count + _NOISE**2 for price in known])
        matrix = _covariance(self._at, self._kinds, self._at, self._kinds) + np.diag(noise)
        self._factor = linalg.cho_factor(matrix, lower=True)
        self._weights = linalg.cho_solve(self._factor, values - self._mean)

    def at(self, features: Mapping[str, Any]) -> tuple[float, float]:
        """The logarithm of a piece's efficiency, and its standard deviation."""
        where, kinds = np.array([_coordinates(features)]), np.array([_kind(features)])
        across = _covariance(where, kinds, self._at, self._kinds)[0]
        variance = _SHARED**2 + _OWN**2 - across @ linalg.cho_solve(self._factor, across)
        return self._mean + float(across @ self._weights), math.sqrt(max(float(variance), _NOISE**2))


def _covariance(left: Array, left_kinds: NDArray[Any], right: Array, right_kinds: NDArray[Any]) -> Array:
    squares = ((left[:, None, :] - right[None, :, :]) ** 2).sum(axis=2) / _LENGTH**2
    near = np.exp(-0.5 * squares)
    same = left_kinds[:, None] == right_kinds[None, :]
    return np.asarray(near * (_SHARED**2 + _OWN**2 * same))


def _coordinates(features: Mapping[str, Any]) -> list[float]:
    return [math.log(1.0 + features[name]) for name in ("flops", "read", "weights", "written")]


def _kind(features: Mapping[str, Any]) -> str:
    return f"{features['main']} {features['dtype']}"


def _finite(spread: float) -> float:
    """A spread; of one observation nothing is known but how much such differ."""
    return spread if math.isfinite(spread) else 2 * _NOISE
