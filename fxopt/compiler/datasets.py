"""The data of a run: what passes learn from, what the metric is judged on, and what is done with both before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fxopt.contracts.candidate import Candidate, Fidelity, Stage
from fxopt.contracts.metric import Metric
from fxopt.data import BATCH, Data
from fxopt.data_parts import at_most, calibration, doubts, without
from fxopt.errors import InputError
from fxopt.verify.paired import check_budget
from fxopt.verify.quality import Quality, WorstError
from fxopt.verify.score import Scores, default_metric, on_data

if TYPE_CHECKING:
    from fxopt.compiler.progress import Progress
    from fxopt.compiler.request import Request
    from fxopt.contracts.passes import Pass
    from fxopt.ir.interface import Interface
    from fxopt.ir.program import Program
    from fxopt.registry import Registry


_SAID = 4  # passes that are named in a note


@dataclass(frozen=True)
class Datasets:
    """What a run was given, and what it makes of it.

    Attributes:
        given: the sources by role, `"calib"` and `"eval"`, as they were read.
        calib: what passes learn from; None where nothing was given.
        evaluation: what the metric is judged on; None where nothing was given, or only exact rewrites are made.
    """

    given: Mapping[str, Data | None]
    calib: Data | None
    evaluation: Data | None

    @classmethod
    def read(cls, request: Request, interface: Interface, progress: Progress) -> Datasets:
        """Read what a request names; what is left out, split off or doubtful is noted.

        Raises:
            InputError: data cannot be read, do not fit the model, or are too few.
        """
        calib = evaluation = None
        if request.calib is not None:
            with progress.phase("read the calibration data"):
                calib = Data.read(request.calib, interface, "calib")
        if request.eval is not None:
            with progress.phase("read the evaluation data"):
                evaluation = Data.read(request.eval, interface, "eval")
        given = {"calib": calib, "eval": evaluation}
        for line in [*(doubts(calib) if calib else ()), *(doubts(evaluation, calib) if evaluation else ())]:
            progress.note(line)
        if calib is not None and evaluation is not None:
            evaluation, line = without(evaluation, calib)
            if line is not None:
                progress.note(line)
            if request.budget.max_drop.value and (some := at_most(calib)) is not calib:
                progress.note(
                    f"{calib.name}: {some.samples} of {calib.samples} samples are used, which is enough to calibrate"
                )
                calib = some
        elif calib is not None and request.budget.max_drop.value:
            whole = calib
            calib, evaluation = calibration(whole)
            progress.note(
                f"{whole.name}: {calib.samples} of {whole.samples} samples are for calibration, the other"
                f" {evaluation.samples} for evaluation; give --eval to evaluate on other data"
            )
        return cls(given, calib, evaluation)

    def to_json(self) -> dict[str, Any]:
        """What a plan records, by role."""
        return {**{role: data and data.to_json() for role, data in self.given.items()}, "train": None}


def make_quality(request: Request, registry: Registry, program: Program, evaluation: Data | None) -> Quality:
    """What a request holds rewrites against that are not exact.

    Args:
        request: its budget and metric.
        registry: of metrics.
        program: the original.
        evaluation: what the metric is judged on; None: made-up inputs.

    Raises:
        InputError: the metric, the data and the budget do not fit one another; the first samples are tried.
        DataError: the model fails on them.
        MetricError: the metric raises, or has no value.
    """
    drop, confidence = request.budget.max_drop, request.budget.confidence
    if evaluation is None:
        if drop.value and (reason := _needs_data(request)) is not None:
            raise InputError(
                f"{reason}: give --eval DATA or --calib DATA; without, there is the relative error, like 1%"
            )
        return Quality.made_up(program, drop)
    first = evaluation.part(range(min(BATCH, evaluation.samples)))
    batch = next(iter(first.batches()))
    found = on_data(program.run, evaluation)(list(batch.inputs))
    outputs = [value[: batch.samples] if value.dim() else value for value in found]
    metric = _metric(request.metric, registry) or registry.make_metric(default_metric(drop, batch.labels, outputs))
    Scores(metric, first, program.run).original()
    check_budget(metric, drop)
    return Quality.on(evaluation, metric, program, drop, confidence)


def locked(
    request: Request, passes: Sequence[Pass], refused: Iterable[Candidate], asked: Collection[str]
) -> str | None:
    """What data or a budget would unlock, in words; None where neither is missing.

    Args:
        request: what was given.
        passes: those that were asked, or would be.
        refused: candidates that were found wanting.
        asked: names of passes that have asked for calibration data.
    """
    lossy = {candidate.rule for candidate in refused if candidate.fidelity is Fidelity.APPROXIMATE}
    names = [rule.name for rule in passes if rule.stage is Stage.PRECISION or rule.name in lossy]
    if not names:
        return None
    if not request.budget.max_drop.value:
        given = "" if request.calib is not None else "--calib DATA "
        return f"only exact rewrites are made; {given}--max-drop 0.5pt unlocks rewrites that are not exact ({_list(names)})"
    if request.calib is not None:
        return None
    wanting = [rule.name for rule in passes if rule.name in asked]
    fitted = f"rewrites that are fitted to data ({_list(wanting)})"
    if request.eval is None:
        more = f", and {fitted}" if wanting else ""
        made_up = "there are no data: quality is the worst relative error of the outputs on made-up inputs"
        return f"{made_up}; --calib DATA unlocks a metric{more}"
    return f"without --calib DATA, {fitted} were left out" if wanting else None


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_SAID]) + (", ..." if len(names) > _SAID else "")


def _metric(given: Any, registry: Registry) -> Metric | None:
    if given is None or isinstance(given, Metric):
        return given
    if not isinstance(given, str):
        raise InputError(f"metric: a {type(given).__name__}; give a name, 'module:function' or a Metric")
    return registry.make_metric(given)


def _needs_data(request: Request) -> str | None:
    """What is asked for that made-up inputs cannot tell."""
    budget, metric = request.budget, request.metric
    if metric not in (None, WorstError.name):
        return f"--metric {metric.spec() if isinstance(metric, Metric) else metric} is judged on data"
    if budget.max_drop.unit == "pt":
        return f"--max-drop {budget.max_drop}: percentage points are of a rate, which is judged on data"
    if budget.confidence is not None:
        return "--confidence: made-up inputs stand for no others"
    return None
