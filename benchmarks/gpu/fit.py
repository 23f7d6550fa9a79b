"""The coefficients of `fxopt_plugins.targets.gpu_times`, fitted to published latencies of whole models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import least_squares, nnls

from benchmarks.gpu.describe import at_batch, from_json, rows
from fxopt_plugins.targets.gpu_kernels import KINDS, TENSOR
from fxopt_plugins.targets.gpu_times import (
    SHARPNESS,
    Coefficients,
    Device,
    Table,
    devices,
    longer,
    milliseconds,
    parts,
)

Array = NDArray[np.float64]

NOISE = 0.12  # of a published latency, relative: what the fit gives way to
_STEP = 1e-4  # of a coefficient's logarithm, for slopes
_SCALARS = ("floor_us", "columns", "terms", "waves")
# A depthwise convolution without a kernel of its own fills one column of a tile; a trip to memory takes what it is said to.
_SHARES = {**dict.fromkeys(TENSOR, 0.6), "depthwise_huge": 1 / 128, "serial": 1.0}
_USUAL = np.log([*(_SHARES.get(kind, 0.3) for kind in KINDS), *(0.75 for _ in KINDS), 5.0, 32.0, 64.0, 0.5])
_WIDTH = np.array([0.7] * len(KINDS) + [0.6] * len(KINDS) + [1.0] * len(_SCALARS))  # how far from the usual is usual


@dataclass(frozen=True)
class Rows:
    """Published latencies of one card with the kernels behind them.

    Attributes:
        device: the card.
        table: the kernels of all models.
        count: how many there are of each.
        model: number of the model that each is of.
        names, families: of the models.
        milliseconds: published, of an image.
        batch: images in a call.
        simple: GMACs and millions of activations of an image, a row a model.
    """

    device: Device
    table: Table
    count: Array
    model: NDArray[np.int64]
    names: tuple[str, ...]
    families: NDArray[np.str_]
    milliseconds: Array
    batch: Array
    simple: Array

    @classmethod
    def of(cls, card: str, fit: str, described: dict[str, Any]) -> Self:
        """The rows of a card of models that were described.

        Args:
            card: a device of the target.
            fit: which of the descriptions is how the card's models were run.
            described: as `describe.read` gives it.
        """
        kernels, count, model, names, families, simple, times, batch = ([] for _ in range(8))  # type: ignore[var-annotated]
        published = rows(card)
        for key, item in described.items():
            name, _, size = key.rpartition("@")
            row = published.get((name, int(size))) if fit in item and name else None
            if row is None:
                continue
            for kernel, number in from_json(item[fit]):
                kernels.append(at_batch(kernel, int(row["batch"])))
                count.append(number)
                model.append(len(names))
            names.append(key)
            families.append(item["family"])
            simple.append((row["gmacs"], row["macts"]))
            times.append(row["ms"] / row["batch"])
            batch.append(row["batch"])
        return cls(
            devices()[card],
            Table.of(kernels),
            np.array(count, np.float64),
            np.array(model),
            tuple(names),
            np.array(families),
            np.array(times),
            np.array(batch, np.float64),
            np.array(simple),
        )

    def some(self, wanted: NDArray[np.bool_]) -> Rows:
        """The rows of some models."""
        kept, number = wanted[self.model], np.cumsum(wanted) - 1
        numbers = {name: values[kept] for name, values in self.table.numbers.items()}
        return Rows(
            self.device,
            Table(self.table.kind[kept], self.table.dtype[kept], numbers),
            self.count[kept],
            number[self.model[kept]],
            tuple(name for name, there in zip(self.names, wanted, strict=True) if there),
            self.families[wanted],
            self.milliseconds[wanted],
            self.batch[wanted],
            self.simple[wanted],
        )

    def predict(self, by: Coefficients) -> Array:
        """Milliseconds of an image of each model."""
        times = self.count * milliseconds(self.table, self.device, by)
        return np.bincount(self.model, weights=times, minlength=len(self.names)) / self.batch


def coefficients(values: Array, spread: float = 0.3) -> Coefficients:
    """Coefficients from the logarithms that are fitted."""
    found, kinds = np.exp(values), len(KINDS)
    scalars = dict(zip(_SCALARS, found[2 * kinds :].tolist(), strict=True))
    compute, memory = (dict(zip(KINDS, found[at : at + kinds].tolist(), strict=True)) for at in (0, kinds))
    return Coefficients(compute, memory, **scalars, spread=spread)


def fit(given: Rows, evaluations: int = 30) -> Array:
    """Logarithms of coefficients by which latencies are predicted best, drawn to the usual ones (ridge, soft L1 loss)."""

    def off(values: Array) -> Array:
        errors = np.log(given.predict(coefficients(values)) / given.milliseconds) / NOISE
        return np.concatenate([errors, (values - _USUAL) / _WIDTH])

    def slope(values: Array) -> Array:
        return np.concatenate([_slopes(given, values) / NOISE, np.diag(1 / _WIDTH)])

    found: Array = least_squares(off, _USUAL, slope, loss="soft_l1", f_scale=1.5, max_nfev=evaluations).x
    return found


def _slopes(given: Rows, values: Array) -> Array:
    """How logarithms of predictions change with those of coefficients, a row a model: with shares by what they divide."""
    models, kinds = len(given.names), len(KINDS)
    by = coefficients(values)
    each = parts(given.table, given.device, by)
    whole = longer(*each)
    predicted = given.predict(by)
    found = np.zeros((models, len(values)))
    cell = given.model * kinds + given.table.kind
    for place, part in enumerate(each):
        grows = given.count * whole * (part / whole) ** SHARPNESS
        shares = slice(place * kinds, (place + 1) * kinds)
        sums = np.bincount(cell, weights=grows, minlength=models * kinds).reshape(models, kinds)
        found[:, shares] = -sums / (predicted * given.batch)[:, None] * (values[shares] < 0)  # shares are 1 at most
    for scalar in range(2 * kinds, len(values)):
        moved = values.copy()
        moved[scalar] += _STEP
        found[:, scalar] = (given.predict(coefficients(moved)) / predicted - 1) / _STEP
    return found


def two_coefficients(given: Rows, others: Rows) -> Array:
    """The simple predictor to be beaten: what a GMAC and an activation take, by least squares of relative errors."""
    weights, _ = nnls(given.simple / given.milliseconds[:, None], np.ones(len(given.names)))
    return np.asarray(others.simple @ weights)


def held_out(given: Rows) -> tuple[Array, Array]:
    """Each family's latencies by fits that saw none of it: by kernels, and by two coefficients."""
    mine, simple = np.zeros(len(given.names)), np.zeros(len(given.names))
    for family in sorted(set(given.families)):
        out = given.families == family
        rest, there = given.some(~out), given.some(out)
        mine[out] = there.predict(coefficients(fit(rest)))
        simple[out] = two_coefficients(rest, there)
    return mine, simple


def figures(predicted: Array, true: Array) -> dict[str, float]:
    """Mean and median absolute percentage error, Kendall's tau, and the standard deviation of the logarithm."""
    errors, logs = np.abs(predicted / true - 1), np.log(predicted / true)
    return {
        "models": len(true),
        "mape": float(errors.mean()),
        "median": float(np.median(errors)),
        "tau": float(stats.kendalltau(predicted, true).statistic) if len(true) > 1 else 1.0,
        "spread": float(np.sqrt((logs**2).mean())),
    }


def kept(values: Sequence[float], digits: int = 4) -> list[float]:
    """Numbers as they are written to files."""
    return [float(f"{value:.{digits}g}") for value in values]
