"""How far two results are apart."""

from __future__ import annotations

import math

import pytest
import torch

from fxopt.verify.error import relative_error, worst

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.5], [1.0, 2.0], 0.25),
        ([NAN, 2.0], [NAN, 2.0], 0.0),
        ([INF, 2.0], [INF, 2.0], 0.0),
        ([-INF, 2.0], [INF, 2.0], INF),
        ([NAN, 2.0], [1.0, 2.0], INF),
        ([1.0, 2.0], [NAN, 2.0], INF),
        ([NAN, 3.0], [NAN, 2.0], 0.5),
        ([1.0], [0.0], INF),
        ([0.0], [0.0], 0.0),
        ([], [], 0.0),
    ],
)
def test_floats_are_compared_relative_to_the_largest_expected(
    found: list[float], expected: list[float], error: float
) -> None:
    assert relative_error(torch.tensor(found), torch.tensor(expected)) == error


def test_integers_and_shapes_must_be_equal() -> None:
    assert relative_error(torch.tensor([1, 2]), torch.tensor([1, 2])) == 0
    assert relative_error(torch.tensor([1, 3]), torch.tensor([1, 2])) == INF
    assert relative_error(torch.zeros(2), torch.zeros(3)) == INF
    assert worst([torch.zeros(2)], []) == INF
