"""Programs in one kind of lower precision wherever that is offered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.models import timm_model
from fxopt.compiler.lowered import Lowering, of_made_up_data
from fxopt.ir.capture import capture, export, positional_names
from fxopt.ir.quantized import is_quantize
from fxopt.prices.fusion import clusters
from fxopt.prices.memory import peak_bytes
from fxopt.prices.pieces import cut_calls, piece
from fxopt.registry import Registry
from tests.engines.nets import ConvNet, program


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


def test_all_that_is_offered_is_applied_without_data(registry: Registry) -> None:
    net = program(ConvNet().eval(), torch.randn(1, 3, 16, 16))
    engine = registry.make_engine("onnxruntime")
    ((_, lower),) = of_made_up_data(net, [Lowering("int8", engine)], registry, registry.make_target("cpu"))
    assert any(map(is_quantize, lower.calls))
    assert not any(map(is_quantize, net.calls))
    assert lower.weight_bytes < 0.5 * net.weight_bytes


def test_of_what_is_offered_every_other_rewrite_leaves_floats_between(registry: Registry) -> None:
    net = program(ConvNet().eval(), torch.randn(1, 3, 16, 16))
    engine, target = registry.make_engine("onnxruntime"), registry.make_target("cpu")
    wanted = [Lowering("int8", engine, every) for every in (1, 2)]
    (_, whole), (_, half) = of_made_up_data(net, wanted, registry, target)
    assert whole.weight_bytes < half.weight_bytes < net.weight_bytes


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_haste_changes_ranges_and_scales_alone(
    engine: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it takes as long: it has the same kernels."""
    net, target = program(ConvNet().eval(), torch.randn(1, 3, 16, 16)), registry.make_target("cpu")
    wanted = [Lowering("int8", registry.make_engine(engine))]
    ((_, hasty),) = of_made_up_data(net, wanted, registry, target)
    monkeypatch.setattr(type(registry.make_pass("int8")), "hasty", {})
    ((_, careful),) = of_made_up_data(net, wanted, registry, target)
    kernels = [[piece(made, {node.name}).kernel for node in cut_calls(made)] for made in (hasty, careful)]
    assert kernels[0] == kernels[1]
    assert hasty.digest != careful.digest


def test_where_nothing_is_offered_there_is_none(registry: Registry) -> None:
    net = program(nn.ReLU(), torch.randn(1, 3))
    engine = registry.make_engine("onnxruntime")
    assert not list(of_made_up_data(net, [Lowering("int8", engine)], registry, registry.make_target("cpu")))


def test_integers_that_index_tables_are_made_up_as_well(registry: Registry) -> None:
    words = nn.Sequential(nn.Embedding(11, 64), nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 64))
    net = program(words, torch.randint(0, 11, (1, 6)))
    engine = registry.make_engine("openvino")
    ((_, lower),) = of_made_up_data(net, [Lowering("int8_weight", engine)], registry, registry.make_target("cpu"))
    assert lower.weight_bytes < 0.5 * net.weight_bytes


@pytest.mark.slow
def test_the_peak_of_an_int8_mobilenet_is_at_its_first_strided_depthwise_layer(
    registry: Registry, tmp_path: Path
) -> None:
    """1470 KiB at 224 x 224: the 96 channels that it reads and those that it writes, as ONNX Runtime runs it.

    The 1372 KiB that are published are the expansion before it, of 16 channels to 96: what is left where a depthwise layer
    writes over what it reads.
    """
    module, inputs = timm_model("mobilenetv2_100")
    net = capture(export(module, inputs), names=positional_names(module))
    engine = registry.make_engine("onnxruntime")
    ((_, lower),) = of_made_up_data(net, [Lowering("int8", engine)], registry, registry.make_target("cpu"))
    kernels = engine.fused_kernels(engine.emit(lower, tmp_path)).kernels
    together = clusters(lower, [{"covers": kernel.covers, "ms": None} for kernel in kernels])
    found = peak_bytes(lower, [cluster.nodes for cluster in together])
    assert found == 96 * (112 * 112 + 56 * 56) == 1470 * 1024
