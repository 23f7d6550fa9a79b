"""What a CPU is profiled on: pieces of networks as they occur, at many sizes.

A kernel takes another time by itself than in a network, where its input was written just before, in the layout that the
engine has chosen. So each probe is a small network of many sizes, and its kernels are timed inside of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from fxopt.contracts.target import Probe
from fxopt_plugins.targets.probe_images import bottlenecks, concatenations, inverted_residuals
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
            yield Probe(f"{name} {seed}", make, seed)
