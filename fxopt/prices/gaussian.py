"""A Gaussian process over points of several kinds, whose lengths and variances are fitted to what was seen.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): chapter 2 for predictions, sections 4.2 and 5.4 for
the Matérn covariance with a length for each coordinate and for the marginal likelihood.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Array = NDArray[np.float64]

_FITTED = 120  # points that lengths and variances are fitted to: the work grows with the cube
_TOGETHER, _APART = (
    1.0,
    0.7,
)  # spread of logarithms of the parameters about what they are thought to be: lengths, deviations
_ROOT = math.sqrt(5.0)


@dataclass(frozen=True)
class Covariance:
    """How alike values at two points are: a part that all kinds share, and a level and a part of each kind's own.

    Attributes:
        lengths: of each coordinate, over which values become another matter.
        shared: standard deviation of the part that all kinds share.
        own: of the part of each kind.
        level: of the level of each kind.
        noise: of a value seen.
    """

    lengths: tuple[float, ...]
    shared: float
    own: float
    level: float
    noise: float

    @property
    def variance(self) -> float:
        """Of a value that nothing is known of, but for the mean."""
        return self.shared**2 + self.own**2 + self.level**2

    def between(self, left: Array, left_kinds: NDArray[Any], right: Array, right_kinds: NDArray[Any]) -> Array:
        """Covariances of the values at two sets of points, without noise."""
        distance = np.sqrt((((left[:, None, :] - right[None, :, :]) / np.array(self.lengths)) ** 2).sum(axis=2))
        near = (1 + _ROOT * distance + 5 / 3 * distance**2) * np.exp(-_ROOT * distance)
        same = left_kinds[:, None] == right_kinds[None, :]
        return np.asarray(near * (self.shared**2 + self.own**2 * same) + self.level**2 * same)

    @property
    def _logarithms(self) -> Array:
        return np.log([*self.lengths, self.shared, self.own, self.level, self.noise])

    @classmethod
    def _of(cls, logarithms: Array) -> Covariance:
        *lengths, shared, own, level, noise = map(float, np.exp(logarithms))
        return cls(tuple(lengths), shared, own, level, noise)

    def fitted(self, at: Array, kinds: NDArray[Any], values: Array, variances: Array) -> Covariance:
        """The one under which what was seen is most likely, where this one is what is thought beforehand.

        Args:
            at: points, one a row.
            kinds: of the points.
            values: seen there, of mean 0.
            variances: of the values, beside the noise that all have.
        """
        start = self._logarithms
        squares = (at[:, None, :] - at[None, :, :]) ** 2
        same = (kinds[:, None] == kinds[None, :]).astype(float)
        width = np.array([_TOGETHER] * len(self.lengths) + [_APART] * 4)

        def loss(logarithms: Array) -> tuple[float, Array]:
            try:
                value, slope = self._of(logarithms).unlikeliness(squares, same, values, variances)
            except linalg.LinAlgError:
                return math.inf, np.zeros_like(logarithms)
            off = (logarithms - start) / width
            return value + 0.5 * float(off @ off), slope + off / width

        bounds = [(middle - 3 * about, middle + 3 * about) for middle, about in zip(start, width, strict=True)]
        found = optimize.minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40, "ftol": 1e-5}
        )
        return self._of(found.x)

    def unlikeliness(self, squares: Array, same: Array, values: Array, variances: Array) -> tuple[float, Array]:
        """Minus the logarithm of the likelihood, but for a constant, and its slopes in the logarithms of the parameters."""
        scaled = squares / np.array(self.lengths) ** 2
        distance = np.sqrt(scaled.sum(axis=2))
        decay = np.exp(-_ROOT * distance)
        near = (1 + _ROOT * distance + 5 / 3 * distance**2) * decay
        amplitude = self.shared**2 + self.own**2 * same
        matrix = near * amplitude + self.level**2 * same + np.diag(variances + self.noise**2)
        factor = linalg.cho_factor(matrix, lower=True)
        weights = linalg.cho_solve(factor, values)
        inverse = linalg.cho_solve(factor, np.eye(len(values)))
        outer = inverse - np.outer(weights, weights)
        along = outer * amplitude * (5 / 3) * (1 + _ROOT * distance) * decay
        slopes = [
            *(0.5 * np.einsum("ij,ijk->k", along, scaled)),
            self.shared**2 * float((outer * near).sum()),
            self.own**2 * float((outer * near * same).sum()),
            self.level**2 * float((outer * same).sum()),
            self.noise**2 * float(np.trace(outer)),
        ]
        value = 0.5 * float(values @ weights) + float(np.log(np.diag(factor[0])).sum())
        return value, np.array(slopes)


class Process:
    """Values seen at some points, and what they say of others."""

    def __init__(
        self, at: Array, kinds: NDArray[Any], values: Array, variances: Array, thought: Covariance, fit: bool = True
    ) -> None:
        """Begin with what was seen.

        Args:
            at: points, one a row.
            kinds: of the points.
            values: seen there.
            variances: of the values.
            thought: what is thought of the covariance beforehand.
            fit: whether it is fitted to the values.
        """
        self._at, self._kinds = at, kinds
        self._mean = float(np.mean(values))
        centred = values - self._mean
        some = np.random.default_rng(0).permutation(len(values))[:_FITTED]
        self.covariance = thought.fitted(at[some], kinds[some], centred[some], variances[some]) if fit else thought
        matrix = self.covariance.between(at, kinds, at, kinds)
        matrix += np.diag(variances + self.covariance.noise**2)
        self._factor = linalg.cho_factor(matrix, lower=True)
        self._weights = linalg.cho_solve(self._factor, centred)

    def at(self, where: Array, kind: str) -> tuple[float, float]:
        """The value at a point, and its standard deviation."""
        across = self.covariance.between(where[None, :], np.array([kind]), self._at, self._kinds)[0]
        variance = self.covariance.variance - float(across @ linalg.cho_solve(self._factor, across))
        return self._mean + float(across @ self._weights), math.sqrt(max(variance, 0.0) + self.covariance.noise**2)

    @cached_property
    def left_out(self) -> Array:
        """How far off each value is foretold from all others, in the order in which they were given (section 5.4.2)."""
        inverse = linalg.cho_solve(self._factor, np.eye(len(self._weights)))
        return np.asarray(self._weights / np.diag(inverse))
