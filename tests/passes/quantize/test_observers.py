"""Observers: ranges from histograms, and the choice among them by what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxopt import Observed
from fxopt_passes.quantize.observers import OBSERVERS, Histogram, Kind, choose, observe
from fxopt_passes.quantize.placement import grid

KINDS = [Kind(signed, symmetric) for signed in (False, True) for symmetric in (False, True)]
ends = st.floats(1e-6, 1e6)


def histogram(*batches: torch.Tensor) -> Histogram:
    seen = Histogram()
    for batch in batches:
        seen.add(batch)
    return seen


@given(ends, ends, st.sampled_from(KINDS), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_rounding_is_idempotent_keeps_zero_and_is_off_by_half_a_step_at_most(
    low: float, high: float, kind: Kind, seed: int
) -> None:
    numbers = kind.grid((-low, high))
    x = torch.rand(256, generator=torch.Generator().manual_seed(seed)) * (low + high) - low
    once = numbers.rounded(x)
    assert torch.equal(numbers.rounded(once), once)
    assert float(numbers.rounded(torch.zeros(1))) == 0.0
    inside = x[(x > -low + numbers.scale) & (x < high - numbers.scale)]
    assert bool(((numbers.rounded(inside) - inside).abs() <= numbers.scale * 0.501).all())


@given(st.integers(0, 99), st.sampled_from(KINDS))
@settings(max_examples=20, deadline=None)
def test_a_larger_share_gives_a_range_that_holds_the_smaller_ones(seed: int, kind: Kind) -> None:
    seen = histogram(torch.randn(8, 999, generator=torch.Generator().manual_seed(seed)) ** 3)
    spans = [
        OBSERVERS[name](seen, kind) for name in ("percentile99.9", "percentile99.99", "percentile99.999", "minmax")
    ]
    for (low, high), (lower, higher) in pairwise(spans):
        assert lower <= low <= 0 <= high <= higher


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OBSERVERS)
def test_a_range_holds_zero_and_lies_within_what_was_seen(name: str, kind: Kind) -> None:
    for values in (
        torch.randn(4, 999),
        torch.rand(4, 999) + 1,
        -torch.rand(4, 99),
        torch.zeros(2, 3),
        torch.full((2, 3), 7.0),
    ):
        seen = histogram(values)
        low, high = OBSERVERS[name](seen, kind)
        assert seen.least <= low <= 0 <= high <= seen.greatest


def test_zero_point_stands_at_the_end_where_nothing_is_negative() -> None:
    assert grid(0.0, 6.0, signed=False, symmetric=False).zero_point == 0
    assert grid(0.0, 6.0, signed=True, symmetric=False).zero_point == -128
    assert grid(0.0, 6.0, signed=True, symmetric=True).zero_point == 0
    assert grid(-1.0, 1.0, signed=False, symmetric=True).dtype is torch.int8
    assert grid(0.0, 1.0, signed=False, symmetric=True).dtype is torch.uint8
    assert grid(0.0, 0.0, signed=False, symmetric=False).scale > 0


def test_a_histogram_counts_the_same_whatever_comes_first() -> None:
    parts = [torch.randn(4, 500) * size for size in (0.1, 1, 30)]
    forth, back = histogram(*parts), histogram(*parts[::-1])
    assert forth.counts.sum() == back.counts.sum() == 6000
    assert (forth.least, forth.greatest) == (back.least, back.greatest)
    for name in ("percentile99.9", "mse"):
        ours, theirs = (OBSERVERS[name](seen, KINDS[0]) for seen in (forth, back))
        assert ours == pytest.approx(theirs, rel=0.1)


def test_outliers_are_cut_off_by_the_observers_that_weigh_them() -> None:
    values = torch.randn(16, 4096)
    values[0, 0] = 1000.0
    seen = histogram(values)
    for name in ("percentile99.9", "percentile99.99", "entropy"):
        assert OBSERVERS[name](seen, KINDS[0])[1] < 500


def test_means_are_taken_over_all_axes_but_one() -> None:
    x = torch.randn(4, 3, 5)
    batches = [{"x": Observed(part)} for part in x.split(2)]
    _, means = observe(batches, ["x"], [("x", -1), ("x", -2)])
    torch.testing.assert_close(means["x", -1], x.double().mean((0, 1)))
    torch.testing.assert_close(means["x", -2], x.double().mean((0, 2)))


def values(outlier: float, weight: float) -> dict[str, Observed]:
    """Small values and a large one a sample, with the gradients of both."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 65536, generator=generator)
    x[:, 0] = outlier
    gradient = torch.randn(8, 65536, generator=generator)
    gradient[:, 0] = weight
    return {"x": Observed(x, gradient)}


def chosen(batch: Mapping[str, Observed], observer: str = "measured") -> tuple[float, float]:
    def again() -> Iterator[Mapping[str, Observed]]:
        yield batch

    seen, _ = observe([batch], ["x"], [])
    span = choose(seen, {"x": KINDS[0]}, observer, again)["x"].span
    assert span is not None
    return span


def test_gradients_decide_whether_large_values_are_kept() -> None:
    assert chosen(values(9.0, 500.0))[1] == pytest.approx(9.0, rel=0.01)
    assert chosen(values(9.0, 0.0))[1] < 8.0


def test_a_range_with_much_more_error_is_not_taken_whatever_the_gradients_say() -> None:
    assert chosen(values(5000.0, 0.0))[1] > 900  # to cut it off costs more than all else together


def test_without_gradients_the_squared_error_decides() -> None:
    batch = {name: Observed(item.value) for name, item in values(9.0, 0.0).items()}
    low, high = chosen(batch)
    errors = {}
    for name in OBSERVERS:
        numbers = KINDS[0].grid(chosen(batch, name))
        errors[name] = float((numbers.rounded(batch["x"].value) - batch["x"].value).square().sum())
    numbers = KINDS[0].grid((low, high))
    assert float((numbers.rounded(batch["x"].value) - batch["x"].value).square().sum()) == min(errors.values())


def test_what_is_not_finite_has_no_range() -> None:
    for odd in (float("nan"), float("inf")):
        seen, _ = observe([{"x": Observed(torch.tensor([[1.0, odd]]))}], ["x"], [])
        assert choose(seen, {"x": KINDS[0]}, "minmax", lambda: ())["x"].span is None
