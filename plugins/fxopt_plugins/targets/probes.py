"""What a CPU is profiled on: pieces of networks as they occur, at many sizes.

A kernel takes another time by itself than in a network, where its input was written just before, in the layout that the
engine has chosen. So each probe is a small network of many sizes, and its kernels are timed inside of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from fxopt.contracts.target import Probe

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU)
_CHANNELS = (16, 32, 64, 128, 256)  # typical ones, stage by stage
_WIDTHS, _TOKENS = (128, 256, 320, 512, 640), (32, 100, 160, 256)


def probes() -> Iterator[Probe]:
    """Small networks; the first few have something of every sort."""
    for index in range(6):
        yield Probe(f"inverted residuals {index}", _inverted_residuals, index)
        yield Probe(f"transformer blocks {index}", _transformer_blocks, index)
        yield Probe(f"bottlenecks {index}", _bottlenecks, index)
        yield Probe(f"linear layers {index}", _linear_layers, index)


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


class _Residual(nn.Module):
    def __init__(self, body: nn.Module, after: nn.Module | None = None) -> None:
        super().__init__()
        self.body, self.after = body, after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x + self.body(x))


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


def _inverted_residuals(seed: int) -> Network:
    choose = random.Random(seed)
    activation, excite = _ACTIVATIONS[seed % 4], seed % 3 == 2
    stem = choose.choice((16, 24, 32))
    layers: list[nn.Module] = [_layer(3, stem, 3, 2, 1, activation)]
    before = stem
    for number, typical in enumerate(_CHANNELS):
        width = typical // 2 + 8 * choose.randrange(1, typical // 8)
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
            _Residual(
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


def _bottlenecks(seed: int) -> Network:
    choose = random.Random(seed)
    activation, before = _ACTIVATIONS[seed % 3], 32
    layers: list[nn.Module] = [_layer(3, before, choose.choice((3, 5, 7)), 2, 1, activation), nn.MaxPool2d(3, 2, 1)]
    for number in range(4):
        width = 64 * 2**number + 32 * choose.randrange(0, 2 * 2**number)
        inner, stride = max(16, width // choose.choice((1, 2, 4)) // 16 * 16), 1 + (number > 0)
        if seed % 2:
            layers.append(_layer(before, width, 3, stride, 1, activation))
            layers.append(
                _Residual(
                    nn.Sequential(_layer(width, width, 3, activation=activation), _layer(width, width, 3)), activation()
                )
            )
        else:
            layers.append(
                nn.Sequential(
                    _layer(before, inner, activation=activation),
                    _layer(inner, inner, 3, stride, 1, activation),
                    _layer(inner, width, activation=activation),
                )
            )
            layers.append(
                _Residual(
                    nn.Sequential(
                        _layer(width, inner, activation=activation),
                        _layer(inner, inner, 3, activation=activation),
                        _layer(inner, width),
                    ),
                    activation(),
                )
            )
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 100)), (
        torch.randn(1, 3, 160, 160),
    )


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, joined: bool) -> None:
        super().__init__()
        self.heads, self.joined = heads, joined
        self.project = nn.ModuleList(nn.Linear(width, width * (3 if joined else 1)) for _ in range(1 if joined else 3))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        if self.joined:
            q, k, v = self.project[0](x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = (layer(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for layer in self.project)
        found = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(found.transpose(1, 2).reshape(batch, tokens, width))


def _block(width: int, heads: int, joined: bool, first: bool, activation: type[nn.Module]) -> nn.Module:
    """A block whose norms stand before (or after) attention and layers."""
    attention = _Attention(width, heads, joined)
    layers = nn.Sequential(nn.Linear(width, 4 * width), activation(), nn.Linear(4 * width, width))
    if first:
        return nn.Sequential(
            _Residual(nn.Sequential(nn.LayerNorm(width), attention)),
            _Residual(nn.Sequential(nn.LayerNorm(width), layers)),
        )
    return nn.Sequential(_Residual(attention, nn.LayerNorm(width)), _Residual(layers, nn.LayerNorm(width)))


def _transformer_blocks(seed: int) -> Network:
    width, tokens = _WIDTHS[seed % len(_WIDTHS)], _TOKENS[seed % len(_TOKENS)]
    heads = width // (32 if seed % 3 == 1 else 64)
    blocks = [_block(width, heads, bool((seed + number) % 2), seed % 3 != 2, nn.GELU) for number in range(2)]
    return nn.Sequential(*blocks, nn.LayerNorm(width), nn.Linear(width, 1000)), (torch.randn(1, tokens, width),)


class _Chains(nn.Module):
    """Layers side by side, each on an input of its own."""

    def __init__(self, chains: Sequence[nn.Module]) -> None:
        super().__init__()
        self.chains = nn.ModuleList(chains)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(chain(x) for chain, x in zip(self.chains, inputs, strict=True))


def _linear_layers(seed: int) -> Network:
    choose = random.Random(seed)
    chains, inputs = [], []
    for rows in (1, 1, *_TOKENS):
        inside, outside = choose.choice(_WIDTHS), choose.choice(_WIDTHS) * choose.choice((1, 2, 4))
        activation = choose.choice(_ACTIVATIONS)
        chains.append(
            nn.Sequential(
                nn.LayerNorm(inside),
                nn.Linear(inside, outside),
                activation(),
                nn.Linear(outside, inside),
                nn.Softmax(-1),
            )
        )
        inputs.append(torch.randn(1, rows, inside))
    return _Chains(chains), tuple(inputs)
