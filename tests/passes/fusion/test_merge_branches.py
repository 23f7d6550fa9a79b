from __future__ import annotations

import pytest
import torch
from torch import nn

from fxopt_passes.fusion.fold_batch_norm import FoldBatchNorm
from fxopt_passes.fusion.merge_branches import MergeBranches
from tests.passes.apply import Function, captured, proposals, reasons, rewrite, targets

MERGE = MergeBranches()


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


class Block(nn.Module):
    """The sum of branches of one value."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.double()
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean):
                    nn.init.normal_(tensor)
                nn.init.uniform_(module.running_var, 0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.branches[0](x)
        for branch in self.branches[1:]:
            total = total + branch(x)
        return total


def normed(*args: int, **kwargs: int) -> nn.Module:
    convolution = nn.Conv2d(*args, bias=False, **kwargs)
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels))


def merged(module: nn.Module, *shape: int) -> list[str]:
    return targets(rewrite(captured(module, image(*shape), dynamic=True), MERGE))


def declined(module: nn.Module, *shape: int) -> str:
    program = captured(module, image(*shape))
    assert not proposals(MERGE, program)
    return reasons(MERGE, program)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_merges_a_repvgg_block_in_training_form(groups: int) -> None:
    block = Block(normed(4, 4, 3, padding=1, groups=groups), normed(4, 4, 1, groups=groups), nn.BatchNorm2d(4))
    assert merged(block, 2, 4, 6, 6) == ["aten.conv2d.default"]


def test_merges_a_repvgg_block_whose_batch_norms_are_folded_first() -> None:
    block = Block(normed(4, 4, 3, padding=1), normed(4, 4, 1), nn.BatchNorm2d(4))
    program = captured(block, image(2, 4, 6, 6))
    assert targets(rewrite(program, FoldBatchNorm(), MERGE)) == ["aten.conv2d.default"]


def test_merges_a_strided_repvgg_block() -> None:
    assert merged(Block(normed(4, 6, 3, padding=1, stride=2), normed(4, 6, 1, stride=2)), 2, 4, 7, 7) == [
        "aten.conv2d.default"
    ]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_merges_the_value_itself(groups: int) -> None:
    assert merged(Block(nn.Conv2d(4, 4, 3, padding=1, groups=groups), nn.Identity()), 2, 4, 6, 6) == [
        "aten.conv2d.default"
    ]


def test_merges_kernels_of_several_sizes_and_dilations() -> None:
    block = Block(
        nn.Conv2d(4, 3, 5, padding=2, bias=False),
        nn.Conv2d(4, 3, 3, padding=2, dilation=2),
        nn.Conv2d(4, 3, (1, 3), padding=(0, 1), bias=False),
        nn.Conv2d(4, 3, (3, 1), padding=(1, 0)),
    )
    assert merged(block, 2, 4, 7, 7) == ["aten.conv2d.default"]


def test_merges_linear_layers_and_the_value_itself() -> None:
    assert merged(Block(nn.Linear(4, 4), nn.Linear(4, 4, bias=False), nn.Identity()), 2, 3, 4) == [
        "aten.linear.default"
    ]


def test_leaves_other_summands_alone() -> None:
    other = nn.Sequential(nn.ReLU(), nn.AvgPool2d(3, 1, 1))
    block = Block(nn.Conv2d(4, 4, 3, padding=1), other, nn.Conv2d(4, 4, 1))
    after = merged(block, 2, 4, 6, 6)
    assert after.count("aten.conv2d.default") == after.count("aten.add.Tensor") == 1


def test_merges_branches_of_two_values_apart() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 3) for _ in range(4)).double()

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            a, b, c, d = self.layers
            return (a(x) + b(y)) + (c(x) + d(y))

    after = targets(rewrite(captured(Two(), image(2, 4), image(2, 4)), MERGE))
    assert after == ["aten.linear.default", "aten.linear.default", "aten.add.Tensor"]


class Shared(Block):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self.branches[0](x)
        return (wide + self.branches[1](x)) * wide.sigmoid()


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Shared(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)), "is used elsewhere"),
        (Block(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, groups=2)), "its groups 2"),
        (Block(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=2, dilation=2)), "no place within"),
        (Block(nn.ConvTranspose2d(4, 4, 1), nn.Conv2d(4, 4, 1)), "transposed"),
    ],
)
def test_declines_branches_without_a_common_kernel(block: nn.Module, reason: str) -> None:
    assert reason in declined(block, 2, 4, 6, 6)


def test_declines_the_value_itself_beside_a_map_to_other_channels() -> None:
    class Broadcast(Block):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.branches[0](x) + x[:, :1]

    program = captured(Broadcast(nn.Conv2d(4, 3, 1)), image(2, 4, 6, 6))
    assert not proposals(MERGE, program)


def test_a_value_added_twice_counts_twice() -> None:
    class Twice(Block):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.branches[0](x) + x

    assert merged(Twice(nn.Linear(4, 4)), 2, 4) == ["aten.linear.default"]


def test_a_sum_may_have_more_summands_than_python_may_recurse() -> None:
    module = Function(lambda s, x: sum((x for _ in range(1000)), start=s.a(x) + s.b(x)))
    module.a, module.b = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    assert targets(rewrite(captured(module.double(), image(1, 4, 2, 2)), MERGE)) == ["aten.conv2d.default"]
