"""The pass `log_softmax` keeps to what the kit asks of all passes, finds its site, and leaves a shared softmax."""

import pytest
import torch

from fxopt.testing import captured, pass_checks
from fxopt_example.log_softmax import LogSoftmax


def classifier():
    return captured(lambda self, x: self.head(x).softmax(-1).log(), torch.randn(3, 8), head=torch.nn.Linear(8, 5))


def shared_softmax():
    def forward(self, x):
        y = x.softmax(-1)
        return y.log(), y

    return captured(forward, torch.randn(3, 8))


@pytest.mark.parametrize(
    "check",
    pass_checks(
        LogSoftmax(),
        programs={"classifier": classifier},
        near_misses={"shared softmax": (shared_softmax, "has 2 users")},
    ),
)
def test_log_softmax(check):
    check()
