"""`fxopt bisect`: which steps of a plan make its result worse than the unmodified model, and a small program that shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.bisect import regression
from fxopt.bisect import reproducer as reproducers
from fxopt.bisect.minimize import closed, reduce, smallest
from fxopt.bisect.regression import ERROR, ArtifactError, Bench, Case, Figure, Latency, Metric, ProgramError
from fxopt.bisect.reproducer import Culprit
from fxopt.compiler import output
from fxopt.compiler.load import engine_spec
from fxopt.compiler.lockfile import Lockfile
from fxopt.compiler.optimize import prepare
from fxopt.compiler.progress import NULL, Progress
from fxopt.compiler.replay import planned
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.compiler.steps import closure, replay
from fxopt.compiler.workshop import ARTIFACT_BOUND
from fxopt.contracts.candidate import Fidelity
from fxopt.contracts.engine import Artifact
from fxopt.contracts.options import print_value, split_spec
from fxopt.errors import EngineError, InputError
from fxopt.ir.samples import sample_inputs
from fxopt.ir.shrink import inseparable, neighbourhood, part, seen_values
from fxopt.verify.error import worst

if TYPE_CHECKING:
    import torch

    from fxopt.compiler.context import Context
    from fxopt.contracts.candidate import Step
    from fxopt.contracts.quantization import QuantScheme
    from fxopt.ir.program import Program
    from fxopt.ir.statistics import Table

_MOST_PROGRAMS, _MOST_BUILDS = 300, 12  # that are tried to make a reproducer smaller


@dataclass(frozen=True)
class Bisection:
    """What `fxopt bisect` found.

    Attributes:
        metric: what was measured, in words.
        planned: how many steps the plan has.
        regression: whether its steps make the model worse.
        whole: what was measured of all of them.
        culprits: the steps that cause the regression together, each of which it takes.
        needed: further steps without which the culprits have no site.
        alone: what was measured of the culprits with the steps that they need.
        without: of the plan without the culprits and what needs them; None where nothing is left.
        programs: how many different rewritten Programs were measured until the culprits were known.
        builds: how many of them were built for an engine, with the unmodified one where that was built as well.
        nodes: of the reproducer's Program and of the whole.
        reproducer: its folder; None where there is no regression, or none could be made.
        notes: lines for people.
    """

    metric: str
    planned: int
    regression: bool = False
    whole: Figure | None = None
    culprits: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    alone: Figure | None = None
    without: Figure | None = None
    programs: int = 0
    builds: int = 0
    nodes: tuple[int, int] | None = None
    reproducer: Path | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        figures = {"whole": self.whole, "alone": self.alone, "without": self.without}
        return {
            "regression": self.regression,
            "metric": self.metric,
            "planned": self.planned,
            "steps": list(self.culprits),
            "needed": list(self.needed),
            **{name: figure and figure.to_json() for name, figure in figures.items()},
            "programs": self.programs,
            "builds": self.builds,
            "nodes": self.nodes and list(self.nodes),
            "reproducer": self.reproducer and str(self.reproducer),
            "notes": list(self.notes),
        }


def bisect(out: Path, metric: str = "error", evaluation: str | None = None, progress: Progress = NULL) -> Bisection:
    """Find the smallest set of a plan's steps that makes its result worse than the unmodified model.

    Args:
        out: the output folder, with the unmodified model in it.
        metric: `"latency"`: time of a call on the plan's engine; `"error"`: relative error of the outputs; `"quality"`: the
            drop of the plan's metric against its budget, or the error where all its steps are to be exact. The last two
            of the Program first, and of the engine's artifact where the Program shows nothing.
        evaluation: data that they are measured on; those that the plan records by default, else made-up inputs.
        progress: told what is going on.

    Raises:
        InputError: OUT lacks the plan, the unmodified model or its baseline; a pass or the engine is not installed; or
            the unmodified model cannot be built here.
    """
    output.roll_forward(out)
    lock = Lockfile.read(out)
    for name in ("source.pt2", "baseline"):
        if not (out / name).exists():
            raise InputError(f"{out}: there is no {name} to compare with; optimize without --no-source")
    if not lock.steps:
        recipe = lock.data["recipe"]
        what = "the unmodified model" if recipe is None else f"what the engine's own {recipe} makes of the model"
        under = "".join(f", with {option}={value}" for option, value in lock.data["tunings"].items())
        return Bisection(metric, 0, notes=(f"the plan has no steps: OUT is {what}{under}",))
    request = planned(Request(str(out / "source.pt2"), out, eval=evaluation), lock)
    run = prepare(replace(request, engine=_engine(lock)), progress)
    try:
        lock.check_graph(run.program)
        (engine,) = run.engines
        with Bench.open(engine) as bench:
            return _Bisector(out, lock, run, bench, progress).go(metric)
    except EngineError as error:
        raise InputError(f"{out}: the unmodified model cannot be measured here: {error}") from error
    finally:
        run.close()


def _engine(lock: Lockfile) -> str:
    """The spec of the plan's engine under the tunings that OUT runs with; the unmodified model is measured so as well."""
    name, options = split_spec(lock.data["engine"])
    options |= {option: print_value(value) for option, value in lock.data["tunings"].items()}
    return f"{name}{{{','.join(f'{option}={value}' for option, value in options.items())}}}" if options else name


@dataclass
class _Bisector:
    """One search."""

    out: Path
    lock: Lockfile
    run: Run
    bench: Bench
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.source, steps = self.run.program, self.lock.steps
        self.fitted = self.lock.tensors()
        self.order = [step.id for step in steps]
        self.needs = {step.id: step.needs for step in steps}
        self.inputs = sample_inputs(self.source, seed=self.run.request.seed)
        quality = self.run.quality
        budget = quality.budget.value / (100 if quality.budget.unit == "%" else 1)
        self.bound = budget if quality.lossy and quality.metric.relative else ARTIFACT_BOUND
        self.scheme: QuantScheme | None = None
        self.found: dict[str, Figure] = {}  # by digest of the rewritten Program
        (engine,) = self.run.engines.values()
        moved = self.lock.moved(self.run.registry, self.run.target, engine)
        self.notes += [f"{text}; everything was rebuilt and measured here" for text in moved]
        baseline = Artifact.read(self.out / "baseline")
        if not moved and engine_spec(baseline.stages[0].engine, baseline) == self.bench.engine:
            self.bench.given[self.source.digest] = self.out / "baseline"

    def choose(self, name: str) -> None:
        """What is compared, and what it is called: the quality where the plan has a budget for it, else the outputs."""
        quality = self.run.quality
        if name == "quality" and quality.lossy:
            with self.progress.phase("judge the unmodified model"):
                quality.begin()
            self.case = Case.of_quality(self.source, self.inputs, quality)
            self.subject = f"{quality.metric.spec()} {quality.gate.where}"
        else:
            calls = [] if name == "latency" else quality.gate.inputs()
            self.case = Case.over(self.source, self.inputs, calls)
            self.subject = ERROR

    @property
    def context(self) -> Context:
        """What passes are told, as when the plan was made."""
        return replace(self.run.context, fitted=self.fitted, scheme=self.scheme)

    def find_scheme(self) -> None:
        """How the engine wants its integers here, where the plan has steps that may ask."""
        (engine,) = self.run.engines.values()
        lossy = any(step.candidate.fidelity is not Fidelity.EXACT for step in self.lock.steps)
        if lossy and engine.quant_scheme is not None:
            with self.progress.phase(f"test the integer sums of {engine.name}"):
                self.scheme = self.bench.workshop(self.case).scheme(self.bench.engine, engine.quant_scheme)

    def rewritten(self, steps: Collection[str]) -> Program:
        """The source with these steps applied."""
        return replay(self.source, closure(self.lock.steps, steps), self.run.registry, self.context)[0]

    def go(self, name: str) -> Bisection:
        """All of it."""
        self.choose(name)
        self.find_scheme()
        program, skipped = replay(self.source, self.lock.steps, self.run.registry, self.context)
        if skipped:
            self.notes.append(f"left out, as their passes do not offer them here: {', '.join(skipped)}")
        metric, whole = self.whole(name, program)
        if metric is None:
            return self.result(name, whole=whole)
        cause = self.search(metric, whole, program)
        return self.explain(metric, whole, program, cause)

    def result(self, metric: str, **fields: Any) -> Bisection:
        """What was found, with the notes."""
        return Bisection(metric, len(self.order), notes=tuple(self.notes), **fields)

    def whole(self, name: str, program: Program) -> tuple[Metric | None, Figure]:
        """What the whole plan is worse by, if it is, and what was measured of it."""
        if name == "latency":
            metric: Metric = Latency(self.bench)
            with self.progress.phase("measure the whole plan beside the unmodified model"):
                figure = metric.measure(self.case, program)
            if figure.failed:
                raise InputError(f"{self.out}: the plan cannot be timed: {figure.text}; try --metric error")
            if not figure.bad:
                self.notes.append(f"no regression beyond noise: {figure.text}")
            return (metric if figure.bad else None), figure
        metric = ProgramError(self.bound, self.subject)
        with self.progress.phase("compare the outputs of the whole plan"):
            figure = metric.measure(self.case, program)
        if figure.bad:
            return metric, figure
        metric = ArtifactError(self.bound, self.bench, self.subject)
        with self.progress.phase("compare the outputs of its artifact"):
            built = metric.measure(self.case, program)
        if not built.bad:
            here = f"{figure.text} in PyTorch and {'by ' if self.subject == ERROR else ''}{built.text} on {self.bench.engine}"
            if self.subject == ERROR:
                where = f"{self.run.quality.gate.where} (bound {self.bound:g})"
                here = f"the outputs differ from the unmodified model's by {here}, {where}"
            self.notes.append(f"no regression: {here}")
        return (metric if built.bad else None), built

    def search(self, metric: Metric, whole: Figure, program: Program) -> frozenset[str]:
        """The smallest closed set of steps that is worse in the same way."""
        self.found = {program.digest: whole}
        if not isinstance(
            metric, ArtifactError
        ):  # a Program is no worse than itself; what an engine makes of it may be
            self.found[self.source.digest] = Figure(1.0 if isinstance(metric, Latency) else 0.0, False, "")

        def fails(steps: frozenset[str]) -> bool:
            figure = self.measure(metric, self.rewritten(steps))
            self.progress.advance()
            return figure.bad and figure.failed == whole.failed

        with self.progress.phase("look for the steps that cause it", math.ceil(math.log2(len(self.order))) + 2):
            return smallest(self.order, self.needs, fails)

    def measure(self, metric: Metric, program: Program) -> Figure:
        """What is measured of a rewritten Program, once."""
        if program.digest not in self.found:
            self.found[program.digest] = metric.measure(self.case, program)
        return self.found[program.digest]

    def explain(self, metric: Metric, whole: Figure, program: Program, cause: frozenset[str]) -> Bisection:
        """Measure the cause beside the rest of the plan, and write the reproducer."""
        counts = {"programs": len(self.found.keys() - {self.source.digest}), "builds": len(self.bench.built)}
        if not cause:
            self.notes.append(f"no step causes it: {self.bench.engine} does the same to the unmodified model")
            return self.result(metric.what, whole=whole, **counts)
        needed = {need for step in cause for need in self.needs[step]}
        culprits = [step for step in self.order if step in cause - needed]
        rest = [step for step in self.order if not closed([step], self.needs) & set(culprits)]
        programs = {"whole": program, "alone": self.rewritten(cause), "without": self.rewritten(rest)}
        with self.progress.phase("measure the plan with and without them"):
            if isinstance(metric, Latency):  # a search looks many times; what it finds has to stand on fresh figures
                figures = metric.compare(self.case, programs)
            else:
                figures = {name: self.measure(metric, item) for name, item in programs.items()}
        whole = figures["whole"]
        if not whole.bad:
            self.notes.append(f"no regression beyond noise: it looked like one, but measured afresh: {whole.text}")
            return self.result(metric.what, whole=whole, **counts)
        if not figures["alone"].bad:
            self.notes.append(
                f"no step is proven to cause it: {', '.join(culprits)} looked like it, but measured afresh: "
                f"{figures['alone'].text}"
            )
            return self.result(metric.what, regression=True, whole=whole, **counts)
        with self.progress.phase("shrink the program to a reproducer"):
            folder, nodes = self.reproduce(metric, figures["alone"], closure(self.lock.steps, cause), programs["alone"])
        return self.result(
            metric.what,
            regression=True,
            culprits=tuple(culprits),
            needed=tuple(step for step in self.order if step in cause & needed),
            reproducer=folder,
            nodes=nodes,
            **figures,
            **counts,
        )

    # -- the reproducer --------------------------------------------------------------------------------------

    def reproduce(
        self, metric: Metric, figure: Figure, steps: Sequence[Step], program: Program
    ) -> tuple[Path | None, tuple[int, int] | None]:
        """Write the smallest part of the source on which the steps still show the same; its folder, and numbers of nodes."""
        inputs = self.worst_inputs(metric, program)
        values = seen_values(self.source, inputs)
        needs = inseparable(self.source, values)
        order = [node.name for node in self.source.calls]
        left = _MOST_BUILDS if metric.builds else _MOST_PROGRAMS

        def culprit(names: Collection[str] | None) -> Culprit:
            small, seen = (self.source, inputs) if names is None else part(self.source, names, values)
            return Culprit(
                small,
                seen,
                steps,
                metric.name,
                regression.metric(metric.name, self.bench, self.bound).what,  # of a part there is no quality
                self.bench.engine,
                self.bound,
                self.run.context.capabilities,
                self.scheme,
                self.table(small, program),
                {name: self.fitted[name] for step in steps for name in step.tensors if name in self.fitted},
            )

        found: dict[Collection[str] | None, Figure] = {}

        def shows(names: frozenset[str] | None) -> bool:
            nonlocal left
            left -= 1
            if left < 0 or (now := self.same(metric, figure, culprit, names)) is None:
                return False
            found[names] = now
            return True

        sites = {name for step in steps for name in step.candidate.footprint}
        kept: frozenset[str] | None = None
        for distance in (0, *(2**power for power in range(len(order).bit_length()))):
            near = closed(neighbourhood(self.source, sites, distance), needs)
            if shows(near):
                names = [name for name in order if name in near]
                kept = reduce(names, needs, shows, len(names) // 2)
                break
        else:
            left = 1
            if not shows(None):
                self.notes.append(
                    "no reproducer: by themselves, without the data of the plan, the steps do not show it"
                )
                return None, None
        folder = reproducers.write(culprit(kept), found[kept], self.out / "reproducers")
        return folder, (len(culprit(kept).program), len(self.source))

    def same(
        self,
        metric: Metric,
        figure: Figure,
        culprit: Callable[[Collection[str] | None], Culprit],
        names: Collection[str] | None,
    ) -> Figure | None:
        """What is measured of a part, where the steps make it worse as they do the whole, and it is in order without."""
        try:
            tried = culprit(names)
            found = tried.measure(self.run.registry, self.bench, self.run.context.guard)
            if found is None or not found.bad or found.failed != figure.failed:
                return None
            case = Case.of(tried.program, list(tried.inputs))
            sound = not isinstance(metric, ArtifactError) or not metric.measure(case, tried.program).bad
            return found if sound else None
        except Exception:  # noqa: BLE001 - parts are cut blindly: many of them cannot be built, rewritten or run
            return None

    def worst_inputs(self, metric: Metric, program: Program) -> list[torch.Tensor]:
        """The inputs on which a Program's error is worst; those that are timed, for latency."""
        found = (-1.0, self.case.inputs)

        def judge(run: Any, bound: float) -> Figure:
            def spy(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
                nonlocal found
                outputs = run(inputs)
                found = max(found, (worst(outputs, self.source.run(inputs)), inputs), key=lambda pair: pair[0])
                return outputs  # type: ignore[no-any-return]

            return self.case.judge(spy, bound)

        if not isinstance(metric, Latency):
            metric.measure(Case(self.source, self.case.inputs, judge), program)
        return found[1]

    def table(self, small: Program, rewritten: Program) -> Table | None:
        """The statistics that passes were told, of what there is in a part."""
        statistics = self.run.context.statistics
        if statistics is None or not statistics.asked:
            return None
        table = {**(statistics.known(rewritten) or {}), **statistics.table(self.source)}
        names = {key: key.partition(" ")[2] for key in table}
        return {key: value for key, value in table.items() if names[key] in small or names[key] not in self.source}
