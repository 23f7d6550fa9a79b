"""Metrics of recognised text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch

from fxopt import Metric
from fxopt.contracts.metric import Direction


@dataclass(frozen=True)
class CharacterErrorRate(Metric):
    """Characters inserted, left out and exchanged over characters labelled, both summed over all samples.

    Outputs are scores (samples, steps, characters) of a network trained with connectionist temporal classification
    (Graves et al. 2006), decoded greedily: the best character of each step, repeats once, blanks left out. Labels are
    character numbers (samples, length); shorter ones are filled up with the blank or with negative numbers.
    """

    name: ClassVar[str] = "cer"
    needs = "labels"
    direction: ClassVar[Direction] = "lower"
    rate: ClassVar[bool] = True

    blank: int = field(default=0, metadata={"help": "number of the blank among the characters"})

    def misfit(self, outputs: torch.Tensor, labels: torch.Tensor) -> str | None:
        if outputs.dim() != 3:
            return f"the output has the shape {list(outputs.shape)}; expected (samples, steps, characters)"
        characters = outputs.shape[-1]
        if not 0 <= self.blank < characters:
            return f"the option blank={self.blank} is none of the output's characters 0..{characters - 1}"
        if labels.dim() != 2:
            return f"labels have the shape {list(labels.shape)}; expected (samples, length)"
        if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
            return f"labels are {str(labels.dtype).removeprefix('torch.')}; expected integers, numbers of characters"
        if labels.numel() and int(labels.max()) >= characters:
            return f"labels reach {int(labels.max())}, but the output has characters 0..{characters - 1}"
        return None

    def collect(
        self, outputs: torch.Tensor, labels: torch.Tensor | None, reference: torch.Tensor | None
    ) -> torch.Tensor:
        rows = []
        for best, wanted in zip(outputs.argmax(-1), labels, strict=True):
            found = torch.unique_consecutive(best)
            found, wanted = found[found != self.blank].numpy(), wanted[(wanted != self.blank) & (wanted >= 0)].numpy()
            rows.append([edit_distance(found, wanted), len(wanted)])
        return torch.tensor(rows, dtype=torch.float64).reshape(-1, 2)

    def value(self, sums: torch.Tensor, samples: int) -> float:
        return float(sums[0] / sums[1])


def edit_distance(first: np.ndarray, second: np.ndarray) -> int:
    """The least number of insertions, deletions and substitutions that make one the other (Levenshtein 1966)."""
    steps = np.arange(len(second) + 1)
    row = steps
    for number, item in enumerate(first, 1):
        exchanged = np.minimum(row[1:] + 1, row[:-1] + (second != item))
        # The least over all insertions that lead to a place: min over j <= i of row[j] + (i - j).
        row = np.minimum.accumulate(np.concatenate([[number], exchanged]) - steps) + steps
    return int(row[-1])
