"""The target `rated_cpu` keeps to what the kit asks of all targets, and its options are what prices rest on."""

import pytest
import torch

from fxopt.testing import captured, target_checks
from fxopt_example.engine import Ncnn
from fxopt_example.target import RatedCpu


@pytest.mark.parametrize("check", target_checks(RatedCpu(), engines=[Ncnn()]))
def test_rated_cpu(check):
    check()


def test_a_core_of_half_the_speed_takes_twice_as_long():
    square = torch.randn(256, 256)
    product = captured(lambda self, x: x @ self.w, square, w=square.clone())

    def price(**figures):
        return RatedCpu(bandwidth=1e6, **figures).predict(product, Ncnn()).latency_ms.estimate

    assert price(gflops=10) == pytest.approx(2 * price(gflops=20))
