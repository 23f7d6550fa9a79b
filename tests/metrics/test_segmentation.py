"""Mean intersection over union, against a confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fxopt.errors import InputError, MetricError
from fxopt.verify.score import collect, value
from fxopt_plugins.metrics.segmentation import MeanIou


def scores_of(classes: torch.Tensor, count: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(classes, count).movedim(-1, 1).float()


def test_it_is_that_of_the_confusion_matrix_over_all_samples() -> None:
    random = np.random.default_rng(0)
    labels, found = random.integers(0, 4, (5, 6, 7)), random.integers(0, 4, (5, 6, 7))
    labels[0, :3] = 255
    matrix = np.zeros((4, 4))
    for wanted, given in zip(labels.ravel(), found.ravel(), strict=True):
        if wanted != 255:
            matrix[wanted, given] += 1
    hits = np.diag(matrix)
    expected = np.mean(hits / (matrix.sum(0) + matrix.sum(1) - hits))
    statistics = collect(MeanIou(), scores_of(torch.from_numpy(found), 4), torch.from_numpy(labels))
    assert value(MeanIou(), statistics) == pytest.approx(expected, rel=1e-12)


def test_a_class_that_is_nowhere_does_not_count() -> None:
    labels = torch.tensor([[[0, 0, 1, 1]]])
    found = torch.tensor([[[0, 1, 1, 1]]])
    assert value(MeanIou(), collect(MeanIou(), scores_of(found, 9), labels)) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_labels_outside_the_classes_are_refused_and_ignored_ones_are_not() -> None:
    scores, labels = torch.zeros(1, 3, 1, 2), torch.tensor([[[255, 1]]])
    assert len(collect(MeanIou(), scores, labels)) == 1
    with pytest.raises(InputError, match=r"there is a label 255, but the output has classes 0\.\.2"):
        collect(MeanIou(ignore=None), scores, labels)


def test_without_a_counted_pixel_there_is_no_value() -> None:
    statistics = collect(MeanIou(), torch.zeros(1, 3, 1, 2), torch.full((1, 1, 2), 255))
    with pytest.raises(MetricError, match="mean_iou is nan over 1 samples"):
        value(MeanIou(), statistics)
