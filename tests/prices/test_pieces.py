"""Pieces of Programs: what makes two the same, and what they compute and move."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxopt.contracts.price import Piece
from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.prices.pieces import computed_on, cut_calls, kind, piece, sort
from tests.engines.nets import program

IMAGE = torch.randn(1, 4, 8, 8)


class Named(nn.Module):
    """A layer under a name, after something else."""

    def __init__(self, name: str, layer: nn.Module, before: Any = torch.exp) -> None:
        super().__init__()
        self.name, self.before = name, before
        self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule(self.name)(self.before(x)).relu()


def of(net: Program, *names: str) -> Piece:
    return piece(net, names)


def convolution(**changes: Any) -> Piece:
    options = {"kernel_size": 3, "padding": 1, **changes}
    layer = nn.Conv2d(options.pop("inside", 4), options.pop("outside", 8), **options)
    return of(program(Named("layer", layer), IMAGE), "conv2d", "relu")


def test_names_and_weights_do_not_matter() -> None:
    first, second = (Named(name, nn.Conv2d(4, 8, 3)) for name in ("stem", "head"))
    found = {of(program(net, IMAGE), "conv2d", "relu").kernel for net in (first, second)}
    assert len(found) == 1


@pytest.mark.parametrize(
    "change",
    [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"bias": False}, {"outside": 16}, {"kernel_size": 1, "padding": 0}],
)
def test_all_that_an_engine_may_choose_a_kernel_by_matters(change: dict[str, Any]) -> None:
    assert convolution(**change).kernel != convolution().kernel


def test_bounds_and_scales_do_not_matter() -> None:
    def clamped(high: float) -> str:
        class Clamped(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.clamp(x.exp(), 0.0, high)

        return of(program(Clamped(), IMAGE), "clamp").kernel

    assert clamped(6.0) == clamped(1.0)


def test_what_an_input_comes_from_matters_but_for_the_bare_kernel() -> None:
    found = [
        of(program(Named("layer", nn.Conv2d(4, 8, 3), before), IMAGE), "conv2d") for before in (torch.exp, torch.tanh)
    ]
    assert found[0].kernel != found[1].kernel
    assert found[0].features["bare"] == found[1].features["bare"]


def test_views_hide_what_an_input_comes_from_no_more_than_they_move() -> None:
    net = program(Named("layer", nn.Linear(64, 3), lambda x: x.exp().flatten(2)), IMAGE)
    assert "aten.exp" in of(net, "linear").kernel


def test_a_dynamic_batch_counts_as_it_is_measured() -> None:
    net = nn.Sequential(nn.Linear(6, 7))
    dynamic = program(net, torch.randn(2, 6), dynamic=True, measured=5)
    assert of(dynamic, "linear").kernel == of(program(net, torch.randn(5, 6)), "linear").kernel


def test_a_piece_tells_what_it_computes_and_moves() -> None:
    features = convolution().features
    assert features["main"] == "aten.conv2d dense 3x3"
    assert features["sort"] == "convolution"
    assert features["dtype"] == "float32"
    assert features["flops"] == 2 * (8 * 64) * (4 * 9) + 8 * 64
    assert features["functions"] == 0
    assert features["read"] == 4 * 4 * 64
    assert features["weights"] == 4 * (8 * 4 * 9 + 8)
    assert features["written"] == 4 * 8 * 64
    assert features["calls"] == 2


def test_a_piece_tells_how_many_functions_it_takes() -> None:
    net = program(Named("layer", nn.Sequential(nn.Conv2d(4, 8, 3), nn.SiLU())), IMAGE)
    assert of(net, "conv2d", "silu").features["functions"] == 8 * 6 * 6
    assert of(net, "conv2d").features["functions"] == 0


@pytest.mark.parametrize(("groups", "form"), [(1, "dense"), (2, "grouped"), (4, "depthwise")])
def test_convolutions_are_told_apart_by_their_groups(groups: int, form: str) -> None:
    assert convolution(groups=groups).features["main"] == f"aten.conv2d {form} 3x3"


class Quantized(nn.Module):
    """A linear layer on integers."""

    def __init__(self, zero_point: int = 3) -> None:
        super().__init__()
        self.zero_point = zero_point
        self.register_buffer("integers", torch.randint(-127, 128, (7, 6)).to(torch.int8))
        self.register_buffer("scale", torch.rand(7) + 0.1)

    def forward(self, x: Tensor) -> Tensor:
        ops = operators()
        numbers = (0.1, self.zero_point, 0, 255, torch.uint8)
        x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *numbers), *numbers)
        weight = ops.dequantize_per_channel(self.integers, self.scale, None, 0, -127, 127, torch.int8)
        x = nn.functional.linear(x, weight)
        return ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *numbers), *numbers)


class Mixed(Quantized):
    """Layers of which one has floats for weights, one for inputs."""

    def forward(self, x: Tensor) -> Tensor:
        ops, numbers = operators(), (0.1, 3, 0, 255, torch.uint8)
        weight = ops.dequantize_per_channel(self.integers, self.scale, None, 0, -127, 127, torch.int8)
        x = nn.functional.linear(x, weight).relu()
        x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *numbers), *numbers)
        return nn.functional.linear(x, self.scale.diag())


def test_an_attention_with_a_mask_is_another_kind() -> None:
    class Attention(nn.Module):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            plain = nn.functional.scaled_dot_product_attention(q, k, v)
            return nn.functional.scaled_dot_product_attention(plain, k, v, torch.ones(1, 1, 4, 4, dtype=torch.bool))

    made = program(Attention(), *(torch.randn(1, 2, 4, 8) for _ in range(3)))
    kinds = [kind(made, node) for node in cut_calls(made) if sort(node) == "attention"]
    assert kinds == ["aten.scaled_dot_product_attention", "aten.scaled_dot_product_attention masked"]


def test_a_layer_some_of_whose_operands_are_floats_computes_on_neither_integers_nor_floats_alone() -> None:
    net = program(Mixed(), torch.randn(2, 6))
    assert of(net, "linear").features["dtype"] == "float32 by float of int8"
    assert of(net, "linear_1").features["dtype"] == "float of uint8 by float32"


def test_a_layer_on_integers_reads_writes_and_holds_integers() -> None:
    net = program(Quantized(), torch.randn(2, 6))
    quantizes = [node.name for node in cut_calls(net) if "quantize" in node.name]
    assert quantizes == ["quantize_per_tensor", "quantize_per_tensor_1"]  # what dequantizes belongs to what reads it
    features = of(net, "linear", quantizes[1]).features
    assert features["dtype"] == "uint8"
    assert (features["read"], features["written"]) == (2 * 6, 2 * 7)
    assert 7 * 6 <= features["weights"] < 4 * 7 * 6
    assert of(net, "linear", quantizes[1]).kernel.startswith("x1 of quantized_decomposed.quantize_per_tensor")


def test_what_depends_on_constants_alone_is_no_call_to_cut_at() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 8))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.weight * self.weight.abs().sum())

    net = program(Scaled(), IMAGE)
    assert [node.name for node in cut_calls(net)] == ["linear"]
    assert of(net, "linear").features["weights"] == 4 * 3 * 8


@pytest.mark.parametrize(
    ("layer", "channels"),
    [
        (nn.Conv2d(8, 24, 3), [8, 24]),
        (nn.Conv2d(8, 24, 3, groups=4), [2, 6]),
        (nn.Conv2d(8, 16, 3, groups=8), [16]),
        (nn.Linear(16, 5), [16, 5]),
        (nn.ReLU(), []),
    ],
)
def test_a_linear_call_has_the_channels_of_one_group(layer: nn.Module, channels: list[int]) -> None:
    net = program(layer, torch.randn(1, 8, 16, 16))
    assert piece(net, [node.name for node in net.calls]).features["channels"] == channels


def test_a_piece_tells_what_sort_of_call_it_comes_after() -> None:
    net = program(nn.Sequential(nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8 * 14 * 14, 4)), torch.randn(1, 8, 16, 16))
    conv, *_, linear = (node.name for node in net.calls)
    assert piece(net, [conv]).features["after"] == "input"
    assert piece(net, [linear]).features["after"] == "convolution"


def test_it_does_not_matter_which_number_stands_for_zero_but_for_zero_itself() -> None:
    """A kernel takes another one into account, or need not."""

    def kernel(zero_point: int) -> str:
        net = program(Quantized(zero_point), torch.randn(2, 6))
        return of(net, "linear", "quantize_per_tensor_1").kernel

    assert kernel(3) == kernel(117)
    assert kernel(3) != kernel(0)


def test_integers_of_four_bits_are_another_matter_than_those_of_eight() -> None:
    """An engine may have kernels for them beside floats, and none beside integers."""

    class FourBits(Quantized):
        def __init__(self) -> None:
            super().__init__()
            self.integers, self.scale = torch.randint(-8, 8, (7, 7)).to(torch.int8), torch.rand(7) + 0.1

        def forward(self, x: Tensor) -> Tensor:
            ops, numbers = operators(), (0.1, 3, 0, 255, torch.uint8)
            weight = ops.dequantize_per_channel(self.integers, self.scale, None, 0, -8, 7, torch.int8)
            x = nn.functional.linear(x, weight).relu()
            x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *numbers), *numbers)
            weight = ops.dequantize_per_channel(self.integers, self.scale, None, 0, -8, 7, torch.int8)
            return nn.functional.linear(x, weight)

    net = program(FourBits(), torch.randn(2, 7))
    assert of(net, "linear").features["dtype"] == "float32 by float of int4"
    found = {node.name: computed_on(node) for node in cut_calls(net) if sort(node) == "product"}
    assert found == {"linear": "float32 by float of int4", "linear_1": "float of uint8 by float of int4"}
