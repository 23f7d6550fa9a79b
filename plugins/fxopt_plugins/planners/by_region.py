"""Choose a precision for each region: whole builds are measured, what does not pay or costs too much goes back to floats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fxopt import Planner
from fxopt.contracts.planner import Build, Problem
from fxopt_plugins.planners.by_pass import ByPass
from fxopt_plugins.planners.precision import Precision
from fxopt_plugins.planners.tunings import tuned


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
        lower = _Refined(problem, self.stored, self.repairs)
        kinds = lower.promising()
        tried = (kind for i, kind in enumerate(kinds) if i < self.kinds or not problem.lab.out_of_time())
        refined: list[tuple[str, Build]] = []
        for kind in tried:
            if len(refined) >= self.kinds and any(lower.is_safe(lower.builds[other]) for other, _ in refined):
                break
            if (len(refined) < self.kinds or lower.is_safe(lower.builds[kind])) and (
                plan := lower.refine(kind)
            ) is not None:
                refined.append((kind, plan))
        plans = [
            layered
            for own, plan in refined
            for layered in lower.lay_over(plan, [kind for kind in kinds if kind != own], self.layers)
        ]
        plans += [recipe for recipe in lower.recipes if problem.lab.keep(recipe) is not None]
        lower.compare([plan for plan in plans if plan.key not in lower.ratios])
        best = sorted({plan.key: plan for plan in plans}.values(), key=lower.rank)[: self.plans]
        return list({plan.key: plan for plan in tuned(problem, best, exact)}.values())


class _Refined(Precision):
    """Kinds that are refined one by one, and laid over one another."""

    def promising(self) -> list[str]:
        """Measure every kind; those that bring something, if need be without their slow regions, the best first."""
        self.measure_kinds()
        for kind, build in self.builds.items():
            if build.key in self.ratios and not self.pays(build):
                self.builds[kind] = self._without_slow_regions(kind)
            self.say_what_it_brings(kind)
        paying = [kind for kind, build in self.builds.items() if self.pays(build)]
        return sorted(paying, key=lambda kind: self.rank(self.builds[kind]))

    def refine(self, kind: str) -> Build | None:
        """A kind where it pays and as far as quality allows."""
        build = self._without_slow_regions(kind)
        return self.lab.keep(build, gains=self.gains(build))

    def lay_over(self, plan: Build, kinds: Sequence[str], most: int) -> list[Build]:
        """The plan, and one with other kinds over what it leaves in floats, where that is better still."""
        plans, layers = [plan], 1
        for kind in kinds:
            taken = [self.steps[identity] for identity in plans[-1].steps if identity in self.steps]
            free = [
                step
                for step in self.groups[kind]
                if step not in taken and not any(step.candidate.conflicts_with(other.candidate) for other in taken)
            ]
            if layers >= most or not free or self.lab.out_of_time():
                continue
            build = self.build([*taken, *free])
            if build is None or build.key == plans[-1].key:
                continue
            self.compare([plans[-1], build])
            better = self.better(build, plans[-1])
            if better and self.lab.keep(build, give_back=False) is not None:
                plans.append(build)
                layers += 1
        return plans

    def _without_slow_regions(self, kind: str) -> Build:
        """The kind's build, or one without the regions that the engine's profile shows slower than in floats, if that is better."""
        whole = self.builds[kind]
        if self.problem.budget.minimize != "latency" or self.lab.out_of_time():
            return whole
        gains = self.gains(whole)
        slow = {identity for identity, gain in gains.items() if gain < 0}
        rest = [step for step in self.groups[kind] if step.id in whole.steps and step.id not in slow]
        if not slow or sum(gains[identity] for identity in gains.keys() - slow) <= 0:
            return whole
        part = self.build(rest)
        if part is None:
            return whole
        self.compare([whole, part])
        if not self.better(part, whole):
            return whole
        for identity in sorted(slow):
            reason = f"slower by the engine's profile: {-gains[identity]:.3f} ms more than in floats"
            self.refuse([self.steps[identity]], reason, kind)
        return part
