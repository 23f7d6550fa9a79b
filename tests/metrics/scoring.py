"""A function for the metric `function`, in an installed-like place: an importable module of the tests."""

from __future__ import annotations

import torch


def margins(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The score of the labelled class over the mean score."""
    return outputs.gather(1, labels[:, None])[:, 0] - outputs.mean(1)
