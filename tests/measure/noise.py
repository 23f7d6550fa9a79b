"""A shared machine, simulated: spikes, bursts, drift, and processes that differ for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fxopt.measure.interleave import TWIN


class Machine:
    """Blocks of variants with the true latencies given (ms). `reference` is whose twin `TWIN` is."""

    def __init__(
        self, latencies: Mapping[str, float], seed: int, placement: float = 0.002, noise: float = 0.01
    ) -> None:
        self.latencies = {**latencies, TWIN: next(iter(latencies.values()))}
        self.random = np.random.default_rng(seed)
        self.placement, self.noise = placement, noise
        self.load = self.drift = 0.0
        self.places: dict[str, float] = {}
        self.epochs: list[tuple[str, ...]] = []

    def begin_epoch(self, names: Sequence[str]) -> dict[str, str]:
        self.epochs.append(tuple(names))
        self.places = {name: self.random.normal(0, self.placement) for name in names}
        return {}

    def block(self, name: str) -> NDArray[np.int64]:
        self.drift += self.random.normal(0, 0.004)  # a clock that wanders by 10% over a run
        self.load = 0.7 * self.load + self.random.exponential(0.1) * (self.random.random() < 0.05)  # bursts over blocks
        spikes = self.random.exponential(0.5, 12) * (self.random.random(12) < 0.08)
        jitter = np.abs(self.random.normal(0, self.noise, 12)) + self.random.normal(0, self.noise / 2)
        logs = np.log(self.latencies[name]) + self.places[name] + self.drift + self.load + spikes + jitter
        return np.asarray(np.exp(logs) * 1e6, np.int64)
