"""Tiny modules for the tests of frontends; `factory` tests import them by name too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim


class Net(nn.Module):
    """One input, one output; `scale` is a buffer and `shift` a lifted constant."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("scale", torch.ones(4, 1, 1))
        self.shift = torch.tensor([1.0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) * self.scale + self.shift


class Branching(nn.Module):
    """Two inputs, a dictionary of outputs, and a torch.cond."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, *, y: torch.Tensor) -> dict[str, Any]:
        gated = torch.cond(y.sum() > 0, lambda a: a + 1, lambda a: a * 2, (y,))
        return {"first": self.linear(x), "rest": (gated, [x.flatten(1)[:, : y.shape[0] * 1]])}


class Sequence(nn.Module):
    """Integer indices and an optional mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        out = self.table(ids)
        return out if mask is None else out * mask.unsqueeze(-1)


def save(path: Path, module: nn.Module, args: tuple[Any, ...], kwargs: Any = None, dynamic_shapes: Any = None) -> Path:
    """Write a `.pt2` as a user would."""
    torch.export.save(torch.export.export(module.eval(), args, kwargs, dynamic_shapes=dynamic_shapes), path)
    return path


def save_net(folder: Path, dynamic: bool = False) -> Path:
    """A `.pt2` of `Net` with x of shape (2 or N in 1..8, 3, 8, 8)."""
    shapes = {"x": {0: Dim("N", min=1, max=8)}} if dynamic else None
    return save(folder / "net.pt2", Net(), (torch.randn(2, 3, 8, 8),), dynamic_shapes=shapes)
