"""Choose among all options at once by what they bring and lose; build, judge and time the choice, and choose again."""

from __future__ import annotations

import abc
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fxopt import Planner, Step
from fxopt.contracts.planner import Build, Look, Problem
from fxopt.errors import InputError
from fxopt_plugins.planners import selection
from fxopt_plugins.planners.by_pass import ByPass
from fxopt_plugins.planners.faults import Bisection
from fxopt_plugins.planners.market import Market
from fxopt_plugins.planners.precision import Precision
from fxopt_plugins.planners.selection import Selection, Solution
from fxopt_plugins.planners.tunings import tuned

_RESOLUTION = 0.005  # of the latency: what brings less is not worth a build
_CLOSER = 0.8  # of the least loss that broke the budget, at which is looked next


@dataclass(frozen=True)
class ByPrice(Planner):
    """Exact rewrites are planned pass by pass; on top of all of them options of lower precision are chosen together.

    Every kind is built wherever it is offered and timed, as are the engine's own recipes. Their profiles price each region
    in each kind. What is chosen by these prices is built, judged and timed, which corrects prices and losses; then it is
    chosen anew, until no change promises more than prices may be off.
    """

    splits: int = field(default=4, metadata={"help": "as of `by_pass`"})
    repairs: int = field(
        default=16, metadata={"help": "builds that may be spent on a kind to find the regions that an engine fails at"}
    )
    stored: int = field(default=3, metadata={"help": "kinds that only save room, built where size is asked for"})
    rounds: int = field(default=8, metadata={"help": "choices that are built and judged"})
    kinds: int = field(
        default=2, metadata={"help": "kinds, the fastest first, within which is chosen before all are mixed"}
    )
    plans: int = field(default=3, metadata={"help": "plans of lower precision that are handed on for an engine"})

    def plan(self, problem: Problem) -> list[Build]:
        """As `Planner.plan`: plans of lower precision by what they promise, then the exact ones."""
        exact = ByPass(self.splits, self.repairs).choose(problem)
        precision = Precision(problem, self.stored, self.repairs)
        precision.measure_kinds()
        for kind in precision.builds:
            precision.say_what_it_brings(kind)
        search = _Search(self, precision)
        search.run()
        best = search.admitted()
        return list({plan.key: plan for plan in tuned(problem, best, exact)}.values())

    @abc.abstractmethod
    def solve(self, problem: Selection) -> Solution:
        """What to take."""


class _Search:
    """Choices, one after the other."""

    def __init__(self, planner: ByPrice, precision: Precision) -> None:
        self.planner, self.precision, self.lab = planner, precision, precision.lab
        self.market = Market(precision)
        self.built: dict[str, Build] = {}  # by key
        self.excess: dict[str, float] = {}

    def run(self) -> None:
        """Choose within each of the best kinds, then among all: what mixes kinds converts between them."""
        builds = self.precision.builds
        kinds = sorted(dict.fromkeys(self.market.kind.values()), key=lambda kind: self.precision.rank(builds[kind]))
        for kind in kinds[: self.planner.kinds]:
            self._settle([kind])
        if len(kinds) > 1:
            self._settle(kinds)

    def _settle(self, kinds: Sequence[str]) -> None:
        """Choose, build, judge and time until nothing promises enough."""
        limit = self._next_limit(kinds)
        for _ in range(self.planner.rounds):
            if self.lab.out_of_time():
                return
            started = time.monotonic()
            found = self.planner.solve(self.market.selection(limit, kinds))
            seconds = time.monotonic() - started
            if not found.taken or not found.feasible or not self._promises(found, kinds):
                self._tell(found, limit, seconds)
                return
            plan = self._build(self.market.steps(found.taken))
            if plan is None:
                continue  # what the engine fails at has been withdrawn
            again = plan.key in self.built
            excess = self._judge(plan)
            self._tell(found, limit, seconds, plan)
            if again or excess == math.inf:
                return
            self.built[plan.key] = plan
            if excess <= 1:
                self.precision.compare([plan])
                self.market.learn(plan)
            limit = self._next_limit(kinds)

    def _judge(self, plan: Build) -> float:
        if plan.key not in self.excess:
            self.excess[plan.key] = self.lab.excess(plan)
            self.market.judge(plan, self.excess[plan.key])
        return self.excess[plan.key]

    def _promises(self, found: Solution, kinds: Sequence[str]) -> bool:
        """Whether a choice is expected to be better than the best plan that it is held against by more than prices may be off.

        A choice within one kind is held against plans of that kind: what is known of others says little of it.
        """
        kept = [plan for key, plan in self.built.items() if self.excess[key] <= 1 and self._within(plan, kinds)]
        if not kept:
            return True
        before = self.market.options(min(kept, key=self.precision.rank))
        if self.precision.problem.budget.minimize == "size":
            return found.objective < self.market.bytes(before)
        gain = self.market.latency(before) - self.market.latency(found.taken)
        return gain > max(self.market.doubt(found.taken, before), _RESOLUTION * self.market.base_ms)

    def _within(self, plan: Build, kinds: Sequence[str]) -> bool:
        return self._of(self.market.options(plan), kinds)

    def _next_limit(self, kinds: Sequence[str]) -> float:
        """The loss up to which is chosen next: any before a choice broke the budget, then as is estimated to keep it.

        Where estimates are proven wrong, it is less than what broke it, and between that and what kept it.
        """
        judged = [(taken, excess) for taken, excess in self.market.judged if self._of(taken, kinds)]
        losses = [(self.market.loss(taken), excess) for taken, excess in judged]
        kept = max((loss for loss, excess in losses if excess <= 1), default=None)
        broken = min((loss for loss, excess in losses if excess > 1), default=math.inf)
        if broken == math.inf:
            return math.inf
        estimated = 1.0 if broken > 1 else _CLOSER * broken
        return estimated if kept is None else max(estimated, (kept + broken) / 2)

    def _of(self, taken: Collection[str], kinds: Sequence[str]) -> bool:
        return {self.market.kind[name] for name in taken if name in self.market.kind} <= set(kinds)

    def _build(self, steps: Sequence[Step]) -> Build | None:
        """A build of offers, as far as the engine can make it; what it fails at is refused, and withdrawn."""
        found = Bisection(self.precision.attempt, self.planner.repairs)
        found.run(steps)
        for part, reason in found.faults:
            self.precision.refuse(part, reason, part[0].spec)
            self.market.withdraw({step.id for step in part})
        return None if found.faults else found.build

    def _tell(self, found: Solution, limit: float, seconds: float, plan: Build | None = None) -> None:
        kinds = [step.spec for step in self.market.steps(found.taken)]
        self.lab.tell(
            Look(
                options=len(self.market.members),
                taken={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
                most_loss=limit,
                objective=found.objective,
                bound=found.bound,
                feasible=found.feasible,
                complete=found.complete,
                seconds=seconds,
                build=plan and plan.key,
                excess=plan and self.excess[plan.key],
            )
        )

    def admitted(self) -> list[Build]:
        """The best of all builds that keep the budget, the best first, as many as are handed on."""
        known = [*self.built.values(), *self.precision.builds.values(), *self.precision.recipes]
        paying = {
            build.key: build for build in known if build.key in self.precision.ratios and self.precision.pays(build)
        }
        kept: list[Build] = []
        for build in sorted(paying.values(), key=self.precision.rank):
            if len(kept) < self.planner.plans and self.lab.keep(build, give_back=False) is not None:
                kept.append(build)
        if not any(build.recipe is None for build in kept):
            kept += self._given_back([build for build in paying.values() if build.recipe is None])
        self._say_what_is_left(kept)
        return kept

    def _given_back(self, paying: Sequence[Build]) -> list[Build]:
        """Where no choice keeps the budget, what is left of the best kind when regions are given back until it does."""
        if not paying or self.lab.out_of_time():
            return []
        build = min(paying, key=self.precision.rank)
        part = self.lab.keep(build, gains=self.precision.gains(build))
        return [] if part is None else [part]

    def _say_what_is_left(self, kept: Sequence[Build]) -> None:
        """Say of each option why the best plan does not have it."""
        best = next((build for build in kept if build.recipe is None), None)
        if best is None:
            return
        taken = {step.id: step for step in self.precision.steps.values() if step.id in best.steps}
        for step in self.market.steps(self.market.members):
            if step.id in taken or not self.precision.pays(self.precision.builds[step.spec]):
                continue
            other = next((one for one in taken.values() if one.candidate.conflicts_with(step.candidate)), None)
            self.precision.refuse([step], self.market.why_not(step, other), step.spec)


@dataclass(frozen=True)
class Milp(ByPrice):
    """Choose what is best of all, as a mixed-integer linear program that HiGHS solves."""

    name: ClassVar[str] = "milp"

    seconds: float = field(default=5.0, metadata={"help": "that one choice may take; then the best so far is taken"})

    def solve(self, problem: Selection) -> Solution:
        """As `ByPrice.solve`."""
        return selection.milp(problem, self.seconds)


@dataclass(frozen=True)
class Greedy(ByPrice):
    """Choose one option after the other, what brings most for what it loses first."""

    name: ClassVar[str] = "greedy"

    def solve(self, problem: Selection) -> Solution:
        """As `ByPrice.solve`."""
        return selection.greedy(problem)


@dataclass(frozen=True)
class Exhaustive(ByPrice):
    """Try all sets of options, for small problems."""

    name: ClassVar[str] = "exhaustive"

    def solve(self, problem: Selection) -> Solution:
        """As `ByPrice.solve`."""
        try:
            return selection.exhaustive(problem)
        except ValueError as error:
            raise InputError(f"--planner exhaustive: {error}; use milp") from None
