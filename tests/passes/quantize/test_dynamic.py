"""`int8_dynamic`: linear layers on integers whose activations are quantized as they come."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt_passes.quantize.dynamic import Int8Dynamic
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO
from tests.passes.apply import Function, captured
from tests.passes.quantize.kinds import offers, quantized, reasons, run


def mlp(*shape: int) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(*shape)
    return captured(nn.Sequential(nn.Linear(64, 96), nn.GELU(), nn.Linear(96, 32)), x, dynamic=True), x


def by_hand(x: Tensor, layer: nn.Linear) -> Tensor:
    """The layer in integers: u8 inputs over their own range, which holds 0, and s8 weights."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    step = (high - low) / 255
    zero = round(-low / step)
    integers = (x / step).round().add(zero).clamp(0, 255) - zero
    scale = layer.weight.abs().amax(1) / 127
    weight = (layer.weight / scale[:, None]).round()
    return (integers @ weight.T) * step * scale + layer.bias


def test_a_layer_is_the_product_of_integers_of_its_inputs_own_range() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 32)
    program = captured(layer, torch.randn(2, 64), dynamic=True)
    after = quantized(Int8Dynamic(), program)
    for x in (torch.randn(5, 64), torch.rand(5, 64) + 3, -torch.rand(5, 64)):
        torch.testing.assert_close(after.run([x])[0], by_hand(x, layer).detach(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(2, 64), (2, 5, 64)], ids=["two axes", "three axes"])
def test_onnxruntime_has_one_kernel_for_a_layer(shape: tuple[int, ...], tmp_path: Path) -> None:
    program, x = mlp(*shape)
    right_anywhere = replace(ONNX_RUNTIME, weight_bits=(7,))  # sums of 8 bits saturate on some CPUs
    after = quantized(Int8Dynamic(), program, scheme=right_anywhere)
    graph, _, found = run("onnxruntime", after, [x], tmp_path)
    kinds = Counter(kernel.kind for kernel in graph.kernels)
    assert kinds["DynamicQuantizeMatMul"] == 2
    assert not {"Gemm", "MatMul", "DequantizeLinear"} & kinds.keys()
    expected = after.run([x])[0].numpy()
    assert np.mean(np.abs(found - expected) < 0.01 * np.abs(expected).max()) > 0.99


def test_one_candidate_a_layer_which_needs_no_data() -> None:
    program, _ = mlp(2, 64)
    found = offers(Int8Dynamic(), program)
    assert [item.site for item in found] == [("linear",), ("linear_1",)]
    assert all(item.parameters == {"kind": "int8_dynamic", "bits": 8} and not item.fitted for item in found)


def test_weights_have_the_bits_that_are_exact_on_this_machine() -> None:
    program, _ = mlp(2, 64)
    after = quantized(Int8Dynamic(), program, scheme=replace(ONNX_RUNTIME, weight_bits=(7,)))
    stored = [value for value in after.attributes.values() if value.dtype == torch.int8]
    assert [int(value.abs().max()) for value in stored] == [63, 63]


def test_nothing_is_offered_where_the_engine_computes_in_float() -> None:
    program, _ = mlp(2, 64)
    assert offers(Int8Dynamic(), program, scheme=OPENVINO) == []
    assert "no kernel" in reasons(Int8Dynamic(), program, scheme=OPENVINO)[0]


def test_nothing_is_offered_where_no_bits_are_exact_on_this_machine() -> None:
    program, _ = mlp(2, 64)
    wrong = replace(ONNX_RUNTIME, weight_bits=())
    assert (
        reasons(Int8Dynamic(), program, scheme=wrong) == ["integer sums of this engine are wrong on this machine"] * 2
    )


def test_odd_sites_are_declined() -> None:
    image = captured(nn.Conv2d(3, 16, 3), torch.randn(1, 3, 8, 8))
    assert reasons(Int8Dynamic(), image) == ["only linear layers quantize their input as it comes"]
    empty = captured(Function(lambda self, x: F.linear(x, self.w), w=torch.randn(16, 8)), torch.randn(0, 8))
    assert reasons(Int8Dynamic(), empty) == ["its input holds no numbers, so they have no range"]
