"""The character error rate."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fxopt.errors import InputError
from fxopt.verify.score import collect, value
from fxopt_plugins.metrics.text import CharacterErrorRate, edit_distance

TEXT = st.lists(st.integers(1, 3), max_size=7)


def frames(*steps: int, characters: int = 4) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor([steps]), characters).float()


def test_repeats_count_once_and_blanks_part_them() -> None:
    labels = torch.tensor([[1, 1, 2]])
    assert collect(CharacterErrorRate(), frames(0, 1, 1, 0, 1, 2), labels).tolist() == [[0, 3]]
    assert collect(CharacterErrorRate(), frames(1, 1, 1, 1, 2, 0), labels).tolist() == [[1, 3]]


def test_the_blank_is_an_option() -> None:
    metric = CharacterErrorRate(blank=3)
    assert collect(metric, frames(0, 3, 0, 1), torch.tensor([[0, 0, 1]])).tolist() == [[0, 3]]


def test_shorter_labels_are_filled_up_with_blanks_or_negative_numbers() -> None:
    for fill in (0, -1, -100):
        labels = torch.tensor([[1, 2, fill, fill]])
        assert collect(CharacterErrorRate(), frames(1, 0, 2), labels).tolist() == [[0, 2]]


def test_the_rate_is_of_sums_not_a_mean_of_rates() -> None:
    statistics = torch.tensor([[1.0, 1], [0, 9]]).double()
    assert value(CharacterErrorRate(), statistics) == 0.1


@given(TEXT, TEXT)
def test_the_edit_distance_is_that_of_the_recursive_definition(first: list[int], second: list[int]) -> None:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        exchanged = distance(i - 1, j - 1) + (first[i - 1] != second[j - 1])
        return min(exchanged, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    assert edit_distance(np.array(first, int), np.array(second, int)) == distance(len(first), len(second))


@pytest.mark.parametrize(
    ("metric", "outputs", "labels", "says"),
    [
        (CharacterErrorRate(), torch.zeros(1, 4), torch.ones(1, 2).long(), "expected (samples, steps, characters)"),
        (
            CharacterErrorRate(blank=9),
            frames(1),
            torch.ones(1, 2).long(),
            "blank=9 is none of the output's characters 0..3",
        ),
        (
            CharacterErrorRate(),
            frames(1),
            torch.ones(1).long(),
            "labels have the shape [1]; expected (samples, length)",
        ),
        (CharacterErrorRate(), frames(1), torch.ones(1, 2), "labels are float32; expected integers"),
        (CharacterErrorRate(), frames(1), torch.tensor([[4]]), "labels reach 4, but the output has characters 0..3"),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_one_line(
    metric: CharacterErrorRate, outputs: torch.Tensor, labels: torch.Tensor, says: str
) -> None:
    with pytest.raises(InputError) as caught:
        collect(metric, outputs, labels)
    assert says in str(caught.value)
