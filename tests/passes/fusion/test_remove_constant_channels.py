from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fxopt.compiler.context import Context
from fxopt.compiler.search import search
from fxopt.compiler.steps import replay
from fxopt.contracts.passes import View
from fxopt.contracts.target import Capabilities
from fxopt.ir.program import Program
from fxopt.registry import Registry
from fxopt_passes.fusion.remove_constant_channels import RemoveConstantChannels
from tests.passes.apply import captured, proposals, reasons, rewrite

REMOVE = RemoveConstantChannels()


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def channels(program: Program) -> list[int]:
    """Output channels of the linear maps, in order."""
    maps = ("conv2d", "linear")
    return [n.meta["val"].shape[1] for n in program.calls if getattr(n.target, "__name__", "").split(".")[0] in maps]


def removed(module: nn.Module, *shape: int) -> list[int]:
    return channels(rewrite(captured(module.double(), image(*shape), dynamic=True), REMOVE))


def declined(module: nn.Module, *shape: int) -> str:
    program = captured(module.double(), image(*shape))
    assert not proposals(REMOVE, program)
    return reasons(REMOVE, program)


def blank(layer: nn.Module, dead: Sequence[int], bias: float | None = None) -> nn.Module:
    """The layer with zero weights for some output channels."""
    with torch.no_grad():
        layer.weight[list(dead)] = 0
        if bias is not None:
            layer.bias[list(dead)] = bias
    return layer


def scattered(module: nn.Module) -> nn.Module:
    for item in module.modules():
        if isinstance(item, nn.BatchNorm2d):
            for tensor in (item.weight, item.bias, item.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(item.running_var, 0.5, 2)
    return module


def inverted_residual(dead: Sequence[int], padding: int = 1) -> nn.Module:
    """A MobileNet block whose expansion has dead channels: their batch norm leaves a negative number to ReLU6."""
    block = scattered(
        nn.Sequential(
            nn.Conv2d(4, 12, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
            nn.Conv2d(12, 12, 3, padding=padding, groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU6(),
            nn.Conv2d(12, 4, 1, bias=False), nn.BatchNorm2d(4),
        )
    )  # fmt: skip
    blank(block[0], dead)
    with torch.no_grad():
        block[1].running_mean[list(dead)] = 1
        block[1].weight[list(dead)] = 1
        block[1].bias[list(dead)] = -2
        block[4].running_mean.zero_()  # so that the other channels surely vary after the second ReLU6
        block[4].bias.uniform_(1, 3)
    return block


def test_removes_dead_channels_of_a_mobilenet_block() -> None:
    assert removed(inverted_residual([0, 3, 7]), 2, 4, 6, 6) == [9, 9, 4]


def test_moves_what_dead_channels_add_into_the_bias() -> None:
    block = nn.Sequential(blank(nn.Conv2d(3, 6, 3), [1, 4], 0.7), nn.GELU(), nn.Conv2d(6, 5, 3, bias=False))
    after = rewrite(captured(block.double(), image(2, 3, 8, 8), dynamic=True), REMOVE)
    assert channels(after) == [4, 5]
    assert after.tensor(list(after.calls)[-1].args[2]) is not None


@pytest.mark.parametrize("bias", [0.0, -1.0])
def test_removes_channels_that_are_zero_before_a_padded_convolution(bias: float) -> None:
    block = nn.Sequential(blank(nn.Conv2d(3, 6, 3), [1, 4], bias), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1))
    assert removed(block, 2, 3, 8, 8) == [4, 5]


def test_declines_constants_that_zero_padding_would_see() -> None:
    block = nn.Sequential(blank(nn.Conv2d(3, 6, 3), [1, 4], 0.7), nn.ReLU(), nn.Conv2d(6, 5, 3, padding=1))
    assert "would see the constant" in declined(block, 2, 3, 8, 8)


def test_removes_constants_through_an_unpadded_depthwise_convolution_but_not_a_padded_one() -> None:
    def block(padding: int) -> nn.Module:
        depthwise = nn.Conv2d(6, 6, 3, padding=padding, groups=6)
        return nn.Sequential(blank(nn.Conv2d(3, 6, 1), [2], 0.7), depthwise, nn.Conv2d(6, 2, 1))

    assert removed(block(0), 2, 3, 8, 8) == [5, 5, 2]
    assert removed(block(1), 2, 3, 8, 8) == [6, 6, 2]


def test_removes_channels_that_bounds_show_never_to_be_positive() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(), nn.Conv2d(4, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 1))
    with torch.no_grad():
        block[2].weight[3].clamp_(max=0)
        block[2].bias[3] = -0.1
    assert removed(block, 2, 3, 8, 8) == [4, 4, 2]


@pytest.mark.parametrize(
    "pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2)], ids=["max", "average", "adaptive"]
)
def test_goes_through_pooling_and_flattening_to_a_linear_layer(pool: nn.Module) -> None:
    block = nn.Sequential(blank(nn.Conv2d(3, 6, 1), [0, 5], 0.3), nn.Sigmoid(), pool, nn.Flatten(), nn.Linear(24, 7))
    assert removed(block, 2, 3, 4, 4) == [4, 7]


def test_leaves_constants_alone_behind_an_average_with_a_divisor_of_its_own() -> None:
    pool = nn.AvgPool2d(2, divisor_override=3)
    assert removed(nn.Sequential(blank(nn.Conv2d(3, 6, 1), [0], 0.3), pool, nn.Conv2d(6, 2, 1)), 2, 3, 4, 4) == [6, 2]


def test_goes_through_a_global_mean() -> None:
    class Mean(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    assert removed(nn.Sequential(blank(nn.Conv2d(3, 6, 1), [0, 5], 0.3), Mean(), nn.Linear(6, 7)), 2, 3, 4, 4) == [4, 7]


def test_removes_hidden_units_of_linear_layers() -> None:
    assert removed(nn.Sequential(blank(nn.Linear(3, 6), [1], 2.0), nn.SiLU(), nn.Linear(6, 2)), 2, 3) == [5, 2]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = blank(nn.Conv2d(3, 3, 1), [1]), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x) + x)


def test_declines_channels_that_feed_a_residual_add() -> None:
    assert "residual add" in declined(Residual(), 2, 3, 4, 4)


def test_declines_channels_that_are_an_output() -> None:
    assert "they are an output" in declined(blank(nn.Linear(3, 6), [1]), 2, 3)


def test_declines_a_map_that_is_constant_throughout() -> None:
    block = nn.Sequential(blank(nn.Linear(3, 6), range(6)), nn.ReLU(), nn.Linear(6, 2))
    assert "all its channels are constant" in declined(block, 2, 3)


def test_proposes_nothing_where_no_channel_is_constant() -> None:
    program = captured(inverted_residual([]).double(), image(2, 4, 6, 6))
    assert not proposals(REMOVE, program)
    assert not reasons(REMOVE, program)


@settings(max_examples=8, deadline=None)
@given(dead=st.sets(st.integers(0, 11), max_size=11), padding=st.integers(0, 1))
def test_removes_any_pattern_of_dead_channels(dead: set[int], padding: int) -> None:
    after = rewrite(captured(inverted_residual(sorted(dead), padding).double(), image(2, 4, 6, 6)), REMOVE)
    assert channels(after) == [12 - len(dead), 12 - len(dead), 4]


# -- the hardware's grid -------------------------------------------------------------------------------------------

GRID = Capabilities(frozenset({"float32"}), channel_grid=8)


def with_dead(count: int) -> Program:
    """A convolution of 24 channels, the first `count` of them constant, with one that mixes them."""
    net = nn.Sequential(blank(nn.Conv2d(3, 24, 1), range(count)), nn.ReLU(), nn.Conv2d(24, 4, 1))
    return captured(net, torch.randn(1, 3, 5, 5))


@pytest.mark.parametrize(("dead", "gone"), [(8, 8), (10, 8), (15, 8), (16, 16), (23, 16)])
def test_as_many_channels_stay_as_fill_the_last_step(dead: int, gone: int) -> None:
    (candidate,) = REMOVE.propose(with_dead(dead), View(REMOVE.name, GRID))
    assert candidate.parameters["channels"] == list(range(gone))


def test_too_few_channels_for_a_step_are_declined() -> None:
    view = View(REMOVE.name, GRID)
    assert not list(REMOVE.propose(with_dead(7), view))
    assert [decline.reason for decline in view.declines] == [
        "7 of 24 channels are constant, too few for a step of the 8 in which the hardware takes channels"
    ]


def test_a_replay_knows_the_grid_that_the_search_knew() -> None:
    program, registry, context = with_dead(10), Registry.load(), Context(GRID)
    found = search(program, [REMOVE], registry, context)
    assert channels(found.program) == [16, 4]
    again, skipped = replay(program, found.steps, registry, context)
    assert (again.digest, skipped) == (found.program.digest, [])
