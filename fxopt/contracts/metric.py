"""The contract of a metric: how good outputs are, as sums over samples."""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from fxopt.contracts.options import Configurable

if TYPE_CHECKING:
    import torch

    Outputs = torch.Tensor | tuple[torch.Tensor, ...]

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric(Configurable, abc.ABC):
    """Additive statistics of every sample, and a function of their sums.

    So one pass over the data gives the value on any subset of it, and resampling, which an interval needs, runs
    nothing again. A mean of scores is one statistic; a ratio of sums (characters wrong over characters) is two.

    Attributes:
        needs: what the outputs are compared with: `"labels"`, or the original's outputs as `"reference"`.
        several: all outputs are judged together where `output` names none; `collect` then gets tuples.
        relative: the value is relative to the original's outputs, so that a drop of 1% is one of 0.01.
    """

    needs: ClassVar[Literal["labels", "reference"]]
    several: ClassVar[bool] = False
    relative: ClassVar[bool] = False

    output: str | None = field(
        default=None, metadata={"help": "which output is judged: its name, or its number from 0; needed where several"}
    )

    @property
    @abc.abstractmethod
    def direction(self) -> Direction:
        """Which values are better, `"higher"` or `"lower"`. Given as a class attribute, or as an option."""

    @property
    def rate(self) -> bool:
        """Whether the value is a share, so that a drop can be in percentage points. Given as `direction` is.

        The value of a rate with one statistic is its mean; where that is 0 or 1 for each sample, intervals are exact.
        """
        return False

    def misfit(self, outputs: Outputs, labels: torch.Tensor) -> str | None:
        """One line that says why labels do not fit outputs, like `"they are float32; expected integers"`; or None."""
        return None

    @abc.abstractmethod
    def collect(self, outputs: Outputs, labels: torch.Tensor | None, reference: Outputs | None) -> torch.Tensor:
        """The statistics of some samples.

        Args:
            outputs: the output that is judged, of shape (samples, ...); a tuple of all where `several`.
            labels: of shape (samples, ...); there where `needs` is `"labels"`.
            reference: the original's, as `outputs`; there where `needs` is `"reference"`.

        Returns:
            float64 of shape (samples, k), the same k for all samples. A row depends on its sample alone.
        """

    def value(self, sums: torch.Tensor, samples: int) -> float:
        """The metric's value, by default the mean of the first statistic.

        Args:
            sums: of the statistics, float64 of shape (k,).
            samples: how many samples were summed, at least 1.
        """
        return float(sums[0]) / samples
