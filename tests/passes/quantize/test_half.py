"""`bf16` and `fp16`: weights of 16 bits, and layers that compute in them where the engine does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fxopt_passes.quantize.half import Bfloat16, Float16
from fxopt_plugins.engines.schemes import OPENVINO
from fxopt_plugins.targets.cpu import Cpu
from tests.passes.apply import captured
from tests.passes.quantize.kinds import ENGINES, SCHEMES, assert_agrees, offers, quantized, reasons, run

RULES = [Bfloat16(), Float16()]
BF16_CPU = ("avx2", "avx512_bf16")


def net() -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 512, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8192, 32),
    )
    x = torch.randn(2, 3, 8, 8)
    return captured(layers, x, dynamic=True), x


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_weights_are_rounded_and_layers_compute_as_before(rule: Any) -> None:
    program, x = net()
    after = quantized(rule, program)
    rounded = {
        name: value.to(rule.dtype).float() if value.dim() > 1 else value for name, value in program.attributes.items()
    }
    expected = type(program)(program.graph, rounded, program.interface, program.shapes).run([x])[0]
    assert torch.equal(after.run([x])[0], expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_file_is_half_as_large_and_runs_in_float(rule: Any, engine: str, tmp_path: Path) -> None:
    program, x = net()
    after = quantized(rule, program, scheme=SCHEMES[engine])
    _, whole, _ = run(engine, program, [x], tmp_path / "float")
    graph, size, found = run(engine, after, [x], tmp_path / "half")
    assert_agrees(found, after, [x])
    assert whole / size > 1.9
    assert not [kernel.kind for kernel in graph.kernels if "16" in kernel.kind or "Cast" in kernel.kind]


def test_openvino_computes_in_bfloat16_where_the_cpu_does(tmp_path: Path) -> None:
    program, x = net()
    found = offers(Bfloat16(), program, scheme=OPENVINO, isa=BF16_CPU)
    assert [item.parameters["computes"] for item in found] == [True] * 3
    after = quantized(Bfloat16(), program, scheme=OPENVINO, isa=BF16_CPU)
    graph, _, output = run("openvino", after, [x], tmp_path)  # runs on every CPU
    expected = program.run([x])[0].numpy()
    assert np.abs(output - expected).max() < 0.02 * np.abs(expected).max()
    if {"avx512_bf16", "amx_bf16"} & set(Cpu().machine().isa):
        layers = [k.kind for k in graph.kernels if k.kind.startswith(("Convolution", "FullyConnected"))]
        assert len(layers) == 3 and all(kind.endswith("bf16") for kind in layers)


@pytest.mark.parametrize("isa", [(), ("avx2", "avx512_vnni")])
def test_without_its_arithmetic_bfloat16_is_for_size_only(isa: tuple[str, ...]) -> None:
    program, _ = net()
    assert not any(item.parameters["computes"] for item in offers(Bfloat16(), program, scheme=OPENVINO, isa=isa))
    assert not any(item.parameters["computes"] for item in offers(Bfloat16(), program, isa=BF16_CPU))


def test_odd_weights_are_declined() -> None:
    layer = nn.Linear(64, 8)
    layer.weight.data[0, 0] = 1e6
    program = captured(layer, torch.randn(2, 64))
    assert reasons(Float16(), program) == ["its weight goes beyond 65504"]
    assert offers(Bfloat16(), program)
    assert reasons(Bfloat16(), captured(nn.Linear(64, 8).bfloat16(), torch.randn(2, 64).bfloat16())) == [
        "its weight is stored in 16 bits already"
    ]
