"""Networks to try the plugin on: `fxopt optimize net:classifier` and `fxopt optimize net:image`."""

import torch
from torch import nn


class Classifier(nn.Module):
    """Rows of 32 features, through a hidden layer of rank 4 with a little noise, to logarithms of probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(32, 24), nn.Linear(24, 5)
        self.hidden.weight.data = torch.randn(24, 4) @ torch.randn(4, 32) + 0.002 * torch.randn(24, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.hidden(x).relu()).softmax(-1).log()


def classifier() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A network with a site for each of the plugin's passes, and inputs for it."""
    torch.manual_seed(0)
    return Classifier().eval(), (torch.randn(3, 32),)


def image() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A network that ncnn runs, and inputs for it."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    return nn.Sequential(*layers).eval(), (torch.randn(1, 3, 8, 8),)
