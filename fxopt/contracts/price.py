"""What a Program is expected to take, piece by piece, as targets tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Piece:
    """Calls that one kernel runs, or a few that engines do not take apart.

    Attributes:
        kernel: what identifies it: its calls with shapes, dtypes, and attributes, free of names, of values and of what
            surrounds it but for the operators that its inputs come from, since layouts depend on them.
        features: what it computes and moves: `main`, the kind of call that computes most, and `sort`, its sort;
            `dtype`, what that call reads; `flops`; values of `functions` such as exponentials; bytes `read`, of `weights`
            and `written`; `calls`; `channels` that a linear call reads and writes; `after`, the sort of call that most of
            what is read comes from; `footprint`, bytes that a call of the program comes by that it was first seen in; and
            `bare`, the kernel whatever its inputs come from.
        nodes: names of the calls.
    """

    kernel: str
    features: Mapping[str, Any]
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """What a piece is expected to take.

    Attributes:
        milliseconds: of a call.
        spread: standard deviation of its logarithm.
        source: whether it was measured as it is, was but after another operator (`"context"`), was interpolated from
            others of its sort, or nothing like it is known (`"roofline"`).
    """

    milliseconds: float
    spread: float
    source: Literal["profile", "micro", "context", "interpolated", "roofline"]


@dataclass(frozen=True)
class Priced:
    """A piece with its price."""

    piece: Piece
    estimate: Estimate


@dataclass(frozen=True)
class Prediction:
    """What a Program is expected to take.

    Attributes:
        milliseconds: of a call.
        spread: standard deviation of its logarithm.
        pieces: as the engine would run them, in order. Their prices add up to more or less than the whole: a profile costs
            time, and calls do.
        common: correlation of the errors of kernels that one build of a program has, and another has others for; 0: they are
            off each by its own.
    """

    milliseconds: float
    spread: float
    pieces: tuple[Priced, ...]
    common: float = 0.0

    @property
    def measured_share(self) -> float:
        """Share of the time that was measured, not interpolated."""
        total = sum(item.estimate.milliseconds for item in self.pieces)
        known = sum(item.estimate.milliseconds for item in self.pieces if item.estimate.source in ("profile", "micro"))
        return known / total if total else 1.0
