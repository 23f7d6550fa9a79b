"""Metrics of segmentations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch.nn import functional as F

from fxopt import Metric
from fxopt.contracts.metric import Direction
from fxopt_plugins.metrics.classes import classes_last, misfit_of_classes


@dataclass(frozen=True)
class MeanIou(Metric):
    """Mean over classes of intersection over union, each summed over all samples.

    Outputs are scores (samples, classes, height, width), labels class numbers (samples, height, width). A class that is
    neither labelled nor found anywhere does not count.
    """

    name: ClassVar[str] = "mean_iou"
    needs = "labels"
    direction: ClassVar[Direction] = "higher"
    rate: ClassVar[bool] = True

    ignore: int | None = field(default=255, metadata={"help": "label of pixels that do not count"})

    def misfit(self, outputs: torch.Tensor, labels: torch.Tensor) -> str | None:
        return misfit_of_classes(outputs, labels, self.ignore)

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        scores = classes_last(outputs)
        labels = labels.reshape(scores.shape[:2]).long()
        counted = torch.ones_like(labels) if self.ignore is None else (labels != self.ignore).long()
        classes = scores.shape[-1]
        found = F.one_hot(scores.argmax(-1), classes) * counted[..., None]
        wanted = F.one_hot(labels * counted, classes) * counted[..., None]
        both = (found * wanted).sum(1)
        either = (found + wanted).clamp(max=1).sum(1)
        return torch.cat([both, either], 1).double()

    def value(self, sums: torch.Tensor, samples: int) -> float:
        both, either = sums.chunk(2)
        there = either > 0.5
        return float((both[there] / either[there]).mean())
