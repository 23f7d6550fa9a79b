"""Metrics of how near outputs are to the original's, whatever they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from fxopt import Metric
from fxopt.contracts.metric import Direction
from fxopt.verify.error import worst


def cosines(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Cosine of the vectors on the last axis; 1 for two zero vectors, 0 for one."""
    first, second = first.double(), second.double()
    lengths = first.norm(dim=-1) * second.norm(dim=-1)
    both = (first == 0).all(-1) & (second == 0).all(-1)
    cosine = (first * second).sum(-1) / torch.where(lengths > 0, lengths, 1.0)
    return torch.where(both | (first == second).all(-1), 1.0, cosine.clamp(-1, 1))


@dataclass(frozen=True)
class Cosine(Metric):
    """Cosine between a sample's whole output, as one vector, and the original's; the mean over samples."""

    name: ClassVar[str] = "cosine"
    needs = "reference"
    direction: ClassVar[Direction] = "higher"

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        return cosines(outputs.reshape(len(outputs), -1), reference.reshape(len(outputs), -1))[:, None]


@dataclass(frozen=True)
class EmbeddingCosine(Metric):
    """Cosine between each vector on the last axis and the original's; the mean over positions, then over samples.

    Unlike `cosine`, every position (token, patch) counts the same, whatever the length of its vector.
    """

    name: ClassVar[str] = "embedding_cosine"
    needs = "reference"
    direction: ClassVar[Direction] = "higher"

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        if outputs.dim() < 2:
            raise ValueError(f"the output has the shape {list(outputs.shape)}; expected (samples, ..., vector)")
        return cosines(outputs, reference).reshape(len(outputs), -1).mean(1, keepdim=True)


@dataclass(frozen=True)
class OutputError(Metric):
    """Largest absolute difference from the original's output over its largest absolute value; the mean over samples.

    Of several outputs the worst counts. Integers must be equal.
    """

    name: ClassVar[str] = "error"
    needs = "reference"
    direction: ClassVar[Direction] = "lower"
    several: ClassVar[bool] = True
    relative: ClassVar[bool] = True

    def collect(
        self,
        outputs: tuple[torch.Tensor, ...],
        labels: torch.Tensor | None,
        reference: tuple[torch.Tensor, ...] | None,
    ) -> torch.Tensor:
        errors = [
            worst([value[row] for value in outputs], [value[row] for value in reference])
            for row in range(len(outputs[0]))
        ]
        return torch.tensor(errors, dtype=torch.float64)[:, None]
