"""Metrics of scores of classes.

Classes lie on axis 1 of outputs of four axes or more (images), else on the last. An output with positions (pixels,
tokens) counts in a sample as the mean over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from fxopt import Metric
from fxopt.contracts.metric import Direction

_TINY = torch.finfo(torch.float32).tiny


def shape_fault(outputs: torch.Tensor) -> str | None:
    """Why an output holds no scores of classes; None if it may."""
    shape = list(outputs.shape)
    if outputs.dim() < 2:
        return f"the output has the shape {shape}; expected (samples, classes)"
    if shape[_axis(outputs)] < 2:
        return f"the output has the shape {shape}: one class only; judge it by module:function"
    return None


def _axis(outputs: torch.Tensor) -> int:
    return 1 if outputs.dim() >= 4 else outputs.dim() - 1


def classes_last(outputs: torch.Tensor) -> torch.Tensor:
    """Scores of shape (samples, positions, classes), float64."""
    if fault := shape_fault(outputs):
        raise ValueError(fault)
    last = outputs.movedim(_axis(outputs), -1)
    return last.reshape(last.shape[0], -1, last.shape[-1]).double()


def misfit_of_classes(outputs: torch.Tensor, labels: torch.Tensor, ignore: int | None = None) -> str | None:
    """Why labels are not one class a position; None if they are."""
    if fault := shape_fault(outputs):
        return fault
    classes = outputs.shape[_axis(outputs)]
    places = [size for axis, size in enumerate(outputs.shape) if axis != _axis(outputs)]
    if list(labels.shape) != places and list(labels.shape) != [*places, 1]:
        return f"labels have the shape {list(labels.shape)}, but the output {list(outputs.shape)} needs {places}"
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        return f"labels are {str(labels.dtype).removeprefix('torch.')}; expected integers, the number of the class"
    known = labels if ignore is None else labels[labels != ignore]
    if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < classes:
        wrong = int(known.min()) if int(known.min()) < 0 else int(known.max())
        return f"there is a label {wrong}, but the output has classes 0..{classes - 1}"
    return None


def ranks(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How many classes come before the labelled one; of equal scores the first class comes first, as in argmax."""
    own = scores.gather(-1, labels[..., None])
    earlier = torch.arange(scores.shape[-1]) < labels[..., None]
    return ((scores > own) | ((scores == own) & earlier)).sum(-1)


@dataclass(frozen=True)
class Top1(Metric):
    """Share of samples whose labelled class has the highest score."""

    name: ClassVar[str] = "top1"
    needs = "labels"
    direction: ClassVar[Direction] = "higher"
    rate: ClassVar[bool] = True
    depth: ClassVar[int] = 1

    def misfit(self, outputs: torch.Tensor, labels: torch.Tensor) -> str | None:
        found = misfit_of_classes(outputs, labels)
        if found is None and (classes := classes_last(outputs).shape[-1]) <= self.depth:
            return f"the output has {classes} classes, so the first {self.depth} are always all of them"
        return found

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        scores = classes_last(outputs)
        found = ranks(scores, labels.reshape(scores.shape[:2]).long()) < self.depth
        return found.double().mean(1, keepdim=True)


@dataclass(frozen=True)
class Top5(Top1):
    """Share of samples whose labelled class is among the five of the highest scores."""

    name: ClassVar[str] = "top5"
    depth: ClassVar[int] = 5


@dataclass(frozen=True)
class Agreement(Metric):
    """Share of samples for which the original's first class is the first again."""

    name: ClassVar[str] = "agreement"
    needs = "reference"
    direction: ClassVar[Direction] = "higher"
    rate: ClassVar[bool] = True

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        same = classes_last(outputs).argmax(-1) == classes_last(reference).argmax(-1)
        return same.double().mean(1, keepdim=True)


@dataclass(frozen=True)
class KlDivergence(Metric):
    """Kullback-Leibler divergence of the classes' probabilities from the original's, in nats.

    Scores that the original gives as numbers that are not negative and sum to 1 are taken for probabilities, others
    for logits. A probability of 0 counts as 1e-38, so that the divergence is finite.
    """

    name: ClassVar[str] = "kl"
    needs = "reference"
    direction: ClassVar[Direction] = "lower"

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        found, expected = classes_last(outputs), classes_last(reference)
        probable = (expected >= 0).all(-1, keepdim=True) & ((expected.sum(-1, keepdim=True) - 1).abs() < 1e-3)
        p, q = (torch.where(probable, scores, scores.softmax(-1)).clamp(min=_TINY) for scores in (expected, found))
        return (p * (p.log() - q.log())).sum(-1).mean(1, keepdim=True)
