"""Choose a precision for each region: whole builds are measured, what does not pay or costs too much goes back to floats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from fxopt import Planner, Step
from fxopt.contracts.planner import Build, Foretold, Problem, Ratio
from fxopt_plugins.planners.by_pass import ByPass
from fxopt_plugins.planners.faults import Attempt, Bisection
from fxopt_plugins.planners.tunings import tuned

NOT_BESIDE = "not possible beside the others of its kind"


@dataclass(frozen=True)
class ByRegion(Planner):
    """Exact rewrites are planned pass by pass; on top of all of them a precision is chosen for each region.

    Every kind of lower precision is built wherever it is offered, and so are the engine's own recipes; all builds are
    timed in one session. Of the best kinds, regions that the engine's profile shows slower than in floats go back, then
    those that cost most quality until the budget holds; other kinds are laid over what is left. Several plans come out:
    which of them ships, the confirming measurement decides.
    """

    name: ClassVar[str] = "by_region"

    splits: int = field(default=4, metadata={"help": "as of `by_pass`"})
    kinds: int = field(
        default=2,
        metadata={
            "help": "kinds of lower precision that become plans of their own: the best of which some part keeps the budget"
        },
    )
    layers: int = field(default=3, metadata={"help": "kinds that one plan may have"})
    plans: int = field(default=6, metadata={"help": "plans of lower precision that are handed on for an engine"})
    repairs: int = field(
        default=16, metadata={"help": "builds that may be spent on a kind to find the regions that an engine fails at"}
    )
    stored: int = field(default=3, metadata={"help": "kinds that only save room, built where size is asked for"})

    def plan(self, problem: Problem) -> list[Build]:
        """As `Planner.plan`: plans of lower precision by what they promise, then the exact ones."""
        exact = ByPass(self.splits, self.repairs).choose(problem)
        lower = _Precision(problem, self.layers, self.stored, self.repairs)
        kinds = lower.promising()
        tried = (kind for i, kind in enumerate(kinds) if i < self.kinds or not problem.lab.out_of_time())
        refined: list[tuple[str, Build]] = []
        for kind in tried:
            if len(refined) >= self.kinds and any(lower.is_safe(other) for other, _ in refined):
                break
            if (len(refined) < self.kinds or lower.is_safe(kind)) and (plan := lower.refine(kind)) is not None:
                refined.append((kind, plan))
        plans = [
            layered
            for own, plan in refined
            for layered in lower.lay_over(plan, [kind for kind in kinds if kind != own])
        ]
        plans += [recipe for recipe in lower.recipes if problem.lab.keep(recipe) is not None]
        lower.compare([plan for plan in plans if plan.key not in lower.ratios])
        best = sorted({plan.key: plan for plan in plans}.values(), key=lower.rank)[: self.plans]
        return list({plan.key: plan for plan in tuned(problem, best, exact)}.values())


class _Precision:
    """The kinds of lower precision that are offered for one engine, and what was measured of each."""

    def __init__(self, problem: Problem, layers: int, stored: int, repairs: int) -> None:
        self.problem, self.lab, self.layers, self.stored = problem, problem.lab, layers, stored
        self.repairs = repairs
        self.basis = [step.id for step in problem.basis]
        self.groups: dict[str, list[Step]] = {}
        for step in problem.offers:
            self.groups.setdefault(step.spec, []).append(step)
        self.steps = {step.id: step for step in problem.offers}
        self.builds: dict[str, Build] = {}
        self.ratios: dict[str, Ratio] = {}
        self.recipes: list[Build] = []

    def promising(self) -> list[str]:
        """Build every kind wherever it is offered, and the recipes; the kinds that bring something, the best first."""
        for kind, group in self._worth_building():
            if (reason := self._foretold_slower(group)) is not None:
                self._refuse(group, reason, kind)
            elif self.lab.out_of_time():
                self.lab.skip([step.id for step in group], "not measured: the time limit was reached", kind)
            else:
                self._build_kind(kind, self._attempt)
        recipes = self.lab.recipes()
        self.compare([*self.builds.values(), *recipes])
        self.recipes = [recipe for recipe in recipes if self._pays(recipe)]
        self._mend()
        for kind, build in self.builds.items():
            if build.key in self.ratios and not self._pays(build):
                self.builds[kind] = self._without_slow_regions(kind)
            self._say_what_it_brings(kind)
        paying = [kind for kind, build in self.builds.items() if self._pays(build)]
        return sorted(paying, key=lambda kind: self.rank(self.builds[kind]))

    def _say_what_it_brings(self, kind: str) -> None:
        build = self.builds[kind]
        ratio = self.ratios.get(build.key)
        if ratio is None:
            self._refuse(self.groups[kind], f"it could not be measured: {self.lab.why(build)}", kind)
        elif not self._pays(build):
            self._refuse(self.groups[kind], self._loss(ratio), kind, ratio)
        else:
            self.lab.credit([step.id for step in self.groups[kind] if step.id in build.steps], kind, ratio)

    def _build_kind(self, kind: str, attempt: Attempt) -> None:
        """Build a kind wherever that succeeds; the regions at fault are refused and no longer among its offers."""
        found = Bisection(attempt, self.repairs)
        found.run(self.groups[kind])
        for part, reason in found.faults:
            self._refuse(part, reason, kind)
        faulty = [step for part, _ in found.faults for step in part]
        self.groups[kind] = [step for step in self.groups[kind] if step not in faulty]
        if found.build is None:
            self.builds.pop(kind, None)
            return
        self.builds[kind] = found.build
        self._refuse([step for step in self.groups[kind] if step.id not in found.build.steps], NOT_BESIDE, kind)

    def _mend(self) -> None:
        """Time the kinds that failed when they were run once more, without the regions at fault."""
        failed = [kind for kind, build in self.builds.items() if build.key not in self.ratios]
        for kind in failed:
            if not self.lab.out_of_time():
                self._build_kind(kind, self._attempt_to_run)
        self.compare([self.builds[kind] for kind in failed if kind in self.builds])

    def _attempt(self, group: Sequence[Step]) -> Build | str:
        build = self._build(group)
        if build is not None:
            return build
        return (
            f"the engine cannot build the program with it: {self.lab.why([*self.basis, *(step.id for step in group)])}"
        )

    def _attempt_to_run(self, group: Sequence[Step]) -> Build | str:
        build = self._attempt(group)
        if isinstance(build, str) or self.lab.runs(build):
            return build
        return f"the engine does not run the program with it: {self.lab.why(build)}"

    def _worth_building(self) -> list[tuple[str, list[Step]]]:
        """Kinds that the engine computes in, and those that only save room where that is asked for, the most first."""
        budget, base = self.problem.budget, self.lab.baseline.size_bytes
        room = budget.minimize == "size" or (budget.max_size_bytes is not None and budget.max_size_bytes < base)
        native, stored = [], []
        for kind, group in self.groups.items():
            own = group[0].candidate.parameters.get("kind")
            (native if own is None or own in self.problem.native else stored).append((kind, group))
        saved = {kind: -sum(self.problem.size_change.get(step.id, 0) for step in group) for kind, group in stored}
        stored.sort(key=lambda item: -saved[item[0]])
        tried = stored[: self.stored] if room else []
        for kind, group in stored[len(tried) :]:
            reason = (
                f"this engine does not compute in it here; all {len(group)} together would save {saved[kind]:,} bytes:"
                " see --minimize size, --max-size"
            )
            self.lab.skip([step.id for step in group], reason, kind)
        return native + tried

    def _foretold_slower(self, group: Sequence[Step]) -> str | None:
        """Why a kind is not worth building by what is known of its kernels; None if it may be, or too little is known."""
        floats = self._foretold_floats
        if (
            floats is None
            or not floats.milliseconds
            or self.problem.budget.minimize != "latency"
            or self.problem.budget.max_size_bytes is not None
        ):
            return None
        lower = self.lab.foretell([*self.basis, *(step.id for step in group)])
        if lower is None:
            return None
        ratio, doubt = lower.milliseconds / floats.milliseconds, math.exp(2 * math.hypot(lower.spread, floats.spread))
        gains = sum(max(0.0, self._foretold_gain(step, lower, floats)) for step in group)
        if ratio <= doubt or gains > 0.05 * floats.milliseconds:
            return None
        return (
            f"predicted to take {ratio:.2f} times as long as floats, for sure more than {ratio / doubt:.2f}; not built"
        )

    @cached_property
    def _foretold_floats(self) -> Foretold | None:
        return self.lab.foretell(self.basis)

    @staticmethod
    def _foretold_gain(step: Step, lower: Foretold, floats: Foretold) -> float:
        """Milliseconds that a region is predicted to bring by itself."""
        before = sum(floats.node_ms.get(node, 0.0) for node in step.candidate.writes)
        return before - lower.step_ms.get(step.id, before)

    def is_safe(self, kind: str) -> bool:
        """Whether a kind is surely no slower than the unmodified model, where only such may ship."""
        budget, ratio = self.problem.budget, self.ratios.get(self.builds[kind].key)
        if budget.minimize != "size" or budget.max_latency_ms is not None:
            return True
        return ratio is not None and ratio.interval.high <= 1

    def refine(self, kind: str) -> Build | None:
        """A kind where it pays and as far as quality allows."""
        build = self._without_slow_regions(kind)
        return self.lab.keep(build, gains=self._gains(build))

    def lay_over(self, plan: Build, kinds: Sequence[str]) -> list[Build]:
        """The plan, and one with other kinds over what it leaves in floats, where that is better still."""
        plans, layers = [plan], 1
        for kind in kinds:
            taken = [self.steps[identity] for identity in plans[-1].steps if identity in self.steps]
            free = [
                step
                for step in self.groups[kind]
                if step not in taken and not any(step.candidate.conflicts_with(other.candidate) for other in taken)
            ]
            if layers >= self.layers or not free or self.lab.out_of_time():
                continue
            build = self._build([*taken, *free])
            if build is None or build.key == plans[-1].key:
                continue
            self.compare([plans[-1], build])
            better = self._better(build, plans[-1])
            if better and self.lab.keep(build, give_back=False) is not None:
                plans.append(build)
                layers += 1
        return plans

    def _without_slow_regions(self, kind: str) -> Build:
        """The kind's build, or one without the regions that the engine's profile shows slower than in floats, if that is better."""
        whole = self.builds[kind]
        if self.problem.budget.minimize != "latency" or self.lab.out_of_time():
            return whole
        gains = self._gains(whole)
        slow = {identity for identity, gain in gains.items() if gain < 0}
        rest = [step for step in self.groups[kind] if step.id in whole.steps and step.id not in slow]
        if not slow or sum(gains[identity] for identity in gains.keys() - slow) <= 0:
            return whole
        part = self._build(rest)
        if part is None:
            return whole
        self.compare([whole, part])
        if not self._better(part, whole):
            return whole
        for identity in sorted(slow):
            reason = f"slower by the engine's profile: {-gains[identity]:.3f} ms more than in floats"
            self._refuse([self.steps[identity]], reason, kind)
        return part

    @cached_property
    def _float_times(self) -> Mapping[str, float]:
        floats = self.lab.build(self.basis)
        return {} if floats is None else self.lab.node_times(floats)

    def _gains(self, build: Build) -> dict[str, float]:
        """What offers of a build bring, as far as it is known: milliseconds by the engine's profile, or bytes."""
        offered = [self.steps[identity] for identity in build.steps if identity in self.steps]
        if self.problem.budget.minimize == "size":
            sizes = self.problem.size_change
            return {step.id: float(-sizes[step.id]) for step in offered if step.id in sizes}
        lower, before = self.lab.step_times(build), self._float_times
        there = {step.id: sum(before.get(node, 0.0) for node in sorted(step.candidate.writes)) for step in offered}
        return {
            identity: there[identity] - lower[identity] for identity in there if there[identity] and identity in lower
        }

    def _build(self, group: Sequence[Step]) -> Build | None:
        return self.lab.build([*self.basis, *(step.id for step in group)])

    def compare(self, builds: Sequence[Build]) -> None:
        """Time builds in one session."""
        if builds:
            self.ratios |= self.lab.compare(builds)

    def _better(self, build: Build, other: Build) -> bool:
        measured = build.key in self.ratios or self.problem.budget.minimize == "size"
        return measured and (other.key not in self.ratios or self.rank(build) < self.rank(other))

    def rank(self, build: Build) -> tuple[float, float]:
        """What builds are ordered by, the best first: by how much they break a limit, then latency as far as measured, or size."""
        ratio, budget = self.ratios.get(build.key), self.problem.budget
        latency = 1.0 if ratio is None else ratio.interval.estimate
        excess = 1.0 if budget.max_size_bytes is None else build.size_bytes / max(budget.max_size_bytes, 1)
        if budget.max_latency_ms and self.problem.latency_ms is not None:
            excess = max(excess, latency * self.problem.latency_ms / budget.max_latency_ms)
        return max(excess, 1.0), build.size_bytes if budget.minimize == "size" else latency

    def _pays(self, build: Build) -> bool:
        """Whether a build is better than the unmodified program, or nearer to a limit on size that this breaks."""
        ratio, budget, base = self.ratios.get(build.key), self.problem.budget, self.lab.baseline.size_bytes
        if ratio is None:
            return False
        limit = budget.max_size_bytes
        if limit is not None and base > limit and build.size_bytes < base:
            return True
        if budget.minimize == "size":
            bearable = budget.max_latency_ms is not None or ratio.interval.low <= 1
            return build.size_bytes < base and bearable
        return ratio.interval.high < 1 and not ratio.equal

    def _loss(self, ratio: Ratio) -> str:
        if ratio.equal:
            return "the engine runs the same kernels with and without it"
        if self.problem.budget.minimize == "size":
            return "it saves no room, or slows the engine down"
        if ratio.interval.estimate < 1:
            return "no gain beyond the noise"
        return "no gain: the whole model takes as long or longer"

    def _refuse(self, group: Sequence[Step], reason: str, kind: str, ratio: Ratio | None = None) -> None:
        self.lab.refuse([step.id for step in group], reason, kind, ratio)
