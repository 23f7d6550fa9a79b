"""The planner's laboratory: plans over one Program's steps, built for one engine, compared, and judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fxopt.compiler.rewrite import NOTHING, Context, closure, replay
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.candidate import Fidelity, Step
from fxopt.contracts.cost import Interval
from fxopt.contracts.engine import Artifact
from fxopt.contracts.planner import Build, Ratio
from fxopt.errors import EngineError, MetricError
from fxopt.ir.twin import double
from fxopt.measure import Plan
from fxopt.verify.fidelity import Evidence, check_whole

if TYPE_CHECKING:
    from fxopt.ir.program import Program
    from fxopt.registry import Registry
    from fxopt.verify.paired import PairedDrop
    from fxopt.verify.quality import Quality


@dataclass
class Verdict:
    """What became of a step, for one engine."""

    verdict: str
    reason: str
    group: str | None = None
    ratio: Ratio | None = None


@dataclass
class EngineLab:
    """The `Lab` of one engine: plans over one Program's steps."""

    workshop: Workshop
    registry: Registry
    engine: str
    program: Program
    steps: Sequence[Step]
    plan: Plan
    quality: Quality
    context: Context = NOTHING
    progress: Callable[[int, int], None] = lambda done, total: None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    whole: dict[str, Evidence] = field(default_factory=dict)  # of exact builds that were checked as a whole
    drops: dict[str, PairedDrop] = field(default_factory=dict)  # of builds that are not exact, on the gate's samples
    reports: dict[str, PairedDrop] = field(default_factory=dict)  # of those that were to ship, on the report's

    def __post_init__(self) -> None:
        baseline = self.build(())
        if baseline is None:
            raise EngineError(self.failures[""])
        self.baseline = baseline

    def build(self, steps: Collection[str]) -> Build | None:
        """As `Lab.build`."""
        wanted = closure(self.steps, steps)
        program, skipped = replay(self.program, wanted, self.registry, self.context)
        kept = frozenset(step.id for step in wanted) - set(skipped)
        try:
            artifact = self.workshop.emit(self.engine, program)
            signature = self.workshop.signature(self.engine, artifact)
        except EngineError as error:
            self.failures[",".join(sorted(steps))] = str(error)
            return None
        key = artifact.name
        self.programs[key], self.artifacts[key] = program, artifact
        return Build(key, kept, signature, Artifact.read(artifact).size_bytes())

    def compare(self, builds: Sequence[Build]) -> dict[str, Ratio]:
        """As `Lab.compare`."""
        same = {
            b.key
            for b in builds
            if b.key == self.baseline.key or (b.signature and b.signature == self.baseline.signature)
        }
        ratios = {key: Ratio(Interval(1.0, 1.0, 1.0), 1.0, equal=True) for key in same}
        timed: dict[str, Build] = {}
        stands_for: dict[str, str] = {}
        for build in builds:
            if build.key in same:
                continue
            twin = next((t for t in timed.values() if t.signature and t.signature == build.signature), None)
            stands_for[build.key] = (twin or build).key
            if twin is None:
                timed[build.key] = build
        if timed:
            keys = [self.baseline.key, *timed]
            variants = [(key, self.engine, self.artifacts[key], self.programs[key]) for key in keys]
            session = self.workshop.session(variants, self.plan, self.progress)
            for key, representative in stands_for.items():
                measured = session.variants.get(representative)
                if measured is not None and measured.ratio is not None:
                    ratios[key] = measured.ratio
                elif representative in session.failures:
                    self.failures[key] = session.failures[representative]
        return ratios

    def sound(self, build: Build, evidence: Mapping[str, Evidence]) -> Build | None:
        """The largest part of a plan that as a whole is as exact as each of its steps; None if there is none.

        The rounding of each step is bounded, but that of many can add up. So steps are left out, those whose own
        rounding grew most first, by bisection. A plan with steps that are not exact has to keep the quality budget.

        Args:
            build: the plan.
            evidence: of each step.
        """
        fault = self._fault(build)
        if fault is None:
            return build
        growth = {identity: evidence[identity].growth for identity in build.steps if identity in evidence}
        ranked = sorted(build.steps, key=lambda identity: (growth.get(identity, 0.0), identity))
        right, wrong, best = 0, len(ranked), None
        while wrong - right > 1:
            middle = (right + wrong) // 2
            part = self.build(ranked[:middle])
            if part is not None and self._fault(part) is None:
                right, best = middle, part
            else:
                wrong = middle
        kept = best.steps if best is not None else frozenset()
        self.refuse([i for i in ranked if i not in kept], f"with it the plan as a whole {fault}")
        return best

    def _fault(self, build: Build) -> str | None:
        """What is wrong with a build as a whole."""
        steps = closure(self.steps, build.steps)
        if any(step.candidate.fidelity is not Fidelity.EXACT for step in steps):
            try:
                if build.key not in self.drops:
                    self.drops[build.key] = self.quality.drop(self.programs[build.key].run)
            except MetricError as error:
                return str(error)
            return self.quality.fault(self.drops[build.key])
        if build.key not in self.whole:
            twin, _ = replay(double(self.program), steps, self.registry, self.context)
            self.whole[build.key] = check_whole(self.program, self.programs[build.key], twin)
        return self.whole[build.key].fault

    def unproven(self, build: Build) -> str | None:
        """Why a build that is to ship does not keep the quality budget on what no search has seen; None if it does.

        Its steps are refused then.
        """
        if build.key not in self.drops:  # exact
            return None
        try:
            self.reports[build.key] = self.quality.report(self.programs[build.key].run)
            fault = self.quality.fault(self.reports[build.key])
        except MetricError as error:
            fault = str(error)
        if fault is not None:
            fault = f"on the samples kept from the search, {fault}"
            self.refuse(build.steps, fault)
        return fault

    def refuse(self, steps: Collection[str], reason: str, group: str | None = None, ratio: Ratio | None = None) -> None:
        """As `Lab.refuse`."""
        for identity in steps:
            self.verdicts[identity] = Verdict("refused", reason, group, ratio)

    def skip(self, steps: Collection[str], reason: str, group: str | None = None) -> None:
        """As `Lab.skip`."""
        for identity in steps:
            self.verdicts[identity] = Verdict("skipped", reason, group)

    def credit(self, steps: Collection[str], group: str, ratio: Ratio) -> None:
        """As `Lab.credit`."""
        for identity in steps:
            self.verdicts[identity] = Verdict("applied", f"{group} together: {describe(ratio)}", group, ratio)

    def out_of_time(self) -> bool:
        """As `Lab.out_of_time`."""
        return self.workshop.out_of_time()


def describe(ratio: Ratio) -> str:
    """A latency ratio in words."""
    if ratio.equal:
        return "the engine runs the same kernels with and without it"
    i = ratio.interval
    return f"{i.estimate:.3f} of the latency without it ({i.low:.3f} to {i.high:.3f})"
