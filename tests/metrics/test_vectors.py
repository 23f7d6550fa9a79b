"""Metrics of how near outputs are to the original's."""

from __future__ import annotations

import math

import pytest
import torch

from fxopt.errors import MetricError
from fxopt.verify.error import relative_error
from fxopt.verify.score import collect
from fxopt_plugins.metrics.vectors import Cosine, EmbeddingCosine, OutputError


def test_cosine_is_of_a_samples_whole_output() -> None:
    original = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [4.0, 0.0]]])
    changed = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [5.0, 0.0]]])
    assert collect(Cosine(), changed, reference=original)[:, 0].tolist() == pytest.approx([0.5, 0.8])


def test_embedding_cosine_counts_every_vector_the_same() -> None:
    original = torch.tensor([[[100.0, 0.0], [0.0, 1.0]]])
    changed = torch.tensor([[[100.0, 0.0], [1.0, 0.0]]])
    assert collect(EmbeddingCosine(), changed, reference=original).item() == pytest.approx(0.5)
    assert collect(Cosine(), changed, reference=original).item() > 0.99


@pytest.mark.parametrize("metric", [Cosine(), EmbeddingCosine()])
def test_zero_vectors_are_equal_to_zero_vectors_only(metric: Cosine) -> None:
    zeros, ones = torch.zeros(1, 3), torch.ones(1, 3)
    assert collect(metric, zeros, reference=zeros).item() == 1
    assert collect(metric, ones, reference=zeros).item() == 0
    assert collect(metric, -ones, reference=ones).item() == pytest.approx(-1)


def test_error_is_the_relative_error_of_each_sample_and_the_worst_of_its_outputs() -> None:
    torch.manual_seed(0)
    original = torch.randn(3, 4), torch.randn(3, 2)
    changed = original[0] + 0.1, original[1] * 1.5
    found = collect(OutputError(), changed, reference=original)
    for row in range(3):
        assert found[row, 0] == max(relative_error(changed[i][row], original[i][row]) for i in range(2))


def test_integers_that_differ_are_no_finite_error() -> None:
    with pytest.raises(MetricError, match=r"^error is inf \(sample 2\)$"):
        collect(OutputError(), (torch.tensor([1, 2]),), reference=(torch.tensor([1, 3]),))


def test_cosine_does_not_leave_its_range_by_rounding() -> None:
    torch.manual_seed(0)
    original = torch.randn(50, 7)
    found = collect(Cosine(), original * 3, reference=original)
    assert float(found.max()) <= 1
    assert math.isclose(float(found.min()), 1)
