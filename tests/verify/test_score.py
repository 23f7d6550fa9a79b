"""A metric's statistics over data: which output is judged, and what goes wrong in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from fxopt.contracts.cost import Drop
from fxopt.contracts.metric import Direction, Metric
from fxopt.data import Data
from fxopt.errors import FxoptError, InputError, MetricError
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.verify.paired import PairedDrop
from fxopt.verify.score import Scores, collect, default_metric, pick, value
from fxopt_plugins.metrics.classes import Agreement, KlDivergence, Top1
from fxopt_plugins.metrics.vectors import Cosine, OutputError


@dataclass(frozen=True)
class Scripted(Metric):
    """Gives what it is told."""

    name: ClassVar[str] = "scripted"
    needs = "labels"
    direction: ClassVar[Direction] = "higher"
    gives: ClassVar[Any] = None

    def collect(self, outputs: Any, labels: Any, reference: Any) -> Any:
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives

    def value(self, sums: torch.Tensor, samples: int) -> float:
        return float("nan") if sums.isnan().any() else super().value(sums, samples)


def scripted(what: Any) -> Metric:
    return type("Made", (Scripted,), {"gives": what})()


# -- which output ------------------------------------------------------------------------------------------------------

A, B = torch.zeros(2, 3), torch.ones(2, 4)


@pytest.mark.parametrize("output", ["b", "1"])
def test_an_output_is_named_by_its_name_or_number(output: str) -> None:
    assert pick(Top1(output=output), [A, B], ["a", "b"]) is B
    assert pick(OutputError(output=output), [A, B], ["a", "b"]) == (B,)


def test_the_only_output_needs_no_name_and_all_are_taken_by_who_takes_several() -> None:
    assert pick(Top1(), [A], ["a"]) is A
    assert pick(OutputError(), [A, B], ["a", "b"]) == (A, B)


def test_of_several_outputs_one_has_to_be_named() -> None:
    with pytest.raises(InputError, match=r"^kl: the model has the outputs a, b; name one: kl\{output=a\}$"):
        pick(KlDivergence(), [A, B], ["a", "b"])
    with pytest.raises(
        InputError, match=r"^kl\{output=logit\}: the model has no output 'logit'; did you mean 'logits'"
    ):
        pick(KlDivergence(output="logit"), [A, B], ["logits", "b"])


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "arguments", "says"),
    [
        (Top1(), (A,), "top1 needs labels, and the data have none; add them under the name 'labels'"),
        (Top1(), (A, torch.zeros(3).long()), "top1: labels are those of 3 samples, the outputs of 2"),
        (Top1(), (A * float("nan"), torch.zeros(2).long()), "top1: the outputs hold NaN (sample 1)"),
        (KlDivergence(), (A,), "kl needs the original's outputs"),
        (KlDivergence(), (A, None, B), "kl: the outputs have the shape [2, 3], the original's [2, 4]"),
        (Cosine(), (A, None, A * float("inf")), "cosine is nan (sample 1)"),
        (scripted(ZeroDivisionError("by design")), (A, B), "scripted: ZeroDivisionError: by design"),
        (
            scripted(None),
            (A, B),
            "scripted: collect gave NoneType for 2 samples; expected a row of statistics for each",
        ),
        (scripted(torch.zeros(2)), (A, B), "scripted: collect gave [2] for 2 samples"),
        (scripted(torch.zeros(1, 1)), (A, B), "scripted: collect gave [1, 1] for 2 samples"),
        (scripted(torch.tensor([[0.0], [float("nan")]])), (A, B), "scripted is nan (sample 2)"),
        (scripted(torch.tensor([[0.0], [-float("inf")]])), (A, B), "scripted is -inf (sample 2)"),
    ],
)
def test_what_goes_wrong_is_one_line_that_names_metric_and_cause(
    metric: Metric, arguments: tuple[Any, ...], says: str
) -> None:
    with pytest.raises(FxoptError) as caught:
        collect(metric, *arguments)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_samples_are_numbered_through_all_batches() -> None:
    with pytest.raises(MetricError, match=r"\(sample 34\)"):
        collect(scripted(torch.tensor([[0.0], [float("nan")]])), A, B, first=33)


def test_a_value_of_nan_is_an_error_too() -> None:
    with pytest.raises(MetricError, match="^scripted is nan over 1 samples"):
        value(Scripted(), torch.full((1, 1), float("nan")))


# -- the metric where none is named ------------------------------------------------------------------------------------


def test_class_numbers_make_it_top1_and_points_without_labels_agreement() -> None:
    scores, images = [torch.zeros(4, 10)], [torch.zeros(4, 3, 8, 8)]
    assert default_metric(Drop(0.5, "pt"), torch.zeros(4).long(), scores) == "top1"
    assert default_metric(Drop(0.5, "pt"), None, scores) == "agreement"
    assert default_metric(Drop(1, "%"), None, images) == "error"
    with pytest.raises(
        InputError, match=r"there are labels of float32, \[3, 8, 8\] a sample: give .*, or say with --metric"
    ):
        default_metric(Drop(0.3), images[0], images)


# -- over data ---------------------------------------------------------------------------------------------------------


def classifier(batch: int = 0) -> Program:
    torch.manual_seed(0)
    return capture(export(nn.Sequential(nn.Linear(4, 5)), (torch.randn(batch or 3, 4),)))


def off(program: Program) -> Any:
    """The program, somewhat off."""

    def run(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [value + 0.5 * value.roll(1, -1) for value in program.run(inputs)]

    return run


def labelled(program: Program, count: int) -> Data:
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(1))
    return Data.read(
        [(x, torch.randint(5, (count,), generator=torch.Generator().manual_seed(2)))], program.interface, "eval"
    )


def test_statistics_are_those_of_each_sample_in_the_order_of_the_data() -> None:
    program = classifier()
    data = labelled(program, 9)
    scores = Scores(Top1(), data, program.run)
    batches = list(data.batches())
    expected = [
        float(output.argmax() == label)
        for batch in batches
        for output, label in zip(program.run(list(batch.inputs))[0], batch.labels, strict=True)  # type: ignore[arg-type]
    ]
    assert scores.of(program.run)[:, 0].tolist() == expected


@pytest.mark.parametrize("metric", [Top1(), Agreement(), KlDivergence(), OutputError()])
def test_a_part_has_the_statistics_of_its_samples_also_where_a_fixed_batch_is_filled_up(metric: Metric) -> None:
    program = classifier(3)
    data, chosen = labelled(program, 12), [0, 1, 5, 7]
    whole = Scores(metric, data, program.run).of(off(program))
    part = Scores(metric, data.part(chosen), program.run).of(off(program))
    assert torch.allclose(part, whole[chosen], rtol=1e-5)


def test_the_original_is_run_once_however_many_are_compared_with_it() -> None:
    program, calls = classifier(), []

    def run(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        calls.append(1)
        return program.run(inputs)

    scores = Scores(KlDivergence(), labelled(program, 6), run)
    for _ in range(3):
        scores.of(program.run)
    assert len(calls) == len(list(scores.data.batches()))


def test_a_candidate_is_compared_with_the_original_on_the_same_samples() -> None:
    program = classifier()
    scores = Scores(KlDivergence(), labelled(program, 30), program.run)
    drop = PairedDrop.between(scores.metric, scores.of(program.run), scores.of(off(program)))
    assert drop.original == 0
    assert 0 < drop.interval().low < drop.drop < drop.interval().high


def test_outputs_without_a_sample_axis_are_refused() -> None:
    program = classifier()
    scores = Scores(OutputError(), labelled(program, 6), lambda inputs: [torch.tensor(1.0)])
    with pytest.raises(MetricError, match=r"^error: the first axis of the outputs is not the sample: \[\]$"):
        scores.of(program.run)
