"""A metric in code of the user, for the cases of `function`."""

from __future__ import annotations

import torch


def margins(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The score of the labelled class over the mean score."""
    return outputs.gather(1, labels[:, None])[:, 0] - outputs.mean(1)
