"""The quality of a candidate: how much worse a metric is than for the original, sample by sample, against what was allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch

from fxopt.contracts.cost import Drop
from fxopt.contracts.metric import Direction, Metric
from fxopt.data import Data
from fxopt.data_parts import halves
from fxopt.errors import InputError, MetricError
from fxopt.ir.samples import other_sizes, sample_inputs
from fxopt.verify.error import worst
from fxopt.verify.paired import CONFIDENCE, PairedDrop
from fxopt.verify.score import Run, Scores

if TYPE_CHECKING:
    from fxopt.ir.interface import Interface
    from fxopt.ir.program import Program


class Judged(Protocol):
    """What runs are judged on, and by which metric; `fxopt.verify.score.Scores` is one."""

    @property
    def metric(self) -> Metric:
        """Whose statistics."""

    @property
    def where(self) -> str:
        """What is judged on, in words, like `"on 300 samples of eval.npz"`."""

    def of(self, run: Run) -> torch.Tensor:
        """As `Scores.of`."""

    def original(self) -> torch.Tensor:
        """As `Scores.original`."""

    def inputs(self) -> Iterator[list[torch.Tensor]]:
        """The flat inputs of each call."""


@dataclass
class Quality:
    """The budget for rewrites that are not exact, and what it is held against.

    Attributes:
        budget: how much worse the metric may become.
        confidence: None: the estimate of the drop must keep the budget; 0.95: its upper bound at this confidence must.
        gate: what a search may look at as often as it likes.
        rest: what only that is judged on which ships.
        data: what both are parts of; None: inputs made up from shapes and dtypes.
    """

    budget: Drop
    confidence: float | None
    gate: Judged
    rest: Judged
    data: Data | None = None

    @classmethod
    def on(
        cls, data: Data, metric: Metric, original: Program, budget: Drop, confidence: float | None = None
    ) -> Quality:
        """Judged by a metric on data, a half of them for the search and a half for the report.

        Raises:
            InputError: the data cannot be halved.
        """
        gate, rest = (Scores(metric, half, original.run) for half in halves(data))
        return cls(budget, confidence, gate, rest, data)

    @classmethod
    def made_up(cls, original: Program, budget: Drop) -> Quality:
        """Judged by the worst relative error of the outputs on made-up inputs, for want of data."""
        inputs = MadeUp(original)
        return cls(budget, None, inputs, inputs)

    @property
    def lossy(self) -> bool:
        """Whether rewrites that are not exact may be tried."""
        return self.budget.value > 0

    @property
    def metric(self) -> Metric:
        """What is judged by."""
        return self.gate.metric

    def begin(self) -> None:
        """Judge the original itself.

        Raises:
            InputError: labels or the budget do not fit the metric.
            MetricError: the metric raises or has no value.
        """
        for part in dict.fromkeys((self.gate, self.rest)):
            statistics = part.original()
            PairedDrop.between(part.metric, statistics, statistics, resamples=1).limit(self.budget)

    def doubts(self) -> list[str]:
        """Lines for a user who may have meant another budget."""
        allowed = []
        if self.metric.rate and self.budget.unit == "" and self.budget.value:
            points = 100 * self.budget.value
            allowed = [f"--max-drop {self.budget} allows {points:g} percentage points of {self.metric.spec()}"]
        return [*allowed, *filter(None, [self._cannot_be_proven()])]

    def _cannot_be_proven(self) -> str | None:
        """Why nothing may come of the budget however good a candidate is; None if something may."""
        if self.confidence is None or not self.metric.rate:
            return None
        original = self.rest.original()
        same = PairedDrop.between(self.metric, original, original, resamples=1)
        needed = same.samples_needed(self.budget, self.confidence)
        if needed is None or needed <= same.samples:
            return None
        return (
            f"{same.samples} samples prove no drop of {self.budget} with {self.confidence:.0%} confidence, even without a"
            f" single change: that takes about {needed} kept from the search; only what is exact may ship"
        )

    def drop(self, run: Run) -> PairedDrop:
        """How much worse than the original a candidate is, on what the search may look at.

        Args:
            run: what takes flat inputs to flat outputs: a rewritten Program's `run`, or an artifact's.

        Raises:
            MetricError: the metric raises at the candidate's outputs, or has no value there: its line is the reason to
                refuse the candidate.
        """
        return self._drop(self.gate, run)

    def report(self, run: Run) -> PairedDrop:
        """As `drop`, on what no search has seen: for what ships alone."""
        return self._drop(self.rest, run)

    def samples(self, count: int, interface: Interface) -> Data | None:
        """About so many samples of what the search may look at, without labels; None where inputs have no sample axis."""
        calls = list(self.gate.inputs())
        size = len(calls[0][0]) if calls[0] and calls[0][0].dim() else 1
        wanted = min(len(calls), math.ceil(count / size))
        spread = (calls[number * len(calls) // wanted] for number in range(wanted))  # data may be sorted
        taken = [dict(zip(interface.argument_names, inputs, strict=True)) for inputs in spread]
        try:
            return Data.read(taken, interface, "gate")
        except InputError:
            return None

    def fault(self, drop: PairedDrop, looks: int = 1) -> str | None:
        """Why a drop is too large; None if the budget is kept.

        Args:
            drop: of a candidate.
            looks: candidates that may be judged on the same samples until one keeps the budget. A confidence then has to
                hold for all of them together (Bonferroni).
        """
        found = drop.fault(self.budget, self.confidence and 1 - (1 - self.confidence) / looks)
        return found and f"{found} {self.where}"

    def excess(self, drop: PairedDrop) -> float:
        """How many times what is allowed a drop is; infinite where nothing is."""
        return drop.excess(self.budget, self.confidence)

    @property
    def where(self) -> str:
        """What is judged on, in words."""
        return "on made-up inputs" if self.data is None else f"on {self.data.name}"

    def asked(self) -> dict[str, Any]:
        """What is held against what, as plain data."""
        return {
            "metric": self.metric.spec(),
            "budget": str(self.budget),
            "by": "estimate" if self.confidence is None else "bound",
            "confidence": self.confidence or CONFIDENCE,
            "data": self.data and self.data.to_json(),
        }

    def to_json(self, gate: PairedDrop, report: PairedDrop) -> dict[str, Any]:
        """What the ledger says of what ships: `asked`, and the drop on either part."""
        return {**self.asked(), "gate": self.figures(gate), "report": self.figures(report)}

    def figures(self, drop: PairedDrop) -> dict[str, Any]:
        """A drop as plain data, in the metric's own unit, beside its limit and what it would take to prove it."""
        level = self.confidence or CONFIDENCE
        found, upper = drop.to_json(level), drop.upper(level)
        kept = ("original", "candidate", "drop", "samples", "differing", "method")
        return {
            **{key: found[key] for key in kept},
            "upper": upper if math.isfinite(upper) else None,
            "limit": drop.limit(self.budget),
            "samples_needed": drop.samples_needed(self.budget, level),
        }

    def _drop(self, part: Judged, run: Run) -> PairedDrop:
        before = part.original()
        try:
            return PairedDrop.between(part.metric, before, part.of(run))
        except MetricError:
            raise
        except InputError as error:  # what fitted the original's outputs does not fit the candidate's
            raise MetricError(str(error)) from error


@dataclass(frozen=True)
class WorstError(Metric):
    """Largest absolute difference from the original's outputs over the largest absolute value; a call is a sample."""

    name: ClassVar[str] = "error"
    needs = "reference"
    direction: ClassVar[Direction] = "lower"
    several: ClassVar[bool] = True
    relative: ClassVar[bool] = True

    def collect(self, outputs: Any, labels: torch.Tensor | None, reference: Any) -> torch.Tensor:
        """The one statistic of a call."""
        return torch.tensor([[worst(outputs, reference)]], dtype=torch.float64)


@dataclass(eq=False)
class MadeUp:
    """Inputs made up at the measured sizes and at others, as one sample: what counts of them is the worst error.

    They need not begin with a sample axis, and stand for no others: a drop on them has an infinite interval.
    """

    program: Program
    metric: Metric = field(default_factory=WorstError)
    where = "on made-up inputs"

    def of(self, run: Run) -> torch.Tensor:
        """As `Scores.of`, of shape (1, 1)."""
        rows = [
            self.metric.collect(tuple(run(inputs)), None, tuple(expected))
            for inputs, expected in zip(self.inputs(), self._expected, strict=True)
        ]
        found = torch.cat(rows).amax(0, keepdim=True)
        if not bool(torch.isfinite(found).all()):
            raise MetricError(f"{self.metric.spec()} is {float(found):g} {self.where}")
        return found

    def original(self) -> torch.Tensor:
        """As `Scores.original`: no error."""
        return torch.zeros(1, 1, dtype=torch.float64)

    def inputs(self) -> Iterator[list[torch.Tensor]]:
        """As `Judged.inputs`."""
        yield sample_inputs(self.program)
        yield sample_inputs(self.program, other_sizes(self.program), seed=1)

    @cached_property
    def _expected(self) -> list[list[torch.Tensor]]:
        return [list(self.program.run(inputs)) for inputs in self.inputs()]
