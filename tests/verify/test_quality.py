"""The quality budget: judged sample by sample, on a half for the search and a half for the report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from fxopt.contracts.cost import Drop
from fxopt.data import Data
from fxopt.errors import InputError, MetricError
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.verify.error import worst
from fxopt.verify.quality import Quality
from fxopt_plugins.metrics.classes import Agreement, Top1
from fxopt_plugins.metrics.vectors import OutputError


class Scores(nn.Module):
    """The input is the scores."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


def program(batch: int | None = None) -> Program:
    shapes = None if batch else ({0: torch.export.Dim("N", min=1, max=64)},)
    return capture(export(Scores(), (torch.randn(batch or 4, 3),), dynamic_shapes=shapes))


def data(original: Program, count: int) -> Data:
    """Samples of which the first class is right."""
    scores = torch.randn(count, 3)
    scores[:, 0] = 9.0
    return Data.read({"x": scores, "labels": torch.zeros(count, dtype=torch.int64)}, original.interface, "eval")


def wrong(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
    """Gives another class to each sample whose second score is above 1."""
    (x,) = inputs
    return [torch.where(x[:, 1:2] > 1, x.flip(1), x)]


def test_search_and_report_judge_the_two_halves_of_the_data() -> None:
    original = program()
    samples = data(original, 200)
    quality = Quality.on(samples, Top1(), original, Drop(30.0, "pt"))
    gate, report = quality.drop(wrong), quality.report(wrong)
    assert (gate.samples, report.samples) == (100, 100)
    flipped = int((torch.cat([b.inputs[0] for b in samples.batches()])[:, 1] > 1).sum())
    assert gate.differing + report.differing == flipped > 0
    assert gate.drop == pytest.approx(gate.differing / 100)


def test_a_confidence_holds_for_all_that_may_be_judged_on_the_same_samples() -> None:
    original = program()
    quality = Quality.on(data(original, 200), Top1(), original, Drop(30.0, "pt"), confidence=0.9)
    drop = quality.report(wrong)
    tight = dataclasses.replace(quality, budget=Drop(100 * (drop.upper(0.9) + drop.upper(0.95)) / 2, "pt"))
    assert tight.fault(drop) is None
    assert "with 95% confidence" in str(tight.fault(drop, looks=2))
    by_estimate = dataclasses.replace(tight, confidence=None)
    assert by_estimate.fault(drop, looks=2) is None


def test_the_estimate_decides_and_with_a_confidence_the_bound() -> None:
    original = program()
    samples = data(original, 40)
    by_estimate = Quality.on(samples, Top1(), original, Drop(1.0, "pt"))
    by_bound = Quality.on(samples, Top1(), original, Drop(1.0, "pt"), 0.95)
    drop = by_estimate.drop(original.run)
    assert drop.drop == 0.0
    assert by_estimate.fault(drop) is None
    fault = by_bound.fault(drop)
    assert fault is not None
    assert "with 95% confidence" in fault
    assert fault.endswith("on eval")


def test_what_the_ledger_says_is_json_and_tells_how_many_samples_would_prove_the_budget() -> None:
    original = program()
    quality = Quality.on(data(original, 40), Top1(), original, Drop(0.5, "pt"))
    found = json.loads(json.dumps(quality.to_json(quality.drop(original.run), quality.report(original.run))))
    assert (found["metric"], found["budget"], found["by"], found["confidence"]) == ("top1", "0.5pt", "estimate", 0.95)
    for part in ("gate", "report"):
        assert found[part]["original"] == found[part]["candidate"] == 1.0
        assert found[part]["samples"] == 20
        assert found[part]["samples_needed"] == 598  # the rule of three
        assert found[part]["limit"] == pytest.approx(0.005)


def test_what_has_no_value_for_a_candidate_is_said_of_it() -> None:
    original = program()
    quality = Quality.on(data(original, 8), OutputError(), original, Drop(1.0, "%"))
    quality.begin()
    with pytest.raises(MetricError, match=r"^error: the outputs hold NaN \(sample 1\)$"):
        quality.drop(lambda inputs: [inputs[0] * float("nan")])


def test_labels_that_fit_the_original_and_not_a_candidate_are_its_fault() -> None:
    original = program()
    quality = Quality.on(data(original, 8), Top1(), original, Drop(1.0, "pt"))
    quality.begin()
    with pytest.raises(MetricError, match="top1"):
        quality.drop(lambda inputs: [inputs[0][:, :, None, None]])


def test_percentage_points_of_what_is_no_rate_are_refused_at_the_start() -> None:
    original = program()
    with pytest.raises(InputError, match=r"percentage points \(pt\) are of rates, which error is not"):
        Quality.on(data(original, 8), OutputError(), original, Drop(1.0, "pt")).begin()


def test_the_original_is_run_once() -> None:
    original, calls = program(), 0
    quality = Quality.on(data(original, 8), Agreement(), original, Drop(1.0, "pt"))

    def run(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        nonlocal calls
        calls += 1
        return original.run(inputs)

    gate = type(quality.gate)(quality.metric, quality.gate.data, run)  # type: ignore[attr-defined, call-arg]
    quality = Quality(quality.budget, None, gate, gate, quality.data)
    quality.begin()
    assert quality.drop(original.run).drop == quality.drop(original.run).drop == 0.0
    assert calls == 1


def test_halves_fill_the_batches_of_a_fixed_size_and_count_each_sample_once() -> None:
    original = program(batch=4)
    quality = Quality.on(data(original, 12), Top1(), original, Drop(1.0, "pt"))
    seen = []

    def run(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        seen.append(len(inputs[0]))
        return original.run(inputs)

    assert (quality.drop(run).samples, quality.report(run).samples) == (6, 6)
    assert set(seen) == {4}


def test_without_data_the_worst_error_on_made_up_inputs_counts_at_other_sizes_too() -> None:
    original = program()
    quality = Quality.made_up(original, Drop(0.1))
    quality.begin()

    def only_small(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [inputs[0] * (1.0 if len(inputs[0]) == 4 else 1.5)]

    drop = quality.drop(only_small)
    assert drop.drop == pytest.approx(0.5)
    assert drop.drop == max(worst(only_small(inputs), original.run(inputs)) for inputs in quality.gate.inputs())
    fault = quality.fault(drop)
    assert fault is not None
    assert fault.endswith("on made-up inputs")
    assert quality.fault(quality.drop(original.run)) is None
    found = json.loads(json.dumps(quality.to_json(drop, quality.report(only_small)), allow_nan=False))
    assert found["data"] is None
    assert found["report"]["drop"] == {"estimate": pytest.approx(0.5), "low": None, "high": None}


def test_a_candidate_that_gives_other_shapes_on_made_up_inputs_is_refused() -> None:
    original = program()
    with pytest.raises(MetricError, match="error is inf on made-up inputs"):
        Quality.made_up(original, Drop(0.1)).drop(lambda inputs: [inputs[0][:, :1]])


@pytest.mark.parametrize(("drop", "lossy"), [(Drop(), False), (Drop(0.1), True)])
def test_rewrites_that_are_not_exact_may_be_tried_where_a_drop_is_allowed(drop: Drop, lossy: bool) -> None:
    assert Quality.made_up(program(), drop).lossy is lossy


def test_a_budget_that_no_candidate_can_prove_is_doubted_beforehand() -> None:
    original = program()
    few = Quality.on(data(original, 200), Top1(), original, Drop(0.5, "pt"), confidence=0.95)
    (doubt,) = few.doubts()
    assert "about 598" in doubt  # as `samples_without_flip` says
    assert dataclasses.replace(few, confidence=None).doubts() == []
    assert dataclasses.replace(few, budget=Drop(5.0, "pt")).doubts() == []
    assert few.fault(few.report(lambda inputs: inputs)) is not None


def test_a_bare_number_for_a_rate_is_said_in_points() -> None:
    original = program()
    (doubt,) = Quality.on(data(original, 40), Top1(), original, Drop(0.5)).doubts()
    assert doubt == "--max-drop 0.5 allows 50 percentage points of top1"
