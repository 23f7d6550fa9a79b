"""Pieces of networks on tokens, at many sizes."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fxopt_plugins.targets.probe_images import ACTIVATIONS, Network, Residual

_WIDTHS, _TOKENS = (128, 160, 256, 320, 448, 640), (32, 64, 100, 160, 256)


class _Attention(nn.Module):
    """Of many heads. `fused`: as one call, else products and a softmax; `joined`: one projection for all three.

    Where `drop`, as models for training have it, though nothing is dropped here: engines see a copy, or nothing.
    """

    def __init__(self, width: int, heads: int, joined: bool, fused: bool, masked: bool, drop: bool) -> None:
        super().__init__()
        self.heads, self.joined, self.fused, self.masked = heads, joined, fused, masked
        self.project = nn.ModuleList(nn.Linear(width, width * (3 if joined else 1)) for _ in range(1 if joined else 3))
        self.drop = nn.Dropout() if drop else nn.Identity()
        self.out = nn.Sequential(nn.Linear(width, width), self.drop)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        if self.joined:
            q, k, v = self.project[0](x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            q, k, v = (layer(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for layer in self.project)
        if self.fused:
            mask = torch.ones(1, 1, tokens, tokens, dtype=torch.bool) if self.masked else None
            found = nn.functional.scaled_dot_product_attention(q, k, v, mask)
        else:
            scores = q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5
            found = self.drop((scores + torch.zeros(1, 1, 1, tokens) if self.masked else scores).softmax(-1)) @ v
        return self.out(found.transpose(1, 2).reshape(batch, tokens, width))


class _Across(nn.Module):
    """Layers along the tokens instead of the channels."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.transpose(1, 2)).transpose(1, 2)


def _layers(inside: int, activation: type[nn.Module], drop: bool, times: int = 4) -> nn.Module:
    dropout = [nn.Dropout()] if drop else []
    return nn.Sequential(
        nn.Linear(inside, times * inside), activation(), *dropout, nn.Linear(times * inside, inside), *dropout
    )


def _block(width: int, mixing: nn.Module, activation: type[nn.Module], first: bool, drop: bool) -> nn.Module:
    """A block whose norms stand before (or after) what mixes tokens, and layers."""
    layers = _layers(width, activation, drop)
    if first:
        return nn.Sequential(
            Residual(nn.Sequential(nn.LayerNorm(width), mixing)),
            Residual(nn.Sequential(nn.LayerNorm(width), layers)),
        )
    return nn.Sequential(Residual(mixing, nn.LayerNorm(width)), Residual(layers, nn.LayerNorm(width)))


class _Patches(nn.Module):
    """An image as tokens."""

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, width, size, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(x).flatten(2).transpose(1, 2)


class _Places(nn.Module):
    """What tells tokens apart, after one more for the class of the image."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, count + 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.first, x], dim=1) + self.places


class _Words(nn.Module):
    """Numbers of words as tokens."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(5000, width), nn.LayerNorm(width)
        self.kind, self.places = nn.Parameter(torch.randn(width)), nn.Parameter(torch.randn(1, count, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.words(x) + self.kind + self.places)


class _First(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


class _Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)


def patch_transformers(seed: int) -> Network:
    """From an image to classes, norms first."""
    choose = random.Random(seed)
    width, size, side = choose.choice(_WIDTHS), (16, 8, 32)[seed % 3], (8, 12, 10)[seed % 3]
    heads = width // (32 if seed % 2 else 64)
    blocks = [
        _block(
            width, _Attention(width, heads, number == seed % 2, True, False, number == 1), nn.GELU, True, number == 1
        )
        for number in range(2)
    ]
    tail = [nn.LayerNorm(width), _First(), nn.Linear(width, 1000)]
    return nn.Sequential(_Patches(width, size), _Places(width, side * side), *blocks, *tail), (
        torch.randn(1, 3, size * side, size * side),
    )


def word_transformers(seed: int) -> Network:
    """From words to hidden states, norms last."""
    choose = random.Random(seed)
    width, tokens = choose.choice(_WIDTHS), choose.choice(_TOKENS)
    heads = width // (64 if seed % 2 else 32)
    blocks = [
        _block(
            width, _Attention(width, heads, False, number == seed % 2, True, number == 1), nn.GELU, False, number == 1
        )
        for number in range(2)
    ]
    return nn.Sequential(_Words(width, tokens), *blocks), (torch.randint(0, 5000, (1, tokens)),)


def token_mixers(seed: int) -> Network:
    """From an image to classes by blocks of layers along tokens and along channels."""
    choose = random.Random(seed)
    width, size, side = choose.choice(_WIDTHS), (32, 16, 8)[seed % 3], (7, 10, 12)[seed % 3]
    activation, drops = choose.choice((nn.GELU, nn.ReLU)), (False, True)
    blocks = [_block(width, _Across(_layers(side * side, activation, drop)), activation, True, drop) for drop in drops]
    tail = [nn.LayerNorm(width), _Mean(), nn.Linear(width, 1000)]
    return nn.Sequential(_Patches(width, size), *blocks, *tail), (torch.randn(1, 3, size * side, size * side),)


class _Chains(nn.Module):
    """Layers side by side, each on an input of its own."""

    def __init__(self, chains: Sequence[nn.Module]) -> None:
        super().__init__()
        self.chains = nn.ModuleList(chains)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(chain(x) for chain, x in zip(self.chains, inputs, strict=True))


def linear_layers(seed: int) -> Network:
    """Linear layers, norms, activations and softmaxes of many sizes."""
    choose = random.Random(seed)
    chains, inputs = [], []
    for rows in (1, 1, *_TOKENS):
        inside, outside = choose.choice(_WIDTHS), choose.choice(_WIDTHS) * choose.choice((1, 2, 4))
        activation = choose.choice(ACTIVATIONS)
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
