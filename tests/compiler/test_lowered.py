"""Programs in one kind of lower precision wherever that is offered."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fxopt.compiler.lowered import of_made_up_data
from fxopt.ir.quantized import is_quantize
from fxopt.registry import Registry
from tests.engines.nets import ConvNet, program


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def test_all_that_is_offered_is_applied_without_data(registry: Registry) -> None:
    net = program(ConvNet().eval(), torch.randn(1, 3, 16, 16))
    engine = registry.make_engine("onnxruntime")
    lower = of_made_up_data(net, "int8", registry, registry.make_target("cpu"), engine)
    assert lower is not None
    assert any(map(is_quantize, lower.calls))
    assert not any(map(is_quantize, net.calls))
    assert lower.weight_bytes < 0.5 * net.weight_bytes


def test_where_nothing_is_offered_there_is_none(registry: Registry) -> None:
    net = program(nn.ReLU(), torch.randn(1, 3))
    engine = registry.make_engine("onnxruntime")
    assert of_made_up_data(net, "int8", registry, registry.make_target("cpu"), engine) is None


def test_integers_that_index_tables_are_made_up_as_well(registry: Registry) -> None:
    words = nn.Sequential(nn.Embedding(11, 64), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    net = program(words, torch.randint(0, 11, (1, 6)))
    engine = registry.make_engine("openvino")
    lower = of_made_up_data(net, "int8_weight", registry, registry.make_target("cpu"), engine)
    assert lower is not None
    assert lower.weight_bytes < 0.5 * net.weight_bytes
