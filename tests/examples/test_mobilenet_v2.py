"""The demo's network: its size, and its trained weights on the twenty photographs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from examples.mobilenet_v2 import network


def test_has_the_published_number_of_parameters() -> None:
    module, _ = network()
    assert sum(parameter.numel() for parameter in module.parameters()) == 3_504_872


@pytest.mark.network
def test_trained_weights_recognise_18_of_20_photographs(asset: Callable[[str], Path]) -> None:
    asset("photographs")
    module, _ = network()
    module.load_state_dict(torch.load(asset("mobilenet_v2"), weights_only=True))
    assert right_answers(module, {}) == 18


@pytest.mark.network
def test_trained_efficientnet_recognises_17_of_20_photographs(asset: Callable[[str], Path]) -> None:
    asset("photographs")
    asset("efficientnet_lite0")
    from benchmarks.models import build

    module, _ = build("efficientnet_lite0")
    assert right_answers(module, {"mean": (127 / 255,) * 3, "deviation": (128 / 255,) * 3}) == 17


def right_answers(module: torch.nn.Module, normalisation: dict[str, tuple[float, ...]]) -> int:
    from examples.photographs import photographs

    images, labels = photographs(**normalisation)
    with torch.no_grad():
        return int((module(images).argmax(1) == labels).sum())
