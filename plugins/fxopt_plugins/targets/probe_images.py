"""Pieces of networks on images, at many sizes."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU)
_CHANNELS = (16, 32, 64, 128, 256)  # typical ones, stage by stage

Network = tuple[nn.Module, tuple[Tensor, ...]]


def _layer(
    inside: int,
    outside: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Module:
    convolution = nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), *([activation()] if activation else []))


class Residual(nn.Module):
    """What layers make of a value, and the value itself, or what a layer beside makes of it.

    Engines tell which comes first. As people write it, the value does, but where something follows on the sum.
    """

    def __init__(self, body: nn.Module, after: nn.Module | None = None, beside: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.after, self.beside = body, after, beside or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.beside(x) + self.body(x) if self.after is None else self.after(self.body(x) + self.beside(x))


class _Excite(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, activation: type[nn.Module]) -> None:
        super().__init__()
        inner = max(8, channels // 16 * 4)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, inner, 1), activation(), nn.Conv2d(inner, channels, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True))


def inverted_residuals(seed: int) -> Network:
    """Expansions, of which the first layer has none, depthwise convolutions and projections; also with squeeze and excitation.

    Every other one is half as wide.
    """
    choose = random.Random(seed)
    before = choose.choice((16, 24, 32))
    layers: list[nn.Module] = [_layer(3, before, 3, 2, 1, ACTIVATIONS[seed % 4])]
    layers.append(_layer(before, before, 3, 1, before, ACTIVATIONS[seed % 4]))
    for number, typical in enumerate(_CHANNELS):
        activation, excite = ACTIVATIONS[(seed + number) % 4], (seed + number) % 3 != 1
        width = typical // 2 + 8 * choose.randrange(1, typical // 8)
        width = max(8, width // 16 * 8) if seed % 2 else width
        inner, kernel = before * choose.choice((3, 4, 6)), choose.choice((3, 3, 5))
        gate = [_Excite(inner, activation)] if excite else []
        layers.append(
            nn.Sequential(
                _layer(before, inner, activation=activation),
                _layer(inner, inner, kernel, 1 + (number > 0), inner, activation),
                *gate,
                _layer(inner, width),
            )
        )
        inner = width * choose.choice((3, 6))
        gate = [_Excite(inner, activation)] if excite else []
        layers.append(
            Residual(
                nn.Sequential(
                    _layer(width, inner, activation=activation),
                    _layer(inner, inner, kernel, 1, inner, activation),
                    *gate,
                    _layer(inner, width),
                )
            )
        )
        before = width
    head = nn.Sequential(
        _layer(before, 640 + 128 * seed, activation=activation),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(640 + 128 * seed, 1000),
    )
    return nn.Sequential(*layers, head), (torch.randn(1, 3, 224, 224),)


def bottlenecks(seed: int) -> Network:
    """Residual blocks, at half the size from the second on: two or three convolutions, those in groups with squeeze and excitation."""
    choose = random.Random(seed)
    activation, before = (nn.SiLU if seed % 4 == 2 else nn.ReLU), choose.choice((24, 32, 64))
    layers: list[nn.Module] = [_layer(3, before, choose.choice((3, 5, 7)), 2, 1, activation)]
    layers += [nn.MaxPool2d(3, 2, 1)] if seed % 2 == 0 else []
    for number in range(4):
        width = 64 * 2**number + 32 * choose.randrange(0, 2 * 2**number)
        inner, stride = max(16, width // choose.choice((1, 2, 4)) // 16 * 16), 1 + (number > 0)
        form = ("three", "two", "grouped", "three", "grouped", "two")[seed % 3 + 3 * (number // 2)]
        groups = inner // (8, 16)[number % 2] if form == "grouped" else 1
        for there, step in ((before, stride), (width, 1)):
            if form == "two":
                body = [_layer(there, width, 3, step, 1, activation), _layer(width, width, 3)]
            else:
                middle = _layer(inner, inner, 3, step, groups, activation)
                gate = [_Excite(inner, activation)] if groups > 1 and step == 1 else []
                body = [_layer(there, inner, activation=activation), middle, *gate, _layer(inner, width)]
            beside = _layer(there, width, 1, step) if there != width or step > 1 else None
            layers.append(Residual(nn.Sequential(*body), activation(), beside))
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 100)), (
        torch.randn(1, 3, 160, 160),
    )


class _Beside(nn.Module):
    """Branches whose results are put side by side, or with `summed` added up."""

    def __init__(self, *branches: nn.Module, summed: bool = False) -> None:
        super().__init__()
        self.branches, self.summed = nn.ModuleList(branches), summed

    def forward(self, x: Tensor) -> Tensor:
        found = [branch(x) for branch in self.branches]
        return sum(found[1:], found[0]) if self.summed else torch.cat(found, dim=1)


def concatenations(seed: int) -> Network:
    """Layers that go on from all before them, with norms first; and branches that are added up."""
    choose = random.Random(seed)
    width, growth, side = choose.choice((32, 48, 64)), choose.choice((16, 24, 48)), choose.choice((96, 128, 160))
    layers: list[nn.Module] = [_layer(3, width, 3, 2, 1, nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    for number in range(4):
        for _ in range(2):
            inner = choose.choice((2, 4)) * growth
            narrow = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), _layer(width, inner, 1, activation=nn.ReLU))
            grown = nn.Sequential(narrow, nn.Conv2d(inner, growth, 3, padding=1, bias=False))
            layers.append(_Beside(nn.Identity(), grown))
            width += growth
        branches = [_layer(width, width, 3), _layer(width, width), nn.BatchNorm2d(width)]
        layers += [_Beside(*branches, summed=True), nn.ReLU()] if number > 1 else []
        growth *= 2
        after = 16 * choose.randrange(width // 32, width // 16 + 1)
        layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, after, 1, bias=False)]
        layers += [nn.AvgPool2d(2, 2)] if number < 3 else []
        width = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 100)), (
        torch.randn(1, 3, side, side),
    )
