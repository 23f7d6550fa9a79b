"""Metrics of pictures and other signals against the labels, which are the wanted outputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch.nn import functional as F

from fxopt import Metric
from fxopt.contracts.metric import Direction

_FLOOR = 1e-10  # of the mean squared error, for a full range of 1: 100 dB
_RANGE = {"help": "from black to white: 1, or 255"}


def misfit_of_pictures(outputs: torch.Tensor, labels: torch.Tensor, full: float | None = None) -> str | None:
    """Why labels are not the wanted outputs; None if they are."""
    if labels.shape != outputs.shape:
        return f"labels have the shape {list(labels.shape)}, but the output has {list(outputs.shape)}"
    if labels.dtype.is_complex or labels.dtype == torch.bool:
        return f"labels are {str(labels.dtype).removeprefix('torch.')}; expected numbers"
    if full is not None and labels.numel():
        low, high = float(labels.min()), float(labels.max())
        if high - low > full * (1 + 1e-6):
            return f"labels lie in {low:g}..{high:g}, which is more than the option range={full:g}"
    return None


def squared_errors(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each sample, float64."""
    return (outputs.double() - labels.double()).square().reshape(len(outputs), -1).mean(1)


@dataclass(frozen=True)
class MeanSquaredError(Metric):
    """Mean squared difference from the labels."""

    name: ClassVar[str] = "mse"
    needs = "labels"
    direction: ClassVar[Direction] = "lower"

    def misfit(self, outputs: torch.Tensor, labels: torch.Tensor) -> str | None:
        return misfit_of_pictures(outputs, labels)

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        return squared_errors(outputs, labels)[:, None]


@dataclass(frozen=True)
class Psnr(Metric):
    """Peak signal-to-noise ratio in dB: of each sample, then the mean. A sample without any error counts as 100 dB."""

    name: ClassVar[str] = "psnr"
    needs = "labels"
    direction: ClassVar[Direction] = "higher"

    range: float = field(default=1.0, metadata=_RANGE)

    def __post_init__(self) -> None:
        if not self.range > 0:
            raise ValueError(f"range={self.range:g} must be positive")

    def misfit(self, outputs: torch.Tensor, labels: torch.Tensor) -> str | None:
        return misfit_of_pictures(outputs, labels, self.range)

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        errors = squared_errors(outputs, labels) / self.range**2
        return -10 * errors.clamp(min=_FLOOR).log10()[:, None]


@dataclass(frozen=True)
class Ssim(Metric):
    """Structural similarity to the labels, at most 1: the mean over places and channels, then over samples.

    Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to Structural Similarity"
    (2004): a Gaussian window of 11 x 11 and standard deviation 1.5, K1 = 0.01, K2 = 0.03, on places where the window
    lies inside. Pictures are (samples, channels, height, width) or (samples, height, width); each channel counts.
    """

    name: ClassVar[str] = "ssim"
    needs = "labels"
    direction: ClassVar[Direction] = "higher"

    range: float = field(default=1.0, metadata=_RANGE)

    def __post_init__(self) -> None:
        if not self.range > 0:
            raise ValueError(f"range={self.range:g} must be positive")

    def misfit(self, outputs: torch.Tensor, labels: torch.Tensor) -> str | None:
        if outputs.dim() not in (3, 4) or min(outputs.shape[-2:]) < 11:
            shape = list(outputs.shape)
            return f"the output has the shape {shape}; expected (samples, channels, height, width), 11 x 11 or more"
        return misfit_of_pictures(outputs, labels, self.range)

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        x, y = (value.double().reshape(-1, 1, *value.shape[-2:]) for value in (outputs, labels))
        mean_x, mean_y, xx, yy, xy = (_blur(value) for value in (x, y, x * x, y * y, x * y))
        var_x, var_y, covariance = xx - mean_x.square(), yy - mean_y.square(), xy - mean_x * mean_y
        c1, c2 = (0.01 * self.range) ** 2, (0.03 * self.range) ** 2
        luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
        structure = (2 * covariance + c2) / (var_x + var_y + c2)
        return (luminance * structure).reshape(len(outputs), -1).mean(1, keepdim=True)


def _blur(value: torch.Tensor) -> torch.Tensor:
    """The Gaussian window's mean at every place where the window lies inside; of shape (n, 1, height, width)."""
    window = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    window = window / window.sum()
    return F.conv2d(F.conv2d(value, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
