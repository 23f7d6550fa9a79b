"""`int8_weight` and `int4_weight`: integers for weights alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.ir.quantized import is_dequantize
from fxopt_passes.quantize.weights import Int4Weight, Int8Weight, absmax_scales, least_squares_scales
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO
from tests.passes.apply import Function, captured
from tests.passes.quantize.kinds import ENGINES, SCHEMES, assert_agrees, offers, quantized, reasons, run


class Convolutions(nn.Module):
    """Image (N, 3, 16, 16) to (N, 10): plain, strided, depthwise and transposed convolutions, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 64, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(64 * 2**i, 128 * 2**i, 3, padding=1, stride=2) for i in range(3))
        self.deep = nn.Conv2d(512, 512, 3, padding=1, groups=512)
        self.up = nn.ConvTranspose2d(512, 64, 2, 2)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x).relu()
        for layer in self.body:
            x = layer(x).relu()
        return self.head(self.up(self.deep(x).relu()).mean((2, 3)))


def mlp(size: int = 512, bias: bool = True) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(size, size, bias), nn.GELU(), nn.Linear(size, size, bias))
    x = torch.randn(2, 5, size)
    return captured(net, x, dynamic=True), x


def test_a_weight_of_8_bits_is_off_by_half_a_step_of_its_channel_at_most() -> None:
    x = torch.randn(2, 3, 16, 16)
    program = captured(Convolutions(), x)
    after = quantized(Int8Weight(), program)
    weights = {str(tuple(t.shape)): t for t in program.attributes.values() if t.dim() > 1}
    found = [node for node in after.calls if is_dequantize(node)]
    assert len(found) == len(weights) == 7
    for node in found:
        (user,) = node.users
        stored = after.tensor(node.args[0])
        before = weights[str(tuple(stored.shape))]
        axis = node.args[3]
        assert axis == int("transpose" in str(user.target))
        others = [index for index in range(before.dim()) if index != axis]
        step = before.abs().amax(others, keepdim=True) / 127
        integers = (before / step).round()
        assert torch.equal(stored.float(), integers)
        assert stored.dtype == torch.int8
    torch.testing.assert_close(after.run([x])[0], program.run([x])[0], atol=0.01, rtol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_on_8_bits_and_the_file_is_3_9_times_smaller(engine: str, tmp_path: Path) -> None:
    x = torch.randn(2, 3, 16, 16)
    program = captured(Convolutions(), x, dynamic=True)
    after = quantized(Int8Weight(), program, scheme=SCHEMES[engine])
    _, whole, _ = run(engine, program, [x], tmp_path / "float")
    _, size, found = run(engine, after, [x], tmp_path / "int8")
    assert_agrees(found, after, [x])
    weights = 4 * sum(value.numel() for value in program.attributes.values() if value.dim() > 1)
    assert weights / (weights - whole + size) > 3.9
    assert program.weight_bytes / after.weight_bytes > 3.9


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bias", [True, False])
def test_engines_run_4_bits_and_the_file_is_7_times_smaller(engine: str, bias: bool, tmp_path: Path) -> None:
    program, x = mlp(bias=bias)
    after = quantized(Int4Weight(), program, scheme=SCHEMES[engine])
    _, whole, _ = run(engine, program, [x], tmp_path / "float")
    graph, size, found = run(engine, after, [x], tmp_path / "int4")
    assert_agrees(found, after, [x])
    kinds = [kernel.kind.split()[0] for kernel in graph.kernels]
    assert kinds.count({"onnxruntime": "MatMulNBits", "openvino": "FullyConnected"}[engine]) == 2
    weights = 4 * 2 * 512 * 512
    assert weights / (weights - whole + size) > 7
    assert program.weight_bytes / after.weight_bytes > 7


def test_4_bits_lie_between_minus_8_and_7_in_groups_along_a_row() -> None:
    program, x = mlp(256)
    after = quantized(Int4Weight(group=32), program)
    node = next(node for node in after.calls if is_dequantize(node) and node.name.startswith("linear__"))
    stored, scales = after.tensor(node.args[0]), after.tensor(node.args[1])
    assert -8 <= int(stored.min()) < 0 < int(stored.max()) <= 7
    assert scales.shape == (256, 8)
    weight = program.tensor(program.node("linear").args[1])
    floats = (stored.float().unflatten(1, (8, 32)) * scales[..., None]).flatten(1)
    torch.testing.assert_close(floats, weight, atol=float(weight.abs().max()) / 4, rtol=0)
    assert float((after.run([x])[0] - program.run([x])[0]).norm() / program.run([x])[0].norm()) < 0.15


@pytest.mark.parametrize(
    ("row", "groups", "asked", "expected"),
    [
        (512, (16, 32, 64, 128, 256), 0, 128),
        (192, (16, 32, 64, 128, 256), 0, 64),
        (256, (16, 32, 64), 0, 64),
        (768, (256,), 0, 256),
        (512, (16, 32, 64, 128, 256), 32, 32),
    ],
)
def test_a_group_is_128_or_the_most_that_row_and_engine_allow(
    row: int, groups: tuple[int, ...], asked: int, expected: int
) -> None:
    program, _ = mlp(row)
    found = offers(Int4Weight(group=asked), program, scheme=replace(OPENVINO, group_sizes=groups))
    assert [item.parameters["group"] for item in found] == [expected] * 2


@pytest.mark.parametrize("engine", ["onnxruntime"])
def test_groups_of_8_bits_are_those_of_linear_layers_alone(engine: str) -> None:
    x = torch.randn(2, 3, 16, 16)
    program = captured(Convolutions(), x)
    (found,) = offers(Int8Weight(group=32), program, scheme=SCHEMES[engine])
    assert found.site == ("linear",)
    assert "groups are along the rows of linear layers" in reasons(Int8Weight(group=32), program)


def test_a_scale_that_cuts_off_is_chosen_where_the_error_is_less() -> None:
    torch.manual_seed(0)
    groups = torch.randn(64, 128)
    groups[:, 0] = 6.0

    def error(scale: Tensor) -> Tensor:
        return ((groups / scale[:, None]).round().clamp(-8, 7) * scale[:, None] - groups).square().sum(-1)

    whole, best = absmax_scales(groups, 7), least_squares_scales(groups, -8, 7)
    assert bool((error(best) <= error(whole)).all())
    assert error(best).mean() < 0.85 * error(whole).mean()


@pytest.mark.parametrize("value", [0.0, 1e-40, 1e30])
@pytest.mark.parametrize("rule", [Int8Weight(), Int4Weight()])
def test_weights_of_one_size_keep_it(rule: Any, value: float) -> None:
    layer = nn.Linear(128, 16, bias=False)
    layer.weight.data.fill_(value)
    x = torch.ones(1, 128)
    after = quantized(rule, captured(layer, x))
    torch.testing.assert_close(after.run([x])[0], F.linear(x, layer.weight), atol=1e-36, rtol=1e-4)


def declined(forward: Any, *args: Any, **tensors: Tensor) -> list[str]:
    return reasons(Int4Weight(), captured(Function(forward, **tensors), *args), scheme=ONNX_RUNTIME)


def test_odd_sites_are_declined_with_their_reasons() -> None:
    x, weight = torch.randn(2, 128), torch.randn(16, 128)
    assert declined(lambda self, x: F.linear(x, self.w), x, w=weight) == []
    infinite = weight.clone()
    infinite[0, 0] = float("inf")
    assert declined(lambda self, x: F.linear(x, self.w), x, w=infinite) == ["its weight is not finite"]
    assert declined(lambda self, x: F.linear(x, self.w).sum() + self.w.sum(), x, w=weight) == [
        "its weight is used by sum_2 as well"
    ]
    assert declined(lambda self, x: F.linear(x.half(), self.w), x, w=weight.half()) == [
        "its weight is stored in 16 bits already"
    ]
    assert (
        "no group fits its row of 100"
        in declined(lambda self, x: F.linear(x, self.w), x[:, :100], w=weight[:, :100])[0]
    )
    (reason,) = declined(lambda self, x: F.conv1d(x[:, :, None], self.w), x, w=weight[:, :, None].contiguous())
    assert "rows of linear layers" in reason
    tiny = reasons(Int8Weight(), captured(nn.Linear(1, 9), torch.randn(2, 1)))
    assert tiny == ["it would take no less room"]


def test_a_weight_that_layers_share_is_one_candidate() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 128)

        def forward(self, tokens: Tensor) -> Any:
            return F.linear(self.table(tokens).relu(), self.table.weight)

    tokens = torch.randint(0, 50, (2, 7))
    program = captured(Tied(), tokens)
    (found,) = offers(Int8Weight(), program)
    assert set(found.site) == {"embedding", "linear"}
    after = quantized(Int8Weight(), program)
    assert sum(map(is_dequantize, after.calls)) == 1
    expected = program.run([tokens])[0]
    torch.testing.assert_close(after.run([tokens])[0], expected, atol=0.02 * float(expected.abs().max()), rtol=0)
    assert reasons(Int4Weight(), program) == ["groups are along the rows of linear layers"]


@pytest.mark.parametrize("text", [{"group": 3}, {"rounding": "up"}])
def test_wrong_options_are_said(text: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(text))):
        Int4Weight(**text)
