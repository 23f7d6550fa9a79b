from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fxopt_passes.fusion.compose_linear import ComposeLinear
from tests.passes.apply import captured, declines, proposals, reasons, rewrite, targets

COMPOSE = ComposeLinear()


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def composed(module: nn.Module, *shape: int) -> list[str]:
    return targets(rewrite(captured(module.double(), image(*shape), dynamic=True), COMPOSE))


def declined(module: nn.Module, *shape: int) -> str:
    program = captured(module.double(), image(*shape))
    assert not proposals(COMPOSE, program)
    return reasons(COMPOSE, program)


@pytest.mark.parametrize("biases", [(True, True), (True, False), (False, True), (False, False)])
def test_composes_two_linear_layers(biases: tuple[bool, bool]) -> None:
    module = nn.Sequential(nn.Linear(4, 9, bias=biases[0]), nn.Linear(9, 4, bias=biases[1]))
    assert composed(module, 3, 5, 4) == ["aten.linear.default"]


def test_composes_a_chain_of_linear_layers() -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 4), nn.ReLU())
    assert composed(module, 3, 4) == ["aten.linear.default", "aten.relu.default"]


def test_composes_two_pointwise_convolutions() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1))
    assert composed(module, 2, 3, 5, 5) == ["aten.conv2d.default"]


def test_composes_a_pointwise_convolution_and_a_wide_one() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, stride=2, dilation=2))
    assert composed(module, 2, 3, 9, 9) == ["aten.conv2d.default"]


def test_composes_a_pointwise_convolution_without_bias_and_a_padded_one() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.Conv2d(8, 4, 3, padding=1))
    assert composed(module, 2, 3, 6, 6) == ["aten.conv2d.default"]


@pytest.mark.parametrize("padding", [0, 1, "same", "valid"])
def test_composes_a_wide_convolution_and_a_pointwise_one(padding: int | str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding=padding), nn.Conv2d(8, 4, 1))
    assert len(composed(module, 2, 3, 6, 6)) == 1


@pytest.mark.parametrize("size", [6, 7, 8, 9])
def test_composes_strides(size: int) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 4, 1, stride=2))
    assert composed(module, 2, 3, size, size) == ["aten.conv2d.default"]


def test_composes_a_named_padding_and_a_stride() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3, padding="same"), nn.Conv2d(8, 4, 1, stride=2))
    assert composed(module, 2, 3, 8, 8) == ["aten.conv2d.default"]


@pytest.mark.parametrize(("kind", "axes"), [(nn.Conv1d, 1), (nn.Conv3d, 3)])
def test_composes_convolutions_of_other_dimensions(kind: type[nn.Module], axes: int) -> None:
    assert len(composed(nn.Sequential(kind(2, 8, 1), kind(8, 3, 2)), 2, 2, *[4] * axes)) == 1


def test_composes_layers_that_share_a_weight() -> None:
    layer = nn.Linear(4, 4)
    assert composed(nn.Sequential(layer, layer), 3, 4) == ["aten.linear.default"]


def test_composes_a_pair_whose_value_is_an_output() -> None:
    assert composed(nn.Sequential(nn.ReLU(), nn.Linear(4, 8), nn.Linear(8, 4)), 3, 4)[-1] == "aten.linear.default"


def test_declines_a_bottleneck_whose_product_costs_more() -> None:
    reason = declined(nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 8)), 3, 8)
    assert "the product costs 192 multiplications, the pair 96" in reason


def test_counts_positions_where_a_stride_makes_them_fewer() -> None:
    cheap = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 2, stride=2))
    assert composed(cheap, 2, 4, 8, 8) == ["aten.conv2d.default"]


def test_declines_a_value_with_two_users() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            value = self.one(x)
            return self.two(value), value

    assert "linear has 2 users" in declined(Two(), 3, 4)


def test_declines_groups() -> None:
    assert "grouped" in declined(nn.Sequential(nn.Conv2d(4, 8, 1, groups=2), nn.Conv2d(8, 4, 1)), 1, 4, 5, 5)


def test_declines_two_wide_convolutions() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3))
    assert "neither conv2d nor conv2d_1 is pointwise" in declined(module, 1, 3, 9, 9)


def test_declines_a_bias_that_zero_padding_would_see() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 3, padding=1))
    assert "the zero padding of conv2d_1 would see the bias of conv2d" in declined(module, 1, 3, 6, 6)


def test_declines_a_stride_after_asymmetric_padding() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 2, padding="same"), nn.Conv2d(8, 4, 1, stride=2))
    assert "asymmetric" in declined(module, 1, 3, 6, 6)


def test_says_nothing_where_something_lies_between() -> None:
    program = captured(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)).double(), image(3, 4))
    assert not declines(COMPOSE, program)


@settings(max_examples=12)
@given(
    widths=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 4)),
    kernels=st.sampled_from([(1, 1), (1, 2), (1, 3), (2, 1), (3, 1)]),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.integers(0, 1),
    size=st.integers(5, 9),
)
def test_any_composition_is_exact(
    widths: tuple[int, int, int], kernels: tuple[int, int], strides: tuple[int, int], padding: int, size: int
) -> None:
    first = nn.Conv2d(widths[0], widths[1], kernels[0], strides[0], padding)
    second = nn.Conv2d(widths[1], widths[2], kernels[1], strides[1])
    program = captured(nn.Sequential(first, second).double(), image(2, widths[0], size, size))
    assert len(targets(rewrite(program, COMPOSE))) == 2 - len(proposals(COMPOSE, program))
