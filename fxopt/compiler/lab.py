"""The planner's laboratory: plans over one Program's steps, built for one engine, compared, and judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fxopt.compiler import profiles
from fxopt.compiler.context import NOTHING, Context
from fxopt.compiler.give_back import excess, give_back_worst
from fxopt.compiler.part_times import PartTimes
from fxopt.compiler.steps import closure, replay, rewritten
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.candidate import Fidelity, Step
from fxopt.contracts.cost import Interval
from fxopt.contracts.engine import Artifact, Engine
from fxopt.contracts.planner import NOTHING_KNOWN, Build, Foretold, Look, Ratio
from fxopt.errors import EngineError, MetricError
from fxopt.ir.twin import double
from fxopt.measure import Plan
from fxopt.user_code import raised
from fxopt.verify.fidelity import Evidence, check_whole

if TYPE_CHECKING:
    from fxopt.compiler.search import Search
    from fxopt.contracts.target import Target
    from fxopt.data import Data
    from fxopt.ir.program import Program
    from fxopt.prices.predict import Experience
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
    search: Search
    plan: Plan
    quality: Quality
    context: Context = NOTHING
    calib: Data | None = None  # where recipes are wanted
    progress: Callable[[int, int], None] = lambda done, total: None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    programs: dict[str, Program] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    untried: dict[str, str] = field(default_factory=dict)  # recipes, and why
    whole: dict[str, Evidence] = field(default_factory=dict)  # of exact builds that were checked as a whole
    drops: dict[str, PairedDrop] = field(default_factory=dict)  # of builds that are not exact, on the gate's samples
    reports: dict[str, PairedDrop] = field(default_factory=dict)  # of those that were to ship, on the report's
    faults: dict[str, str | None] = field(default_factory=dict)  # what is wrong with builds as a whole, if anything is
    tried: dict[str, Build] = field(default_factory=dict)
    ratios: dict[str, Ratio] = field(default_factory=dict)  # of builds to the baseline
    gains: dict[str, Ratio] = field(default_factory=dict)  # of builds under tunings to what they are without
    fixed: frozenset[str] = frozenset()  # options of the engine that the user has typed
    tunings_fault: str | None = None  # what went wrong when the engine was asked for tunings
    makers: dict[str, Mapping[str, str]] = field(default_factory=dict)  # of a build's nodes: ids of steps, by name
    target: Target | None = None  # which prices programs
    experience: Experience | None = None  # which learns from the profiles of builds

    def __post_init__(self) -> None:
        self.look_into(self.search, self.context)
        baseline = self.build(())
        if baseline is None:
            raise EngineError(self.failures[""])
        self.baseline = baseline

    @cached_property
    def times(self) -> PartTimes:
        """What parts of builds take."""
        return PartTimes(self.registry.make_engine(self.engine), self.target, self.experience)

    def look_into(self, search: Search, context: Context) -> None:
        """Go on with another search of the same source: the one so far and more, so that all that was built still counts."""
        self.search, self.context = search, replace(context, fitted=search.tensors)

    @property
    def program(self) -> Program:
        """The unmodified one."""
        return self.search.source

    @property
    def steps(self) -> Sequence[Step]:
        """Those that there are to choose from."""
        return self.search.steps

    def build(self, steps: Collection[str]) -> Build | None:
        """As `Lab.build`."""
        wanted = closure(self.steps, steps)
        program, skipped, makers = self._rewritten(wanted)
        kept = frozenset(step.id for step in wanted) - set(skipped)
        try:
            artifact = self.workshop.emit(self.engine, program)
            signature = self.workshop.signature(self.engine, artifact)
        except EngineError as error:
            self.failures[",".join(sorted(steps))] = str(error)
            return None
        return self._keep_in_mind(artifact, program, kept, signature, makers)

    def build_ahead(self, plans: Sequence[Collection[str]]) -> None:
        """As `Lab.build_ahead`."""
        if self.workshop.pool is not None:
            programs = [self._rewritten(closure(self.steps, steps))[0] for steps in plans]
            self.workshop.emit_ahead(self.engine, programs)

    def foretell(self, steps: Collection[str]) -> Foretold | None:
        """As `Lab.foretell`."""
        if self.times.price(self.program) is None:  # before the program is rewritten for nothing
            return None
        program, _, makers = self._rewritten(closure(self.steps, steps))
        return self.times.foretell(program, makers)

    def _rewritten(self, wanted: Sequence[Step]) -> tuple[Program, list[str], dict[str, str]]:
        """The program with steps applied, the ids of those that could not be, and which step made a node, by its name."""
        return rewritten(self.program, wanted, self.registry, self.context)

    def compare(self, builds: Sequence[Build], to: Build | None = None) -> dict[str, Ratio]:
        """As `Lab.compare`."""
        known = {} if to is not None else {b.key: self.ratios[b.key] for b in builds if b.key in self.ratios}
        builds = [build for build in builds if build.key not in known]
        base = to or self.baseline
        same = {b.key for b in builds if b.key == base.key or (b.signature and b.signature == base.signature)}
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
            variants = [
                (b.key, self.engine, self.artifacts[b.key], self.checked_against(b)) for b in (base, *timed.values())
            ]
            session = self.workshop.session(variants, self.plan, self.progress)
            for key, representative in stands_for.items():
                measured = session.variants.get(representative)
                if measured is not None and measured.ratio is not None:
                    ratios[key] = measured.ratio
                elif representative in session.failures:
                    self.failures[key] = session.failures[representative]
        if to is None:
            self.ratios |= ratios
        else:
            for earlier in (self.gains, self.ratios):
                before = earlier.get(to.key)
                earlier |= {key: ratio if before is None else ratio.after(before) for key, ratio in ratios.items()}
        return known | ratios

    def runs(self, build: Build) -> bool:
        """As `Lab.runs`."""
        program = self.checked_against(build)
        fault = None if program is None else self.workshop.fault(self.engine, self.artifacts[build.key], program)
        if fault is not None:
            self.failures[build.key] = fault
        return fault is None

    def why(self, failed: Collection[str] | Build) -> str:
        """As `Lab.why`."""
        return self.failures.get(failed.key if isinstance(failed, Build) else ",".join(sorted(failed)), "unknown")

    def recipes(self, *names: str) -> list[Build]:
        """As `Lab.recipes`; those of some names only, if any are given."""
        builds: list[Build] = []
        if not self.quality.lossy or self.calib is None:
            return builds
        engine = self.registry.make_engine(self.engine)
        for recipe in names or engine.recipes:
            if (reason := self._why_not(engine, recipe, bool(names))) is not None:
                self.untried[recipe] = reason
                continue
            try:
                artifact = self.workshop.recipe(self.engine, recipe, self.program, self.calib)
                signature = self.workshop.signature(self.engine, artifact)
            except EngineError as error:
                self.failures[recipe] = str(error)
                continue
            builds.append(self._keep_in_mind(artifact, self.program, frozenset(), signature, {}, recipe))
        return builds

    def recipe_jobs(self) -> list[Callable[[], object]]:
        """What the workshop may do while nothing is timed, so that `recipes` need not wait for it.

        The samples are written before: data are a user's code, which two threads must not call at once.
        """
        engine, calib = self.registry.make_engine(self.engine), self.calib
        if not self.quality.lossy or calib is None:
            return []
        wanted = [recipe for recipe in engine.recipes if self._why_not(engine, recipe, named=False) is None]
        if wanted:
            self.workshop.calibration(calib)
        return [partial(self.workshop.recipe, self.engine, recipe, self.program, calib) for recipe in wanted]

    def _why_not(self, engine: Engine, recipe: str, named: bool) -> str | None:
        """Why a recipe is not tried; None if it is."""
        if self.out_of_time():
            return "not measured: the time limit was reached"
        exact = self.context.scheme is not None and 8 in self.context.scheme.weight_bits
        if recipe in engine.remedies and exact and not named:
            return "not needed: weights of 8 bits are right on this machine"
        return engine.recipe_available(recipe)

    def tunings(self, build: Build) -> list[Build]:
        """As `Lab.tunings`."""
        told, capabilities = Artifact.read(self.artifacts[build.key]).options, self.context.capabilities
        if capabilities is None:
            return []
        try:
            engine = self.registry.make_engine(self.engine)
            found = [_checked(changes, told) for changes in engine.tunings(told, capabilities.dtypes)]
        except Exception as error:  # noqa: BLE001 - an engine's code may raise anything
            self.tunings_fault = raised(error)
            return []
        barred = self.fixed | (frozenset() if self.quality.lossy else self._lossy_options)
        return [self.under(build, changes) for changes in found if barred.isdisjoint(changes)]

    def under(self, build: Build, changes: Mapping[str, Any]) -> Build:
        """A build under other options of the engine, on top of those that it runs under."""
        tunings, coarser = {**build.tunings, **changes}, not self._lossy_options.isdisjoint(changes)
        artifact = self.workshop.under(self.artifacts[build.key], changes)
        # The graph may be the same, and yet run otherwise.
        signature = build.signature and f"{build.signature} {sorted(changes.items())}"
        program, makers = self.programs[build.key], self.makers[build.key]
        there = self._keep_in_mind(artifact, program, build.steps, signature, makers, build.recipe, tunings)
        knowledge: tuple[dict[str, Any], ...] = (self.faults, self.drops, self.whole)
        for known in knowledge:
            if build.key in known and not coarser:
                known[there.key] = known[build.key]
        return there

    @cached_property
    def _lossy_options(self) -> frozenset[str]:
        return frozenset(self.registry.make_engine(self.engine).lossy_options)

    def _keep_in_mind(
        self,
        artifact: Path,
        program: Program,
        steps: frozenset[str],
        signature: str | None,
        makers: Mapping[str, str],
        recipe: str | None = None,
        tunings: Mapping[str, Any] = MappingProxyType({}),
    ) -> Build:
        key = artifact.name
        self.programs[key], self.artifacts[key], self.makers[key] = program, artifact, makers
        size = Artifact.read(artifact).size_bytes()
        rounded = recipe is not None or (bool(tunings) and not self._lossy_options.isdisjoint(tunings))
        self.tried[key] = Build(key, steps, signature, size, recipe, tunings, rounded)
        return self.tried[key]

    def checked_against(self, build: Build) -> Program | None:
        """The Program that an artifact must agree with; None where the engine rounds what the Program does not."""
        return None if build.rounded else self.programs[build.key]

    def step_times(self, build: Build) -> dict[str, float]:
        """As `Lab.step_times`."""
        return self.times.by_step(self.kernels(build), self.makers[build.key])

    def node_times(self, build: Build) -> dict[str, float]:
        """As `Lab.node_times`."""
        return self.times.by_node(self.kernels(build), exact=not self.lossy(build))

    def dtypes(self, build: Build) -> dict[str, list[str]]:
        """What the engine computes a build with, where it tells, by the id of each step: its part, or what it would replace."""
        left = [step for step in self.steps if step.id not in build.steps]
        return profiles.dtypes(self.kernels(build), self.makers[build.key], left)

    def kernels(self, build: Build) -> list[dict[str, Any]]:
        """The engine's profile of a build, as `Workshop.kernels`; what it shows of its program is learned."""
        found = self.workshop.kernels(self.engine, self.artifacts[build.key])
        self.times.learn(build, self.programs[build.key], found)
        return found

    def keep(self, build: Build, give_back: bool = True, gains: Mapping[str, float] = NOTHING_KNOWN) -> Build | None:
        """As `Lab.keep`."""
        fault = self.fault(build)
        if fault is None:
            return build
        if build.recipe or not give_back:
            return None
        return give_back_worst(self, build, gains)

    def excess(self, build: Build) -> float:
        """As `Lab.excess`."""
        fault, drop = self.fault(build), self.drops.get(build.key)
        if drop is None or (fault is not None and self.quality.fault(drop) is None):
            return 0.0 if fault is None else math.inf
        found = excess(self.quality, drop)
        return min(found, 1.0) if fault is None else max(found, math.nextafter(1.0, 2.0))

    @property
    def lossy_steps(self) -> set[str]:
        """The steps that are not exact, by their ids."""
        return {step.id for step in self.steps if step.candidate.fidelity is not Fidelity.EXACT}

    def lossy(self, build: Build) -> bool:
        """Whether a build is held to the quality budget."""
        steps = closure(self.steps, build.steps)
        return build.rounded or any(step.candidate.fidelity is not Fidelity.EXACT for step in steps)

    def over_budget(self) -> set[str]:
        """The passes of which plans lost more quality than they may."""
        drops = {key: drop for key, drop in self.drops.items() if not self.tried[key].rounded}
        lost = {key for key, drop in drops.items() if self.quality.fault(drop) is not None}
        found = {step.id: step for step in self.steps}
        steps = {identity for key in lost for identity in self.tried[key].steps}
        return {
            found[identity].candidate.rule
            for identity in steps
            if found[identity].candidate.fidelity is not Fidelity.EXACT
        }

    def fault(self, build: Build) -> str | None:
        """What is wrong with a build as a whole; None if nothing is."""
        if build.key not in self.faults:
            self.faults[build.key] = self._drop_fault(build) if self.lossy(build) else self._rounding_fault(build)
        return self.faults[build.key]

    def _drop_fault(self, build: Build) -> str | None:
        """Why a build does not keep the quality budget, judged by what it gives where it runs."""
        try:
            with self.workshop.judging(self.engine, self.artifacts[build.key], self.quality.gate.inputs) as run:
                self.drops[build.key] = self.quality.drop(run)
        except (MetricError, EngineError) as error:
            return str(error)
        return self.quality.fault(self.drops[build.key])

    def _rounding_fault(self, build: Build) -> str | None:
        """Why a build of exact steps alone is not as exact as each of them: the rounding of many can add up."""
        if not build.steps:
            return None
        twin, _ = replay(double(self.program), closure(self.steps, build.steps), self.registry, self.context)
        self.whole[build.key] = check_whole(self.program, self.programs[build.key], twin)
        return self.whole[build.key].fault

    def unproven(self, build: Build, looks: int = 1) -> str | None:
        """Why a build that is to ship does not keep the quality budget on what no search has seen; None if it does.

        Its steps that are not exact are refused then. `looks` is as of `Quality.fault`.
        """
        if not self.lossy(build):
            return None
        try:
            with self.workshop.judging(self.engine, self.artifacts[build.key], self.quality.rest.inputs) as run:
                self.reports[build.key] = self.quality.report(run)
            fault = self.quality.fault(self.reports[build.key], looks)
        except (MetricError, EngineError) as error:
            fault = str(error)
        if fault is not None:
            fault = self.faults[build.key] = f"on the samples kept from the search, {fault}"
            self.refuse(build.steps & self.lossy_steps, fault)
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

    def tell(self, look: Look) -> None:
        """As `Lab.tell`."""
        self.looks.append(look)

    def out_of_time(self) -> bool:
        """As `Lab.out_of_time`."""
        return self.workshop.out_of_time()


def describe(ratio: Ratio) -> str:
    """A latency ratio in words."""
    if ratio.equal:
        return "the engine runs the same kernels with and without it"
    i = ratio.interval
    return f"{i.estimate:.3f} of the latency without it ({i.low:.3f} to {i.high:.3f})"


def _checked(changes: Any, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tunings as an engine told them."""
    known = isinstance(changes, Mapping) and changes and changes.keys() <= told.keys()
    if not known or not all(isinstance(value, (bool, int, float, str)) for value in changes.values()):
        raise ValueError(f"{changes!r} are no plain values for some of {', '.join(sorted(told))}")
    return dict(changes)
