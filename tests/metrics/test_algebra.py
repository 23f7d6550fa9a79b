"""What must hold for every metric: it is a sum over samples, and equal outputs are no drop."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxopt.contracts.metric import Metric
from fxopt.testing.options import is_documented, options_round_trip
from fxopt.verify.paired import PairedDrop
from fxopt.verify.score import collect, value
from fxopt_plugins.metrics import fxopt_metrics
from fxopt_plugins.metrics.classes import Agreement, KlDivergence, Top1, Top5
from fxopt_plugins.metrics.function import Function
from fxopt_plugins.metrics.images import MeanSquaredError, Psnr, Ssim
from fxopt_plugins.metrics.segmentation import MeanIou
from fxopt_plugins.metrics.text import CharacterErrorRate
from fxopt_plugins.metrics.vectors import Cosine, EmbeddingCosine, OutputError

COUNT = 8
Made = tuple[torch.Tensor, torch.Tensor]  # outputs and labels


def classes(generator: torch.Generator) -> Made:
    return torch.randn(COUNT, 7, generator=generator), torch.randint(7, (COUNT,), generator=generator)


def pictures(generator: torch.Generator) -> Made:
    return torch.rand(COUNT, 1, 12, 11, generator=generator), torch.rand(COUNT, 1, 12, 11, generator=generator)


def segments(generator: torch.Generator) -> Made:
    return torch.randn(COUNT, 3, 4, 4, generator=generator), torch.randint(3, (COUNT, 4, 4), generator=generator)


def texts(generator: torch.Generator) -> Made:
    return torch.randn(COUNT, 9, 4, generator=generator), torch.randint(4, (COUNT, 5), generator=generator)


CASES: list[tuple[Metric, Callable[[torch.Generator], Made]]] = [
    *((metric, classes) for metric in (Top1(), Top5(), Agreement(), KlDivergence(), Cosine(), EmbeddingCosine())),
    *((metric, pictures) for metric in (MeanSquaredError(), Psnr(), Ssim())),
    (OutputError(), classes),
    (MeanIou(), segments),
    (CharacterErrorRate(), texts),
    (Function(of="tests.metrics.scoring:margins"), classes),
]
each = pytest.mark.parametrize(("metric", "make"), CASES, ids=[metric.name for metric, _ in CASES])


def statistics(metric: Metric, outputs: torch.Tensor, labels: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    if metric.several:
        return collect(metric, (outputs,), labels, (reference,))
    return collect(metric, outputs, labels, reference)


def made(make: Callable[[torch.Generator], Made], seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs that are somewhat off, labels, and the original's outputs."""
    generator = torch.Generator().manual_seed(seed)
    reference, labels = make(generator)
    return reference + 0.3 * torch.randn(reference.shape, generator=generator), labels, reference


def test_every_built_in_metric_is_among_the_cases() -> None:
    assert {type(metric) for metric, _ in CASES} == set(fxopt_metrics())


@each
def test_its_options_read_back_and_are_documented(metric: Metric, make: object) -> None:
    options_round_trip(metric)
    is_documented(metric)


@each
@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_equal_outputs_are_a_drop_of_0(metric: Metric, make: Callable[[torch.Generator], Made], seed: int) -> None:
    _, labels, reference = made(make, seed)
    found = statistics(metric, reference, labels, reference)
    drop = PairedDrop.between(metric, found, found, resamples=50)
    assert drop.drop == 0
    assert drop.interval().low <= 0 <= drop.interval().high


@each
@given(seed=st.integers(0, 1000), cut=st.integers(1, COUNT - 1))
@settings(max_examples=10, deadline=None)
def test_batches_do_not_matter(metric: Metric, make: Callable[[torch.Generator], Made], seed: int, cut: int) -> None:
    parts = made(make, seed)
    apart = [statistics(metric, *(part[rows] for part in parts)) for rows in (slice(0, cut), slice(cut, None))]
    assert torch.allclose(torch.cat(apart), statistics(metric, *parts), rtol=1e-12, atol=0)


@each
@given(seed=st.integers(0, 1000), order=st.permutations(range(COUNT)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_samples_does_not_matter(
    metric: Metric, make: Callable[[torch.Generator], Made], seed: int, order: list[int]
) -> None:
    parts = made(make, seed)
    shuffled = tuple(part[order] for part in parts)
    found, again = statistics(metric, *parts), statistics(metric, *shuffled)
    assert value(metric, again) == pytest.approx(value(metric, found), rel=1e-12)
    original = statistics(metric, parts[2], *parts[1:]), statistics(metric, shuffled[2], *shuffled[1:])
    drops = [PairedDrop.between(metric, *pair, resamples=50) for pair in zip(original, (found, again), strict=True)]
    assert drops[1].interval().low == pytest.approx(drops[0].interval().low, rel=1e-9, abs=1e-12)
    assert drops[1].interval().high == pytest.approx(drops[0].interval().high, rel=1e-9, abs=1e-12)


@each
@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_what_is_off_more_is_not_better_where_the_original_is_the_measure(
    metric: Metric, make: Callable[[torch.Generator], Made], seed: int
) -> None:
    if metric.needs != "reference":
        return
    outputs, labels, reference = made(make, seed)
    drop = PairedDrop.between(
        metric,
        statistics(metric, reference, labels, reference),
        statistics(metric, outputs, labels, reference),
        resamples=50,
    )
    assert drop.drop >= 0
