"""Figures with their uncertainty: `Interval`, `Cost`, and the user's `Budget`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from fxopt.contracts import plain
from fxopt.errors import InputError

Source = Literal["measured", "predicted"]
Unit = Literal["pt", "%", ""]
_DROP = re.compile(r"\s*((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(pt|%|)\s*")


@dataclass(frozen=True)
class Interval:
    """A point estimate with its confidence interval, in the unit of its owner."""

    estimate: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether `value` lies outside the interval."""
        return not self.low <= value <= self.high

    def to_json(self) -> dict[str, float]:
        """Plain data that `from_json` reads back."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}

    @classmethod
    def from_json(cls, data: Mapping[str, float]) -> Self:
        """The inverse of `to_json`."""
        return cls(data["estimate"], data["low"], data["high"])


@dataclass(frozen=True)
class Cost:
    """What running a Program costs.

    Attributes:
        latency_ms: milliseconds a call.
        size_bytes: bytes of weights or of the artifact.
        peak_bytes: bytes of live activations at the peak; None where unknown.
        energy: an estimate in relative units; None where unknown.
        source: whether the latency was measured or predicted.
    """

    latency_ms: Interval
    size_bytes: int
    peak_bytes: int | None = None
    energy: float | None = None
    source: Source = "measured"


@dataclass(frozen=True)
class Drop:
    """How much worse the metric may become.

    Attributes:
        value: the allowed worsening, not negative.
        unit: `"pt"` percentage points of a rate, `"%"` relative to the baseline's value, `""` the metric's own unit.
    """

    value: float = 0.0
    unit: Unit = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `0.5pt`, `1%`, `0.3` or `1e-3`; `str` of the drop gives it back.

        Raises:
            InputError: the text is none of these, negative, or not finite.
        """
        match = _DROP.fullmatch(text)
        if match is None or not math.isfinite(float(match[1])):
            raise InputError(
                f"--max-drop {text!r}: give percentage points (0.5pt), a relative drop (1%) or a bare number (0.3)"
            )
        return cls(float(match[1]), match[2])  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{str(self.value).removesuffix('.0')}{self.unit}"


@dataclass(frozen=True)
class Budget:
    """What the user asks for: an objective under limits. `None` means no limit.

    Attributes:
        minimize: the objective.
        max_drop: allowed worsening of the metric; 0 admits exact rewrites only.
        max_latency_ms, max_size_bytes, max_memory_bytes, max_p99_ms: limits on what is returned.
        require_speedup: least speed-up over the best engine on the unmodified model.
        time_limit_s: seconds after which no new build is begun.
        confidence: None: the estimate must keep the quality budget; 0.95: the interval's upper bound must.
    """

    minimize: Literal["latency", "size", "energy", "memory"] = "latency"
    max_drop: Drop = Drop()
    max_latency_ms: float | None = None
    max_size_bytes: int | None = None
    max_memory_bytes: int | None = None
    max_p99_ms: float | None = None
    require_speedup: float | None = None
    time_limit_s: float | None = None
    confidence: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, for plan.json; `from_json` reads it back."""
        return {**self.__dict__, "max_drop": str(self.max_drop)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            Damaged: the data are not of that form.
            InputError: the drop is none that `Drop.parse` reads.
        """
        given = plain.record({**plain.hints(cls), "max_drop": str}, data)
        return cls(**{**given, "max_drop": Drop.parse(given["max_drop"])})
