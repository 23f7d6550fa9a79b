"""The figures of one interleaved measurement, as a run keeps them in its journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fxopt.compiler import foretold
from fxopt.contracts.cost import Interval, Source
from fxopt.contracts.planner import Ratio
from fxopt.measure import CONFIDENCE


@dataclass(frozen=True)
class Measured:
    """One variant's figures from a session."""

    latency_ms: Interval
    p99_ms: float
    ratio: Ratio | None
    faster: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        ratio = None if self.ratio is None else {**self.ratio.interval.to_json(), "p": self.ratio.p_value}
        return {"latency_ms": self.latency_ms.to_json(), "p99_ms": self.p99_ms, "ratio": ratio, "faster": self.faster}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Measured:
        """The inverse of `to_json`."""
        ratio = data["ratio"]
        return cls(
            Interval.from_json(data["latency_ms"]),
            data["p99_ms"],
            None if ratio is None else Ratio(Interval.from_json(ratio), ratio["p"]),
            data["faster"],
        )


@dataclass(frozen=True)
class Session:
    """One interleaved measurement: figures by variant, the A/A floor, failures, rounds, and what ratios are to.

    Where nothing can be measured, its figures are predicted, and there are no rounds.
    """

    variants: dict[str, Measured]
    floor: Interval
    failures: dict[str, str]
    rounds: int
    base: str
    source: Source = "measured"

    @property
    def confidence(self) -> float:
        """Of its intervals, and of what counts as proven by it."""
        return CONFIDENCE if self.source == "measured" else foretold.CONFIDENCE

    @property
    def noise(self) -> float:
        """How far two measurements of one artifact may be apart, as a share."""
        return max(abs(self.floor.low - 1), abs(self.floor.high - 1))

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {
            "variants": {name: item.to_json() for name, item in self.variants.items()},
            "floor": self.floor.to_json(),
            "failures": self.failures,
            "rounds": self.rounds,
            "base": self.base,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Session:
        """The inverse of `to_json`."""
        return cls(
            {name: Measured.from_json(item) for name, item in data["variants"].items()},
            Interval.from_json(data["floor"]),
            data["failures"],
            data["rounds"],
            data["base"],
        )
