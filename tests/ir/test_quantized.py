"""Programs that hold integers: text, files, the float64 twin, and what they cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fxopt.ir import work
from fxopt.ir.program import Program
from fxopt.ir.quantized import argument, bounds, is_dequantize, is_quantize, operators
from fxopt.ir.samples import sample_inputs
from fxopt.ir.twin import as_inputs, double
from fxopt.prices.memory import peak_bytes
from fxopt.testing import captured
from fxopt.testing.zoo import quantized_residual

qd = operators()
X = torch.randn(3, 8)


def rounded(x: Tensor, scale: float = 0.0237, zero: int = 128) -> Any:
    """A value through 8 bits and back."""
    return qd.dequantize_per_tensor(
        qd.quantize_per_tensor(x, scale, zero, 0, 255, torch.uint8), scale, zero, 0, 255, torch.uint8
    )


def linear(bits: int = 8) -> Program:
    """x (N, 8) to (N, 16), both quantized, the weights to so many bits in groups of 4."""
    high = 2 ** (bits - 1) - 1

    def forward(self: Any, x: Tensor) -> Any:
        weight = qd.dequantize_per_channel_group(
            self.weight, self.scale, None, -high - 1, high, torch.int8, 4, torch.float32
        )
        return rounded(torch.nn.functional.linear(rounded(x), weight))

    weight = torch.randint(-high - 1, high + 1, (16, 8), dtype=torch.int8)
    batch = torch.export.Dim("N", min=1, max=64)
    return captured(forward, X, dynamic=({0: batch},), weight=weight, scale=torch.rand(16, 2) / high)


@pytest.mark.parametrize("make", [quantized_residual, linear])
def test_a_quantized_program_is_read_back_in_a_fresh_process(make: Any, tmp_path: Path) -> None:
    program = make()
    program.save(tmp_path)
    code = f"from pathlib import Path; from fxopt import Program; print(Program.load(Path({str(tmp_path)!r})).digest)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == program.digest


def test_a_batch_of_any_size_runs() -> None:
    assert linear().text().count("[N, ") == 6  # the input, two pairs, one layer
    assert linear().run([torch.randn(5, 8)])[0].shape == (5, 16)


@pytest.mark.parametrize("make", [quantized_residual, linear])
def test_integers_of_the_twin_are_those_of_the_program(make: Any) -> None:
    program = make()
    twin = double(program)
    for node in program.calls:
        if is_quantize(node) or is_dequantize(node):
            other = twin.node(node.name)
            assert bounds(other) == bounds(node)
            if "per_tensor" in str(node.target):
                assert argument(other, "scale") == argument(node, "scale")
    assert {str(t.dtype) for t in twin.attributes.values()} <= {"torch.float64", "torch.int8", "torch.int32"}
    inputs = sample_inputs(program)
    narrow, wide = program.run(inputs)[0], twin.run(as_inputs(twin, inputs))[0]
    assert wide.dtype == torch.float64
    assert float(((narrow - wide).abs() < 1e-5).double().mean()) > 0.99


def test_the_twin_rounds_what_lies_between_two_float32_numbers_as_the_program_does() -> None:
    program = captured(lambda _, x: rounded(x), X)
    half = torch.full((3, 8), 0.0237 * 2.5)
    just_above = half.double() + 1e-12  # in float64 on the other side of the tie
    assert torch.equal(double(program).run([just_above])[0].float(), program.run([half])[0])


def test_a_pass_may_quantize_in_the_twin_as_in_the_program() -> None:
    program = captured(lambda _, x: x.relu() * 2, X)
    for before in (program, double(program)):
        with before.edit() as edit:
            relu = edit.node("relu")
            numbers = (0.02, 0, 0, 255, torch.uint8)
            again = edit.call(relu.target, relu.args)
            low = edit.call(qd.quantize_per_tensor.default, (again, *numbers))
            back = edit.call(qd.dequantize_per_tensor.default, (low, *numbers), {"out_dtype": relu.meta["val"].dtype})
            edit.replace(relu, back)
        assert edit.program.run([X.to(next(before.nodes).meta["val"].dtype)])[0].dtype == relu.meta["val"].dtype


def test_bytes_are_counted_as_the_integers_that_they_are() -> None:
    sizes = {"input": 4 * 3 * 8, "rounded": 3 * 8, "output": 3 * 16, "scale": 0}
    weight = {8: 16 * 8, 4: 16 * 8 // 2}
    for bits in (8, 4):
        program = linear(bits)
        layer = program.node("linear")
        assert work.node_bytes(program, layer) == sizes["rounded"] + weight[bits] + sizes["output"]
        assert work.bytes_moved(program) == sizes["input"] + sizes["rounded"] + work.node_bytes(program, layer)
    assert peak_bytes(linear()) == sizes["input"] + sizes["rounded"]


def test_rounding_a_value_that_others_use_as_it_is_costs_its_bytes() -> None:
    program = captured(lambda _, x: rounded(x.relu()) + x.relu(), X)
    apart = captured(lambda _, x: (lambda y: rounded(y) + y)(x.relu()), X)
    (shared,) = (node for node in apart.calls if is_quantize(node))
    (single,) = (node for node in program.calls if is_quantize(node))
    assert work.node_bytes(apart, shared) == X.numel() * 5
    assert work.node_bytes(program, single) == 0
