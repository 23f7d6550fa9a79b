"""Halves of data, samples that are elsewhere too, and what is doubtful."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fxopt.data import Data
from fxopt.data_parts import doubts, halves, without
from fxopt.errors import InputError
from fxopt.ir.interface import Dim, Input, Interface

ARGUMENTS = {"tuple": [{"tuple": [{"leaf": 0}]}, {"dict": {}}]}
MODEL = Interface((Input("x", ("N", 2), "float32"),), ("y",), (Dim("N", 1, 64, 1),), ("x",), ARGUMENTS, {"leaf": 0})
VALUES = st.lists(st.integers(0, 30), min_size=2, max_size=40).filter(lambda values: len(set(values)) > 1)


def data(values: list[int] | list[float], role: str = "eval") -> Data:
    return Data.read(torch.tensor([[value, 1.0] for value in values]), MODEL, role)


def contents(part: Data) -> list[float]:
    return [float(value) for batch in part.batches() for value in batch.inputs[0][: batch.samples, 0]]


@given(values=VALUES, random=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_halves_hold_each_sample_once_equal_ones_together_in_whatever_order_they_come(
    values: list[int], random: object
) -> None:
    search, report = map(contents, halves(data(values)))
    assert sorted(search + report) == sorted(values)
    assert not set(search) & set(report)
    assert 0 <= len(set(report)) - len(set(search)) <= 1
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert [sorted(contents(half)) for half in halves(data(shuffled))] == [sorted(search), sorted(report)]


@given(values=VALUES)
@settings(deadline=None, max_examples=50)
def test_a_sample_that_is_added_moves_at_most_one_other(values: list[int]) -> None:
    before, after = (set(contents(halves(data(found))[0])) for found in (values, [*values, 31]))
    assert len((before ^ after) - {31}) <= 1


@pytest.mark.parametrize(("values", "count"), [([1.0], "1 sample"), ([1.0, 1.0, 1.0], "3 samples, all equal,")])
def test_what_cannot_be_halved_is_refused(values: list[float], count: str) -> None:
    with pytest.raises(InputError, match=f"^eval: {count} cannot be split into a half to search with"):
        halves(data(values))


def test_samples_of_the_calibration_leave_the_evaluation_and_that_is_said() -> None:
    kept, said = without(data([1, 2, 3, 2]), data([2, 7], "calib"))
    assert contents(kept) == [1, 3]
    assert said == "eval: 2 of 4 samples are in calib too and are left out"


def test_nothing_is_said_where_nothing_overlaps() -> None:
    mine = data([1, 2, 3])
    assert without(mine, data([4])) == (mine, None)


def test_an_evaluation_that_is_the_calibration_is_refused() -> None:
    with pytest.raises(InputError, match="^eval: 2 of 2 samples are in calib too; give samples that were not used"):
        without(data([1, 2]), data([2, 1], "calib"))


def test_one_sample_a_constant_and_another_scale_are_doubted() -> None:
    assert doubts(data([1, 2, 3]), data([2, 4])) == []
    assert doubts(Data.read(torch.tensor([[1.0, 2.0]]), MODEL, "calib")) == [
        "calib: there is one sample only; what it shows may hold for no other"
    ]
    assert doubts(Data.read(torch.zeros(3, 2), MODEL, "calib")) == ["calib: input x is 0 everywhere"]
    assert doubts(data([1, 255]), data([0.1, 1], "calib")) == [
        "eval: input x lies in 1 to 255, but in 0.1 to 1 in calib: was it scaled in the same way?"
    ]
