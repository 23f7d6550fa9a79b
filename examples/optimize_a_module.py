"""Optimize a module in Python, then call what ships: `python -m examples.optimize_a_module [OUT]`."""

import sys

import torch
from torch import nn

import fxopt


class Branches(nn.Module):
    """Three branches that add up, as in RepVGG's training form: fxopt can merge them into one convolution."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.square = nn.Conv2d(channels, channels, 3, padding=1)
        self.point = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.square(x) + self.point(x) + self.norm(x)).relu()


def main(out: str | None = None) -> fxopt.Result:
    torch.manual_seed(0)
    model = nn.Sequential(Branches(), Branches()).eval()
    inputs = torch.randn(1, 32, 28, 28)
    result = fxopt.optimize(model, (inputs,), target="cpu", threads=2, out=out)
    print(result.ledger["result"]["verdict"])
    optimized = result.load()
    with torch.no_grad():
        print(f"largest difference: {(optimized(inputs) - model(inputs)).abs().max():.1e}")
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
