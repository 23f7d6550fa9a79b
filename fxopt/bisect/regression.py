"""What a regression is: outputs that are off, of a Program or of what an engine made of it, or calls that take longer."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from fxopt.compiler.journal import Journal
from fxopt.compiler.lab import describe
from fxopt.compiler.session import Session
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.cost import Interval
from fxopt.contracts.planner import Ratio
from fxopt.errors import EngineError, InputError, MetricError
from fxopt.ir.export_error import reason
from fxopt.measure import Limits, Plan, Worker
from fxopt.verify.error import worst
from fxopt.verify.score import Run

if TYPE_CHECKING:
    from fxopt.ir.program import Program
    from fxopt.verify.paired import PairedDrop
    from fxopt.verify.quality import Quality

ERROR = "relative error of the outputs"

_SEARCH = Plan(epochs=3, comparisons=8)  # what a search finds is measured afresh, by `_TOGETHER`
_TOGETHER = Plan(epochs=3, together=True)


@dataclass(frozen=True)
class Case:
    """What rewritten Programs are compared with.

    Attributes:
        program: the unmodified Program.
        inputs: flat inputs of the call that is timed.
        judge: how far the outputs of what takes flat inputs to flat outputs are off, given what an error may be.
    """

    program: Program
    inputs: list[torch.Tensor]
    judge: Callable[[Run, float], Figure]

    @classmethod
    def of(cls, program: Program, inputs: list[torch.Tensor]) -> Case:
        """A Program on one call."""
        return cls.over(program, inputs, [inputs])

    @classmethod
    def over(cls, program: Program, inputs: list[torch.Tensor], calls: Iterable[list[torch.Tensor]]) -> Case:
        """A Program on several calls, of which the worst error counts."""
        expected = [(call, program.run(call)) for call in calls]

        def judge(run: Run, bound: float) -> Figure:
            return Figure.of_error(max(worst(run(call), outputs) for call, outputs in expected), bound)

        return cls(program, inputs, judge)

    @classmethod
    def of_quality(cls, program: Program, inputs: list[torch.Tensor], quality: Quality) -> Case:
        """A Program whose quality counts, against its budget."""

        def judge(run: Run, bound: float) -> Figure:
            return Figure.of_drop(quality.drop(run), quality)

        return cls(program, inputs, judge)

    def arrays(self) -> list[np.ndarray[Any, Any]]:
        """The inputs as engines take them.

        Raises:
            InputError: numpy has no such dtype.
        """
        try:
            return [value.numpy() for value in self.inputs]
        except TypeError as error:
            raise InputError(f"an input has a dtype that no engine takes ({error})") from error


@dataclass(frozen=True)
class Figure:
    """What was measured of a rewritten Program.

    Attributes:
        value: relative error, drop of a metric, or latency over that of the unmodified Program; infinity where it fails.
        bad: whether it is a regression.
        text: in words.
        interval: of a drop, or of a latency ratio that was timed.
        failed: whether there was nothing to measure, since it cannot be built or run.
    """

    value: float
    bad: bool
    text: str
    interval: Interval | None = None
    failed: bool = False

    @classmethod
    def of_error(cls, error: float, bound: float) -> Figure:
        """An output error."""
        return cls(error, not error <= bound, f"{error:.1e}")

    @classmethod
    def of_drop(cls, drop: PairedDrop, quality: Quality) -> Figure:
        """A drop of a metric: a regression where it breaks the budget."""
        fault, interval = quality.fault(drop), drop.interval()
        text = fault or f"{drop.metric.spec()} is worse by {drop.drop:.3g} (--max-drop {quality.budget})"
        finite = math.isfinite(interval.low) and math.isfinite(interval.high)
        return cls(drop.drop, fault is not None, text, interval if finite else None)

    @classmethod
    def of_ratio(cls, ratio: Ratio) -> Figure:
        """A latency ratio: a regression only where its interval proves it."""
        return cls(ratio.interval.estimate, ratio.interval.low > 1, describe(ratio), ratio.interval)

    @classmethod
    def of_failure(cls, text: str, bad: bool = True) -> Figure:
        """There is nothing to measure."""
        return cls(math.inf, bad, text, failed=True)

    def to_json(self) -> dict[str, Any]:
        """Plain data; the value of a failure is null."""
        value = self.value if math.isfinite(self.value) else None
        return {"value": value, "interval": self.interval and self.interval.to_json(), "text": self.text}


@dataclass
class Bench:
    """One engine in a process of its own, and the artifacts that it has made.

    Attributes:
        given: artifacts that are there already, by digest of their Program.
        built: those that were made here.
    """

    engine: str
    journal: Journal
    worker: Worker
    given: dict[str, Path] = field(default_factory=dict)
    built: set[Path] = field(default_factory=set)

    @classmethod
    @contextmanager
    def open(cls, engine: str) -> Iterator[Bench]:
        """A bench whose artifacts go when it is closed."""
        with tempfile.TemporaryDirectory(prefix="fxopt-bisect-") as folder, Worker(Limits()) as worker:
            journal = Journal(Path(folder) / "bench", {}, resume=False)
            try:
                yield cls(engine, journal, worker)
            finally:
                journal.release()

    def workshop(self, case: Case) -> Workshop:
        """Where Programs that take the inputs of a case are built and timed."""
        return Workshop(self.journal, self.worker, case.program, case.arrays(), None)

    def emit(self, workshop: Workshop, program: Program) -> Path:
        """The artifact of a Program.

        Raises:
            EngineError: as `Workshop.emit`.
        """
        if program.digest in self.given:
            return self.given[program.digest]
        artifact = workshop.emit(self.engine, program)
        self.built.add(artifact)
        return artifact


class Metric(Protocol):
    """What may have become worse."""

    @property
    def name(self) -> str:
        """What `metric` finds it by."""

    @property
    def what(self) -> str:
        """What is measured, in words."""

    @property
    def builds(self) -> bool:
        """Whether a measurement costs a build."""

    def measure(self, case: Case, program: Program) -> Figure:
        """How a rewritten Program compares with the unmodified one."""


@dataclass(frozen=True)
class ProgramError:
    """The output error of a Program, run by PyTorch; or whatever its case judges."""

    bound: float
    subject: str = ERROR
    name = "program"
    builds = False

    @property
    def what(self) -> str:
        """What is measured, in words."""
        return f"{self.subject}, as PyTorch runs the rewritten program"

    def measure(self, case: Case, program: Program) -> Figure:
        """As `Metric.measure`."""
        try:
            return case.judge(program.run, self.bound)
        except Exception as error:  # noqa: BLE001 - a wrong rewrite may make a program that cannot run
            return Figure.of_failure(f"it raises {type(error).__name__}: {reason(error)}")


@dataclass(frozen=True)
class ArtifactError:
    """The same of what the engine made of a Program, against the unmodified Program as PyTorch runs it."""

    bound: float
    bench: Bench
    subject: str = ERROR
    name = "artifact"
    builds = True

    @property
    def what(self) -> str:
        """What is measured, in words."""
        return f"{self.subject}, as {self.bench.engine} runs the rewritten program"

    def measure(self, case: Case, program: Program) -> Figure:
        """As `Metric.measure`."""
        worker = self.bench.worker

        def run(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
            return [torch.from_numpy(np.copy(value)) for value in worker.run([value.numpy() for value in inputs])]

        try:
            worker.load(self.bench.engine, self.bench.emit(self.bench.workshop(case), program))
            return case.judge(run, self.bound)
        except (EngineError, MetricError) as error:
            return Figure.of_failure(str(error))


@dataclass(frozen=True)
class Latency:
    """The time of a call over that of the unmodified Program, on one engine, interleaved."""

    bench: Bench
    name = "latency"
    builds = True

    @property
    def what(self) -> str:
        """What is measured, in words."""
        return f"latency over the unmodified model's on {self.bench.engine}"

    def measure(self, case: Case, program: Program) -> Figure:
        """As `Metric.measure`. What cannot be timed is not proven slower, and so no regression of latency.

        Raises:
            EngineError: the unmodified Program cannot be built or timed.
        """
        return self.compare(case, {"rewritten": program}, _SEARCH)["rewritten"]

    def compare(self, case: Case, programs: dict[str, Program], plan: Plan = _TOGETHER) -> dict[str, Figure]:
        """Several Programs, by name, each against the unmodified one, in one session.

        Raises:
            EngineError: as `measure`.
        """
        bench, workshop = self.bench, self.bench.workshop(case)
        base = bench.emit(workshop, case.program)
        kernels = workshop.signature(bench.engine, base)
        variants = [("unmodified", bench.engine, base, case.program)]
        found: dict[str, Figure] = {}
        stands_for: dict[str, str] = {}
        by_artifact: dict[Path, str] = {}
        for name, program in programs.items():
            try:
                artifact = bench.emit(workshop, program)
                signature = workshop.signature(bench.engine, artifact)
            except EngineError as error:
                found[name] = Figure.of_failure(str(error), bad=False)
                continue
            if artifact == base or (signature and signature == kernels):
                found[name] = Figure.of_ratio(Ratio(Interval(1.0, 1.0, 1.0), 1.0, equal=True))
                continue
            if artifact not in by_artifact:
                variants.append((name, bench.engine, artifact, program))
            stands_for[name] = by_artifact.setdefault(artifact, name)
        if stands_for:
            measured = _figures(workshop.session(variants, plan))
            found |= {name: measured[other] for name, other in stands_for.items()}
        return found


def _figures(session: Session) -> dict[str, Figure]:
    timed = {name: item.ratio for name, item in session.variants.items() if item.ratio is not None}
    failed = {name: Figure.of_failure(text, bad=False) for name, text in session.failures.items()}
    return failed | {name: Figure.of_ratio(ratio) for name, ratio in timed.items()}


def metric(name: str, bench: Bench, bound: float) -> Metric:
    """The metric of that name; `bound` is what an error may be.

    Raises:
        InputError: there is none.
    """
    found: list[Metric] = [ProgramError(bound), ArtifactError(bound, bench), Latency(bench)]
    for item in found:
        if item.name == name:
            return item
    raise InputError(f"unknown metric {name!r}")
