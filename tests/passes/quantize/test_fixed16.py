"""`fixed16`: weights of 16-bit fixed point."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fxopt_passes.quantize.fixed16 import Fixed16, exponent
from tests.passes.apply import captured
from tests.passes.quantize.kinds import ENGINES, SCHEMES, assert_agrees, quantized, run


@pytest.mark.parametrize("largest", [1e-3, 0.5, 1.0, 32767 / 2**15, 3.99, 1e5, 0.0, 1e-44])
def test_the_power_of_two_is_the_least_that_holds_the_largest_weight(largest: float) -> None:
    weight = torch.tensor([largest, -largest / 3])
    scale = 2.0 ** exponent(weight)
    assert float(weight.abs().max()) <= 32767 * scale
    if largest > 1e-30:
        assert float(weight.abs().max()) > 32767 * scale / 2


def test_a_weight_is_off_by_half_a_step_at_most() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 32, bias=False)
    after = quantized(Fixed16(), captured(layer, torch.randn(2, 64)))
    (stored,) = after.attributes.values()
    scale = 2.0 ** exponent(layer.weight.detach())
    assert stored.dtype == torch.int16
    torch.testing.assert_close(stored * scale, layer.weight.detach(), atol=scale / 2, rtol=0)
    torch.testing.assert_close(after.run([torch.eye(64)])[0], (stored * scale).T, atol=0, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_file_is_half_as_large_and_runs_in_float(engine: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 512, 3), nn.ReLU(), nn.Conv2d(512, 128, 3), nn.Flatten(), nn.Linear(2048, 256))
    x = torch.randn(2, 3, 8, 8)
    program = captured(net, x, dynamic=True)
    after = quantized(Fixed16(), program, scheme=SCHEMES[engine])
    _, whole, _ = run(engine, program, [x], tmp_path / "float")
    graph, size, found = run(engine, after, [x], tmp_path / "fixed")
    assert_agrees(found, after, [x])
    assert whole / size > 1.9
    assert not [kernel.kind for kernel in graph.kernels if "DequantizeLinear" in kernel.kind]
