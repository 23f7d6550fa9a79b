"""The models whose plans are kept: small, but with the graphs of what people run. Only their graphs are kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import sites
from benchmarks.models import bert
from examples.mobilenet_v2 import MobileNetV2
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program


def mobilenet_v2() -> Program:
    """A chain of convolutions with batch norms."""
    return captured(MobileNetV2(classes=10), torch.randn(2, 3, 64, 64))


def transformer() -> Program:
    """BERT with separate query, key and value projections, attention written out."""
    return captured(bert("eager")[0], torch.randint(0, 1000, (2, 16)))


def branches() -> Program:
    """RepVGG's blocks, then Inception's."""
    into = nn.Conv2d(3, 48, 3, padding=1)
    between = nn.Conv2d(48, 64, 1)
    return captured(
        nn.Sequential(into, sites.repvgg(), sites.repvgg(), between, sites.inception()), torch.randn(2, 3, 16, 16)
    )


def leftovers() -> Program:
    """What exporters and code written by hand leave: repeated calls, inverses, constants, padding, norms written out."""
    return captured(Leftovers(), torch.randn(2, 3, 16, 16))


class Leftovers(nn.Module):
    """An image (N, 3, 16, 16) to (N, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.std = (nn.Parameter(torch.rand(3, 1, 1)) for _ in range(2))
        self.conv = nn.Conv2d(3, 16, 3, stride=2)
        self.direction, self.length = nn.Parameter(torch.randn(32, 16)), nn.Parameter(torch.rand(32, 1))
        self.weight, self.bias = (nn.Parameter(torch.rand(32)) for _ in range(2))
        self.narrow, self.wide = nn.Linear(32, 4), nn.Linear(4, 8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(F.pad((x - self.mean) / self.std, (1, 1, 1, 1)))
        y = y * (F.relu6(y + 3) / 6)
        y = y.clone().permute(0, 2, 3, 1).permute(0, 3, 1, 2).mean((2, 3)) * 1.0
        y = F.linear(y, self.direction * (self.length / self.direction.norm(dim=1, keepdim=True)))
        centred, again = y - y.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
        y = centred / (again.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * self.weight + self.bias
        y = 0.5 * y * (1 + torch.erf(y / 2**0.5))
        result: Tensor = self.wide(self.narrow(y))
        return result


def captured(module: nn.Module, example: Tensor) -> Program:
    """The module in evaluation mode, for any batch from 1 to 16."""
    batch = torch.export.Dim("N", min=1, max=16)
    return capture(export(module.eval(), (example,), dynamic_shapes=({0: batch},)))


MODELS: dict[str, Callable[[], Program]] = {
    function.__name__: function for function in (mobilenet_v2, transformer, branches, leftovers)
}
