"""What a CPU is profiled on: pieces of networks as they occur, at many sizes.

A kernel takes another time by itself than in a network, where its input was written just before, in the layout that the
engine has chosen. So each probe is a small network of many sizes, and its kernels are timed inside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from fxopt.contracts.target import Probe
from fxopt_plugins.targets.probe_images import Network, bottlenecks, concatenations, inverted_residuals
from fxopt_plugins.targets.probe_tokens import linear_layers, patch_transformers, token_mixers, word_transformers

_KINDS = {
    "inverted residuals": inverted_residuals,
    "patch transformers": patch_transformers,
    "bottlenecks": bottlenecks,
    "word transformers": word_transformers,
    "concatenations": concatenations,
    "linear layers": linear_layers,
    "token mixers": token_mixers,
}

_SEEDS = (0, 1, 2, 6, 7, 8)  # of which no two give the same network


def probes() -> Iterator[Probe]:
    """Small networks; the first few have something of every sort."""
    for seed in _SEEDS:
        for name, make in _KINDS.items():
            yield Probe(f"{name} {seed}", _as_trained(make), seed)


def _as_trained(make: Callable[[int], Network]) -> Callable[[int], Network]:
    """Networks whose norms do what they do after training: where they scale by one and add nothing, engines leave that out.

    Batch norms have the statistics of what comes by: with others values die out, and folding the norms costs digits.
    """

    def made(seed: int) -> Network:
        network, inputs = make(seed)
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
                    module.weight.uniform_(0.5, 1.5)
                    module.bias.normal_(0, 0.1)
            network.eval()
            for norm in norms:
                norm.momentum = None  # the mean of all calls, of which there is one
                norm.train()
            if norms:
                network(*inputs)
        return network.eval(), inputs

    return made
