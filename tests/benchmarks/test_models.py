"""The architectures are what their names say, and the same each time."""

from __future__ import annotations

import pytest
import torch

from benchmarks.models import MODELS, build

RANDOM = sorted(MODELS.keys() - {"mobilenet_v2", "efficientnet_lite0"})  # the trained ones are tested as examples


@pytest.mark.parametrize("name", RANDOM)
def test_answers_with_plausible_finite_numbers(name: str) -> None:
    module, inputs = build(name)
    with torch.no_grad():
        output = module(*inputs)
    assert not module.training
    assert torch.isfinite(output).all()
    assert 1e-2 < output.std() < 1e2


def test_is_the_same_each_time() -> None:
    (first, inputs), (second, again) = build("bert"), build("bert")
    assert torch.equal(inputs[0], again[0])
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_repvgg_keeps_its_parallel_branches() -> None:
    module, _ = build("repvgg_a0")
    kernels = {layer.kernel_size for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)}
    assert kernels == {(1, 1), (3, 3)}


def test_batch_norm_is_not_the_identity() -> None:
    module, _ = build("repvgg_a0")
    norms = [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert all(norm.running_var.std() > 0 and norm.running_mean.abs().max() > 0 for norm in norms)
