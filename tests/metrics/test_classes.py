"""Metrics of scores of classes, against numbers counted by hand and formulas of others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from fxopt.contracts.metric import Metric
from fxopt.errors import MetricError
from fxopt.verify.score import collect, value
from fxopt_plugins.metrics.classes import Agreement, KlDivergence, Top1, Top5

SCORES = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]])


def judge(
    metric: Metric, outputs: torch.Tensor, labels: torch.Tensor | None = None, to: torch.Tensor | None = None
) -> float:
    return value(metric, collect(metric, outputs, labels, to))


def test_top1_counts_labels_of_the_highest_score_and_of_equal_scores_the_first() -> None:
    assert judge(Top1(), SCORES, torch.tensor([1, 0, 0, 0])) == 0.75
    assert judge(Top1(), SCORES, torch.tensor([1, 0, 0, 1])) == 0.5


def test_top5_counts_labels_among_the_first_five() -> None:
    scores = torch.arange(8.0).expand(8, 8)
    found = collect(Top5(), scores, torch.arange(8))
    assert found[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1]


def test_equal_scores_make_no_more_than_five_hits() -> None:
    assert judge(Top5(), torch.zeros(8, 8), torch.arange(8)) == 5 / 8


def test_a_label_a_pixel_counts_in_the_mean_of_its_sample() -> None:
    scores = torch.zeros(2, 3, 1, 2)
    scores[0, 1], scores[1, 2] = 1, 1
    labels = torch.tensor([[[1, 0]], [[2, 2]]])
    assert collect(Top1(), scores, labels)[:, 0].tolist() == [0.5, 1]


def test_agreement_is_with_the_class_that_the_original_ranks_first() -> None:
    changed = SCORES.clone()
    changed[0] = torch.tensor([0.8, 0.1, 0.1])
    assert judge(Agreement(), changed, to=SCORES) == 0.75


def test_kl_is_that_of_scipy_for_logits_and_for_probabilities() -> None:
    torch.manual_seed(0)
    original, changed = torch.randn(6, 5).double(), torch.randn(6, 5).double()
    p, q = original.softmax(1), changed.softmax(1)
    expected = np.mean([stats.entropy(*pair) for pair in zip(p.numpy(), q.numpy(), strict=True)])
    assert judge(KlDivergence(), changed, to=original) == pytest.approx(expected, rel=1e-12)
    assert judge(KlDivergence(), q, to=p) == pytest.approx(expected, rel=1e-12)


def test_kl_of_a_probability_that_became_0_is_finite_and_large() -> None:
    found = judge(KlDivergence(), torch.tensor([[0.0, 1.0]]), to=torch.tensor([[0.5, 0.5]]))
    assert found == pytest.approx(
        0.5 * math.log(0.5) - 0.5 * math.log(torch.finfo(torch.float32).tiny) + 0.5 * math.log(0.5)
    )


@pytest.mark.parametrize(
    ("outputs", "labels", "says"),
    [
        (torch.zeros(4), torch.zeros(4).long(), "the output has the shape [4]; expected (samples, classes)"),
        (torch.zeros(4, 1), torch.zeros(4).long(), "one class only; judge it by module:function"),
        (torch.zeros(4, 3), torch.zeros(4, 2).long(), "labels have the shape [4, 2], but the output [4, 3] needs [4]"),
        (torch.zeros(4, 3), torch.zeros(4), "labels are float32; expected integers, the number of the class"),
        (
            torch.zeros(4, 3),
            torch.tensor([1, 2, 3, 1]),
            "there is a label 3, but the output has classes 0..2 (sample 3)",
        ),
        (
            torch.zeros(4, 3),
            torch.tensor([-1, 2, 0, 1]),
            "there is a label -1, but the output has classes 0..2 (sample 1)",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_one_line(outputs: torch.Tensor, labels: torch.Tensor, says: str) -> None:
    with pytest.raises(Exception, match="^top1: ") as caught:
        collect(Top1(), outputs, labels)
    assert str(caught.value).endswith(says)


@pytest.mark.parametrize("metric", [Agreement(), KlDivergence()])
def test_one_score_a_sample_is_no_choice_of_classes(metric: Metric) -> None:
    with pytest.raises(MetricError, match=f"^{metric.name}: .*one class only; judge it by module:function"):
        collect(metric, torch.zeros(4, 1), reference=torch.zeros(4, 1))


def test_top5_of_five_classes_is_refused_as_it_says_nothing() -> None:
    with pytest.raises(Exception, match="top5: the output has 5 classes, so the first 5 are always all of them"):
        collect(Top5(), torch.zeros(2, 5), torch.zeros(2).long())
