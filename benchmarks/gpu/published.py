"""Single latencies that vendors and projects publish, and what of the coefficients is fitted to them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from benchmarks.gpu.describe import at_batch, from_json
from benchmarks.gpu.stacks import LAUNCHED, launches_ms, way
from fxopt_plugins.targets.gpu import CALL_US
from fxopt_plugins.targets.gpu_kernels import TENSOR
from fxopt_plugins.targets.gpu_times import Coefficients, Table, devices, longer, milliseconds

NOISE = 0.15
# What is fitted: factors on the shares of the peak, of the bandwidth that products reach, and that others do; the floor of a
# kernel; how tiles fill, columns, terms and waves; the cache; float32; and the host's launches, two numbers of microseconds.
_START = np.log([1.0, 1.0, 1.0, 4.0, 24.0, 64.0, 0.3, 3.0, 0.9, 5.0, 5.0])
_WIDTH = np.array([0.5, 0.5, 0.5, 0.7, 0.7, 0.7, 0.7, 0.5, 0.2, 0.5, 0.7])
_HOST = slice(9, 11)  # of them are the host's
_USUAL = "TensorRT"  # begins the names of stacks that are TensorRT as NVIDIA runs it, which coefficients are meant for
_STACK = 0.25  # by how much others are usually slower or faster, a logarithm


@dataclass(frozen=True)
class Figures:
    """Published figures whose models were described.

    Attributes:
        rows: as in the data file.
        kernels: of each, at its batch, and how many there are of each kernel.
    """

    rows: tuple[dict[str, Any], ...]
    kernels: tuple[tuple[Table, NDArray[np.float64]], ...]

    @classmethod
    def read(cls, file: Path, described: dict[str, Any]) -> Self:
        """The figures in a file."""
        return cls.of(json.loads(file.read_text()), described)

    @classmethod
    def of(cls, given: Iterable[dict[str, Any]], described: dict[str, Any]) -> Self:
        """Figures, or what shall be foretold as if they were, which need no milliseconds."""
        rows, kernels = [], []
        for row in given:
            found = described.get(row["model"], {}).get(way(row["stack"], row["precision"]))
            if found is not None:
                entries = [(at_batch(kernel, row["batch"]), count) for kernel, count in from_json(found)]
                rows.append(row)
                kernels.append((Table.of([k for k, _ in entries]), np.array([c for _, c in entries], np.float64)))
        return cls(tuple(rows), tuple(kernels))

    def predict(self, by: Coefficients) -> NDArray[np.float64]:
        """Milliseconds of each figure."""
        found = [
            float(count @ milliseconds(table, devices()[row["device"]], by)) + CALL_US / 1e3
            for row, (table, count) in zip(self.rows, self.kernels, strict=True)
        ]
        return np.array(found)

    def fit(self, base: Coefficients) -> tuple[Coefficients, list[dict[str, Any]]]:
        """Coefficients for TensorRT from those for compiled kernels, and each figure foretold without its model's.

        Nine numbers are fitted to the figures, so that the shares of kinds stay as they were to one another, and how much
        slower each stack is that is not TensorRT by itself. Of a stack with figures of the one model alone that is not known.
        Each figure is foretold without itself as well, `"without it"`, where other figures of its stack are there.
        """
        true = np.array([row["ms"] for row in self.rows])
        models = np.array([row["model"] for row in self.rows])
        everywhere = np.ones(len(true), bool)
        predicted = np.zeros(len(true))
        for model in sorted(set(models)):
            predicted[models == model] = self._foretold(base, true, models != model)[models == model]
        alone = [self._foretold(base, true, np.arange(len(true)) != place)[place] for place in range(len(true))]
        spread = float(np.sqrt((np.log(predicted / true) ** 2).mean()))
        common = self._common(np.log(predicted / true))
        by = replace(_scaled(base, self._fitted(base, true, everywhere)), spread=spread, common=common)
        fitted = self._foretold(base, true, everywhere)
        rows = [
            {**row, "predicted": float(f"{p:.4g}"), "without it": float(f"{a:.4g}"), "fitted": float(f"{f:.4g}")}
            for row, p, a, f in zip(self.rows, predicted, alone, fitted, strict=True)
        ]
        return by, rows

    def _common(self, errors: NDArray[np.float64]) -> float:
        """How much of their errors two precisions of one model on one GPU have in common, as a correlation."""
        same = ("model", "device", "stack", "batch")
        pairs = [
            (errors[i], errors[j])
            for i, one in enumerate(self.rows)
            for j, other in enumerate(self.rows[:i])
            if all(one[key] == other[key] for key in same)
        ]
        if not pairs:
            return 0.0
        apart = np.mean([(left - right) ** 2 for left, right in pairs])
        each = np.mean([(left**2 + right**2) / 2 for left, right in pairs])
        return float(np.clip(1 - apart / (2 * each), 0.0, 0.95))

    @property
    def _stacks(self) -> list[str]:
        return sorted({row["stack"] for row in self.rows if not row["stack"].startswith(_USUAL)})

    def _by_stack(self, base: Coefficients, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Milliseconds of each figure with its stack's slowness, logarithms of which stand behind those of coefficients."""
        slower = dict(zip(self._stacks, np.exp(values[len(_START) :]).tolist(), strict=True))
        factors = np.array([slower.get(row["stack"], 1.0) for row in self.rows])
        device = self.predict(_scaled(base, values)) * factors
        return np.where(self._is_launched, longer(device, self._launches(*np.exp(values[_HOST]))), device)

    @property
    def _is_launched(self) -> NDArray[np.bool_]:
        return np.array([row["stack"] in LAUNCHED for row in self.rows])

    def _launches(self, launch_us: float, prepared_us: float) -> NDArray[np.float64]:
        """Milliseconds that the host takes for the launches of each figure."""
        return np.array([launches_ms(table, count, launch_us, prepared_us) for table, count in self.kernels])

    def _foretold(self, base: Coefficients, true: NDArray[np.float64], of: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Milliseconds of all figures by a fit to some."""
        return self._by_stack(base, self._fitted(base, true, of))

    def _fitted(self, base: Coefficients, true: NDArray[np.float64], of: NDArray[np.bool_]) -> NDArray[np.float64]:
        start = np.concatenate([_START, np.zeros(len(self._stacks))])
        width = np.concatenate([_WIDTH, np.full(len(self._stacks), _STACK)])

        def off(values: NDArray[np.float64]) -> NDArray[np.float64]:
            errors = np.log(self._by_stack(base, values) / true)[of] / NOISE
            return np.concatenate([errors, (values - start) / width])

        found: NDArray[np.float64] = least_squares(off, start, loss="soft_l1", f_scale=1.5, ftol=1e-5, max_nfev=60).x
        return found


def _scaled(base: Coefficients, values: NDArray[np.float64]) -> Coefficients:
    found = np.exp(values[: len(_START)]).tolist()
    compute, products, others, floor, columns, terms, waves, cache, single, launch, _ = found
    return replace(
        base,
        compute={kind: share * (compute if kind in TENSOR else 1.0) for kind, share in base.compute.items()},
        memory={kind: share * (products if kind in TENSOR else others) for kind, share in base.memory.items()},
        floor_us=floor,
        columns=columns,
        terms=terms,
        waves=waves,
        cache=cache,
        single=single,
        launch_us=launch,
    )
