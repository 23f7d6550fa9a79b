from __future__ import annotations

import pytest
import torch
from torch import nn

from fxopt.errors import InputError
from fxopt_passes.fusion.merge_parallel import MergeParallel
from tests.passes.apply import Function, captured, proposals, reasons, rewrite, targets

MERGE = MergeParallel()
SPLIT = ["aten.split_with_sizes.default", "<built-in function getitem>", "<built-in function getitem>"]


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


class Parallel(nn.Module):
    """Branches side by side, concatenated on axis 1 (or returned one by one)."""

    def __init__(self, *branches: nn.Module, cat: bool = False) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.cat = cat
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        values = [branch(x) for branch in self.branches]
        return torch.cat(values, 1) if self.cat else values


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = [layer(x).view(x.shape[0], 5, 2, 4).transpose(1, 2) for layer in (self.q, self.k, self.v)]
        return nn.functional.scaled_dot_product_attention(*heads)


def test_merges_query_key_and_value_at_a_dynamic_batch_size() -> None:
    after = rewrite(captured(Attention().double(), image(3, 5, 8), dynamic=True), MERGE)
    assert targets(after).count("aten.linear.default") == 1


def test_merges_the_pointwise_convolutions_of_an_inception_block() -> None:
    block = Parallel(
        nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 3, padding=1)),
        nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 5, padding=2)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 1)),
        cat=True,
    )
    after = targets(rewrite(captured(block, image(2, 4, 6, 6), dynamic=True), MERGE))
    assert after.count("aten.conv2d.default") == 4
    assert after.count("aten.relu.default") == 1


def test_splits_nothing_where_a_concatenation_follows() -> None:
    block = Parallel(nn.Conv2d(4, 3, 3), nn.Conv2d(4, 2, 3, bias=False), cat=True)
    assert targets(rewrite(captured(block, image(2, 4, 6, 6)), MERGE)) == ["aten.conv2d.default"]


def test_follows_the_order_of_the_concatenation() -> None:
    a, b = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 2, 1)
    module = Function(lambda self, x: torch.cat([x, torch.relu(self.b(x)), torch.relu(self.a(x))], 1))
    module.b, module.a = b, a
    after = rewrite(captured(module.double(), image(2, 4, 6, 6)), MERGE)
    assert targets(after) == ["aten.conv2d.default", "aten.relu.default", "aten.cat.default"]


def test_merges_maps_that_are_outputs() -> None:
    after = rewrite(captured(Parallel(nn.Linear(4, 3), nn.Linear(4, 2)), image(2, 4)), MERGE)
    assert targets(after) == ["aten.linear.default", *SPLIT]


def test_takes_no_more_than_max() -> None:
    program = captured(Parallel(*(nn.Linear(4, 3) for _ in range(5))), image(2, 4))
    assert [len(item.site) for item in proposals(MergeParallel(max=2), program)] == [2, 2]


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 3), "kernels differ"),
        (nn.Conv2d(4, 2, 3), nn.Conv2d(4, 2, 3, stride=2), "strides differ"),
        (nn.Conv2d(4, 2, 3), nn.Conv2d(4, 2, 3, padding=1), "paddings differ"),
        (nn.Conv2d(4, 2, 3), nn.Conv2d(4, 2, 3, dilation=2), "dilations differ"),
        (nn.Conv2d(4, 2, 3), nn.Conv2d(4, 2, 3, groups=2), "it is grouped"),
        (nn.Conv2d(4, 2, 1), nn.ConvTranspose2d(4, 2, 1), "it is transposed"),
    ],
)
def test_declines_maps_that_differ(one: nn.Module, other: nn.Module, reason: str) -> None:
    program = captured(Parallel(one, other), image(2, 4, 6, 6))
    assert not proposals(MERGE, program)
    assert reason in reasons(MERGE, program)


def test_merges_maps_whose_value_is_viewed() -> None:
    module = Function(lambda self, x: (self.a(x).view(-1), self.b(x)))
    module.a, module.b = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1)
    after = rewrite(captured(module.double(), image(2, 4, 6, 6)), MERGE)
    assert targets(after) == ["aten.conv2d.default", *SPLIT, "aten.reshape.default"]


def test_a_merge_of_fewer_than_two_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="merge_parallel: max is at least 2, not 1"):
        MergeParallel.from_options({"max": "1"})
