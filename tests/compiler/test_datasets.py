"""What becomes of the data of a run: split, overlaps, doubts; which metric judges; what is refused, in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fxopt.compiler.context import Context
from fxopt.compiler.datasets import Datasets, locked, make_quality
from fxopt.compiler.progress import NULL, Timed
from fxopt.compiler.request import Request
from fxopt.contracts.candidate import Candidate, Fidelity
from fxopt.contracts.cost import Budget, Drop
from fxopt.contracts.metric import Metric
from fxopt.contracts.passes import Pass
from fxopt.data import BATCH, Data
from fxopt.errors import DataError, InputError, MetricError
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.ir.statistics import Statistics
from fxopt.registry import Registry
from fxopt_passes.quantize.half import Bfloat16
from fxopt_passes.quantize.int8 import Int8
from fxopt_passes.quantize.weights import Int8Weight
from fxopt_plugins.engines.schemes import ONNX_RUNTIME
from fxopt_plugins.metrics.vectors import Cosine

PT = Budget(max_drop=Drop(0.5, "pt"))
PERCENT = Budget(max_drop=Drop(1.0, "%"))


class Net(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


class Two(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"a": x * 2, "b": x + 1}


def program(model: nn.Module | None = None) -> Program:
    dims = {"x": {0: torch.export.Dim("N", min=1, max=64)}}
    return capture(export(model or Net(), (torch.randn(4, 3),), dynamic_shapes=dims))


def samples(first: int, last: int, **labels: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"x": torch.arange(first, last)[:, None] + torch.tensor([0.1, 0.2, 0.3]), **labels}


def request(budget: Budget = PERCENT, **fields: Any) -> Request:
    return Request("net", Path("out"), budget=budget, **fields)


def read(asked: Request, model: Program | None = None) -> tuple[Datasets, list[str]]:
    listener = Timed(NULL)
    return Datasets.read(asked, (model or program()).interface, listener), listener.notes


def judge(asked: Request, model: nn.Module | None = None) -> Metric:
    """The metric that judges; the original was judged by it."""
    original = program(model)
    quality = make_quality(asked, Registry.load(), original, read(asked, original)[0].evaluation)
    quality.begin()
    return quality.metric


# -- which samples are for what ----------------------------------------------------------------------------------------


def test_samples_that_are_also_for_calibration_leave_the_evaluation_and_that_is_said() -> None:
    data, notes = read(request(calib=samples(0, 10), eval=samples(8, 20)))
    assert data.calib is not None
    assert data.evaluation is not None
    assert (data.calib.samples, data.evaluation.samples) == (10, 10)
    assert notes == ["eval: 2 of 12 samples are in calib too and are left out"]
    assert data.given["eval"] is not None
    assert data.given["eval"].samples == 12


def test_evaluation_data_that_are_all_for_calibration_are_refused() -> None:
    with pytest.raises(InputError, match="eval: 4 of 4 samples are in calib too; give samples that were not used"):
        read(request(calib=samples(0, 10), eval=samples(2, 6)))


@pytest.mark.parametrize(("count", "calibrate"), [(3, 1), (10, 5), (600, 300), (2000, 512)])
def test_calibration_data_alone_are_split_and_that_is_said(count: int, calibrate: int) -> None:
    data, notes = read(request(calib=samples(0, count)))
    assert data.calib is not None
    assert data.evaluation is not None
    assert (data.calib.samples, data.evaluation.samples) == (calibrate, count - calibrate)
    assert not set(data.calib.sample_digests()) & set(data.evaluation.sample_digests())
    (note,) = notes
    assert note.startswith(f"calib: {calibrate} of {count} samples are for calibration")


def test_what_a_plan_records_is_what_was_given_not_the_part_of_it_that_was_used() -> None:
    whole, _ = read(request(Budget(), calib=samples(0, 10)))
    split, _ = read(request(calib=samples(0, 10)))
    assert split.to_json() == whole.to_json()
    assert split.to_json()["eval"] is None


def test_all_calibration_data_are_for_calibration_where_only_exact_rewrites_are_made() -> None:
    data, notes = read(request(Budget(), calib=samples(0, 10)))
    assert data.calib is not None
    assert data.calib.samples == 10
    assert data.evaluation is None
    assert notes == []


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"calib": samples(0, 1)}, "^calib: 1 sample cannot be split into samples to calibrate with"),
        ({"calib": samples(0, 2)}, "^calib: 2 samples cannot be split into samples to calibrate with"),
        ({"calib": {"x": torch.ones(9, 3)}}, "^calib: 9 samples, all equal, cannot be split"),
        ({"calib": {"x": torch.randn(4, 5)}}, "^calib: input x"),
        ({"calib": {"x": torch.ones(4, 3, dtype=torch.int64)}}, "^calib: input x"),
        ({"calib": {"x": torch.full((4, 3), float("nan"))}}, r"^calib: input x holds NaN \(sample 1\)"),
        ({"calib": {"y": torch.randn(4, 3)}}, "^calib: input x is missing"),
    ],
)
def test_calibration_data_that_cannot_be_used_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        read(request(**given))


def test_one_sample_cannot_be_evaluated_on() -> None:
    with pytest.raises(InputError, match="^eval: 1 sample cannot be split into a half to search with"):
        judge(request(eval=samples(0, 1)))


def test_constant_data_and_data_of_another_scale_are_doubted() -> None:
    _, notes = read(request(Budget(), calib={"x": torch.ones(4, 3)}))
    assert notes == ["calib: input x is 1 everywhere"]
    _, notes = read(request(calib={"x": torch.rand(4, 3)}, eval={"x": 255 * torch.rand(4, 3)}))
    assert any("was it scaled in the same way?" in note for note in notes)


# -- which metric ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "labels", "metric"),
    [
        (PT, {}, "agreement"),
        (PERCENT, {}, "error"),
        (PT, {"labels": torch.full((8,), 2)}, "top1"),
        (PERCENT, {"labels": torch.full((8,), 2)}, "top1"),
    ],
)
def test_labels_and_the_unit_of_the_budget_choose_the_metric(
    budget: Budget, labels: dict[str, torch.Tensor], metric: str
) -> None:
    assert judge(request(budget, eval=samples(0, 8, **labels))).spec() == metric
    assert judge(request(budget, calib=samples(0, 8, **labels))).spec() == metric


def test_a_metric_may_be_named_or_be_an_object() -> None:
    assert judge(request(metric="cosine", eval=samples(0, 8))).spec() == "cosine"
    assert judge(request(metric=Cosine(), eval=samples(0, 8))) == Cosine()


def test_without_data_the_error_on_made_up_inputs_judges() -> None:
    assert judge(request()).spec() == "error"
    assert judge(request(metric="error")).spec() == "error"


LABELLED = samples(0, 8, labels=torch.zeros(8))


def raises(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    raise ValueError("the list of words is empty")


def first(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return outputs[:, 0]


def nan(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return outputs[:, 0] * float("nan")


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"budget": PT}, InputError, "--max-drop 0.5pt: percentage points are of a rate, .*: give --eval DATA or"),
        ({"metric": "top1"}, InputError, "--metric top1 is judged on data: give --eval DATA"),
        ({"budget": Budget(max_drop=Drop(1, "%"), confidence=0.9)}, InputError, "--confidence: made-up inputs stand"),
        ({"metric": 5, "eval": samples(0, 8)}, InputError, "metric: a int; give a name"),
        ({"metric": "top7", "eval": samples(0, 8)}, InputError, "top7"),
        ({"metric": "top1", "eval": samples(0, 8)}, InputError, "top1 needs labels, and the data have none"),
        ({"eval": samples(0, 8, labels=torch.full((8,), 3))}, InputError, "top1: .*3"),
        ({"eval": samples(0, 8, labels=torch.randn(8, 3))}, InputError, "say with --metric what they are for"),
        ({"eval": samples(0, 8, labels=torch.zeros(7))}, InputError, "labels has 7 samples, but x has 8"),
        ({"budget": PT, "metric": "error", "eval": samples(0, 8)}, InputError, "pt.* which error is not"),
        ({"budget": Budget(max_drop=Drop(5)), "metric": "agreement", "eval": samples(0, 8)}, InputError, "5pt$"),
        ({"budget": Budget(max_drop=Drop(200, "pt")), "eval": samples(0, 8)}, InputError, "all of it might go$"),
        ({"budget": PT, "metric": f"{__name__}:first", "eval": LABELLED}, InputError, "pt.*its option rate=true"),
        ({"budget": PT, "metric": f"{__name__}:absent", "eval": LABELLED}, InputError, "absent"),
        ({"metric": f"{__name__}:raises", "eval": samples(0, 8, labels=torch.zeros(8))}, InputError, "list of words"),
        ({"metric": f"{__name__}:nan", "eval": samples(0, 8, labels=torch.zeros(8))}, MetricError, "is nan"),
    ],
)
def test_a_metric_that_does_not_fit_is_one_line(fields: dict[str, Any], error: type[InputError], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        judge(request(**fields))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_of_several_outputs_one_has_to_be_named() -> None:
    with pytest.raises(InputError, match="cosine: the model has the outputs .*; name one: cosine{output="):
        judge(request(metric="cosine", eval=samples(0, 8)), Two())
    assert judge(request(metric="cosine{output=0}", eval=samples(0, 8)), Two()).output == "0"


# -- what is missing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (request(Budget()), "only exact rewrites are made; --calib DATA --max-drop 0.5pt unlocks .*low_rank"),
        (request(Budget(), calib="c.npz"), "only exact rewrites are made; --max-drop 0.5pt unlocks"),
        (request(), r"no data: .* --calib DATA unlocks a metric, and rewrites that are fitted to data \(int8\)$"),
        (request(eval="e.npz"), r"without --calib DATA, rewrites that are fitted to data \(int8\) were left out$"),
        (request(calib="c.npz"), None),
    ],
)
def test_a_run_says_what_data_or_a_budget_would_unlock(asked: Request, says: str | None) -> None:
    from tests.compiler.test_quality import LowRank

    lossy = Candidate("low_rank", ("a",), frozenset({"a"}), fidelity=Fidelity.APPROXIMATE)
    text = locked(asked, [LowRank(), Int8(), Bfloat16()], [lossy], {"int8"})
    if says is None:
        assert text is None
    else:
        assert re.search(says, text or "")
    assert locked(asked, [LowRank()], [], ()) is None


@pytest.mark.parametrize(("asked", "says"), [(request(), "unlocks a metric$"), (request(eval="e.npz"), None)])
def test_where_no_pass_asked_for_data_none_is_said_to_be_fitted_to_them(asked: Request, says: str | None) -> None:
    text = locked(asked, [Bfloat16()], [], ())
    assert text is None if says is None else re.search(says, text or "")


@pytest.mark.parametrize(
    ("rule", "asks"),
    [(Int8(), True), (Bfloat16(), False), (Int8Weight(), False), (Int8Weight(rounding="gptq"), True)],
)
@pytest.mark.parametrize("given", [True, False])
def test_who_asks_for_data_is_known(rule: Pass, asks: bool, given: bool) -> None:
    program = capture(export(nn.Linear(4, 64), (torch.randn(4, 4),)))
    data = Data.read(torch.randn(8, 4), program.interface, "calib")
    context = Context(statistics=Statistics(data) if given else None, scheme=ONNX_RUNTIME)
    context.propose(rule, program)
    assert context.asked == ({rule.name} if asks else set())


def test_data_that_the_model_cannot_be_run_on_are_one_line() -> None:
    embedding = nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2))
    found = capture(export(embedding, (torch.zeros(4, 3, dtype=torch.int64),)))
    data = Data.read(torch.full((8, 3), 10), found.interface, "eval")
    for metric in ("agreement", "cosine"):
        with pytest.raises(DataError, match="the model cannot be run on .*: .*index out of range"):
            make_quality(request(PT if metric == "agreement" else PERCENT, metric=metric), Registry.load(), found, data)
    some = torch.zeros(4 * BATCH, 3, dtype=torch.int64)
    some[-1] = 10  # is not among the first samples
    late = Data.read(some, found.interface, "eval")
    quality = make_quality(request(PT, metric="agreement"), Registry.load(), found, late)
    with pytest.raises(DataError, match="the model cannot be run on"):
        quality.begin()


def test_of_many_calibration_samples_512_are_used_where_quality_may_drop() -> None:
    many = {"calib": samples(0, 600), "eval": samples(600, 640)}
    found, notes = read(request(PERCENT, **many))
    assert found.calib is not None
    assert found.calib.samples == 512
    assert found.given["calib"] is not None
    assert found.given["calib"].samples == 600
    assert "calib: 512 of 600 samples are used, which is enough to calibrate" in notes
    exact, _ = read(request(Budget(), calib=samples(0, 600)))
    assert exact.calib is not None
    assert exact.calib.samples == 600
