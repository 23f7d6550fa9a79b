"""The built-in metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fxopt import hookimpl
from fxopt_plugins.metrics.classes import Agreement, KlDivergence, Top1, Top5
from fxopt_plugins.metrics.function import Function
from fxopt_plugins.metrics.images import MeanSquaredError, Psnr, Ssim
from fxopt_plugins.metrics.segmentation import MeanIou
from fxopt_plugins.metrics.text import CharacterErrorRate
from fxopt_plugins.metrics.vectors import Cosine, EmbeddingCosine, OutputError

if TYPE_CHECKING:
    from fxopt import Metric


@hookimpl
def fxopt_metrics() -> list[type[Metric]]:
    """Metrics that come with fxopt."""
    return [
        Top1,
        Top5,
        Agreement,
        KlDivergence,
        Cosine,
        EmbeddingCosine,
        OutputError,
        MeanSquaredError,
        Psnr,
        Ssim,
        MeanIou,
        CharacterErrorRate,
        Function,
    ]
