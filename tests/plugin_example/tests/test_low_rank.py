"""The pass `low_rank` keeps to the kit, comes near to the layer, and declines what cannot be had cheaper."""

import pytest
import torch

from fxopt import View
from fxopt.testing import captured, pass_checks
from fxopt_example.low_rank import LowRank


def nearly_low_rank(out=24, features=32, rank=4):
    """A weight of that rank with a little noise."""
    return torch.randn(out, rank) @ torch.randn(rank, features) + 0.01 * torch.randn(out, features)


def perceptron():
    """Two layers that can be split."""

    def forward(self, x):
        return torch.nn.functional.linear(torch.nn.functional.linear(x, self.a, self.b).relu(), self.c)

    members = {"a": nearly_low_rank(), "b": torch.randn(24), "c": nearly_low_rank(16, 24)}
    return captured(forward, torch.randn(3, 32), **members)


def layer(weight):
    return lambda: captured(lambda self, x: torch.nn.functional.linear(x, self.w), torch.randn(3, 32), w=weight)


def shared_weight():
    def forward(self, x):
        return torch.nn.functional.linear(x, self.w), self.w.sum()

    return captured(forward, torch.randn(3, 32), w=nearly_low_rank())


@pytest.mark.parametrize(
    "check",
    pass_checks(
        LowRank(),
        programs={"perceptron": perceptron},
        near_misses={
            "full rank": (layer(torch.randn(24, 32)), "of the energy"),
            "nan": (layer(torch.full((24, 32), torch.nan)), "keeps nan"),
            "narrow": (layer(torch.randn(2, 32)[:2]), "of the energy"),
            "shared weight": (shared_weight, "has 2 users"),
        },
    ),
)
def test_low_rank(check):
    check()


def test_a_rank_that_saves_nothing_is_declined():
    view = View("low_rank")
    assert not list(LowRank(rank=0.9).propose(perceptron(), view))
    assert "multiply no less" in view.declines[0].reason
