"""The Gaussian process: what it foretells, and how its covariance is fitted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from fxopt.prices.gaussian import Covariance, Process

THOUGHT = Covariance((1.5, 1.5), shared=0.4, own=0.3, level=0.2, noise=0.05)
RANDOM = np.random.default_rng(0)
AT = RANDOM.uniform(0, 6, (60, 2))
KINDS = np.array(["a", "b"])[RANDOM.integers(0, 2, 60)]
VALUES = np.sin(AT[:, 0]) + 0.5 * (KINDS == "a") + 0.02 * RANDOM.normal(size=60)


def test_what_was_seen_is_foretold_where_it_was_seen() -> None:
    found = Process(AT, KINDS, VALUES, np.zeros(60), THOUGHT)
    errors = [found.at(point, kind)[0] - value for point, kind, value in zip(AT, KINDS, VALUES, strict=True)]
    assert np.abs(errors).max() < 0.1


def test_left_out_is_what_a_process_without_that_value_would_be_off_by() -> None:
    whole = Process(AT, KINDS, VALUES, np.zeros(60), THOUGHT, fit=False)
    mean = VALUES.mean()
    for index in (0, 7):
        others = np.arange(60) != index
        # Without the value the mean that is taken off would be another: it is held here.
        matrix = THOUGHT.between(AT[others], KINDS[others], AT[others], KINDS[others]) + 0.05**2 * np.eye(59)
        across = THOUGHT.between(AT[[index]], KINDS[[index]], AT[others], KINDS[others])[0]
        foretold = mean + across @ np.linalg.solve(matrix, VALUES[others] - mean)
        assert whole.left_out[index] == pytest.approx(VALUES[index] - foretold, abs=1e-6)


def test_a_coordinate_that_says_nothing_is_found_to_be_long() -> None:
    fitted = Process(AT, KINDS, VALUES, np.zeros(60), THOUGHT).covariance
    assert fitted.lengths[1] > 2 * fitted.lengths[0]
    assert fitted.noise < 0.05


def test_slopes_of_the_likelihood_are_right() -> None:
    squares, same = (AT[:, None] - AT[None]) ** 2, (KINDS[:, None] == KINDS[None]).astype(float)
    where = np.log([1.0, 2.0, 0.5, 0.2, 0.3, 0.1])

    def loss(logarithms: np.ndarray) -> float:
        *lengths, shared, own, level, noise = np.exp(logarithms)
        covariance = Covariance((lengths[0], lengths[1]), shared, own, level, noise)
        return covariance.unlikeliness(squares, same, VALUES - VALUES.mean(), np.zeros(60))[0]

    found = Covariance((1.0, 2.0), 0.5, 0.2, 0.3, 0.1)
    _, slopes = found.unlikeliness(squares, same, VALUES - VALUES.mean(), np.zeros(60))
    assert slopes == pytest.approx(approx_fprime(where, loss, 1e-7), rel=1e-3, abs=1e-3)


def test_far_from_all_that_was_seen_little_is_known() -> None:
    found = Process(AT, KINDS, VALUES, np.zeros(60), THOUGHT)
    (near, least), (far, most) = found.at(AT[0], "a"), found.at(AT[0] + 1000, "c")
    assert least < 0.1 < most
    assert far == pytest.approx(VALUES.mean(), abs=0.3)
    assert near == pytest.approx(VALUES[0] if KINDS[0] == "a" else VALUES[0] + 0.5, abs=0.1)


def test_few_values_leave_the_covariance_as_it_was_thought() -> None:
    found = Process(AT[:2], KINDS[:2], VALUES[:2], np.zeros(2), THOUGHT).covariance
    assert found.lengths == pytest.approx(THOUGHT.lengths, rel=0.5)
