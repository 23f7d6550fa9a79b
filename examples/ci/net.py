"""The model of the example: two blocks with parallel branches, as in RepVGG's training form, and a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 32


class Block(nn.Module):
    """A 3x3 and a 1x1 convolution of the same value, each with its batch norm, added up."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.wide = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs))
        self.narrow = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return (self.wide(x) + self.narrow(x)).relu()


class Net(nn.Module):
    """Images (N, 3, 32, 32) to logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(3, WIDTH), Block(WIDTH, 2 * WIDTH))
        self.classifier = nn.Linear(2 * WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.classifier(self.blocks(x).mean((2, 3)))
        return result


def network() -> tuple[nn.Module, tuple[Tensor]]:
    """What fxopt calls: the module, and an example input."""
    torch.manual_seed(0)
    return Net().eval(), (torch.randn(1, 3, 32, 32),)
