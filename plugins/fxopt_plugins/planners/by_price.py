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
from fxopt_plugins.planners.precision import RESOLUTION, Precision
from fxopt_plugins.planners.selection import Selection, Solution
from fxopt_plugins.planners.tunings import tuned

_CLOSER = 0.8  # of the loss that was estimated to keep the budget, for each choice that has broken it
_NEAR = 1.25  # of two losses one may keep the budget and the other break it by the samples that they are judged on


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
    rounds: int = field(default=6, metadata={"help": "choices that are built and judged"})
    kinds: int = field(
        default=2, metadata={"help": "kinds, the fastest first, within which is chosen before all are mixed"}
    )
    plans: int = field(default=3, metadata={"help": "plans of lower precision that are handed on for an engine"})
    aim: float = field(
        default=0.8,
        metadata={
            "help": "of the quality budget, that a choice may be expected to lose once one has broken it: of choices that"
            " just keep it on some samples half break it on others"
        },
    )

    def __post_init__(self) -> None:
        if not 0 < self.aim <= 1:
            raise ValueError(f"aim is a share of the quality budget, more than 0 and at most 1, not {self.aim:g}")

    def plan(self, problem: Problem) -> list[Build]:
        """As `Planner.plan`: plans of lower precision by what they promise, then the exact ones."""
        self.check(problem)
        exact = ByPass(self.splits, self.repairs).choose(problem)
        precision = Precision(problem, self.stored, self.repairs)
        precision.measure_kinds()
        for kind in precision.builds:
            precision.say_what_it_brings(kind)
        search = _Search(self, precision)
        best = []
        if not search.is_out_of_reach():
            search.run()
            best = search.judge_best()
        return list({plan.key: plan for plan in tuned(problem, best, exact)}.values())

    def check(self, problem: Problem) -> None:
        """Whether the problem is one that can be solved, before anything is built for it.

        Raises:
            InputError: it is not.
        """

    @abc.abstractmethod
    def solve(self, problem: Selection) -> Solution:
        """What to take."""


class _Search:
    """Choices, one after the other."""

    def __init__(self, planner: ByPrice, precision: Precision) -> None:
        self.planner, self.precision, self.lab = planner, precision, precision.lab
        self.market = Market(precision)
        self.built: dict[str, Build] = {}  # what was made of choices, by key
        self.excess: dict[str, float] = {}  # of what was judged
        self.hopeless: set[str] = set()  # kinds that something else is wrong with than what they lose

    def is_out_of_reach(self) -> bool:
        """Whether no choice is expected to be as fast as plans for other engines are; then it is said of all options.

        What the engine makes of a choice under a tuning that rounds more is not known.
        """
        problem, precision = self.precision.problem, self.precision
        if problem.reached_ms is None or problem.latency_ms is None or not self.market.members:
            return False
        ratios = [precision.ratios[recipe.key].interval.low for recipe in precision.recipes]
        if any(ratio * problem.latency_ms <= problem.reached_ms for ratio in ratios):
            return False
        if precision.rounds_more(self._fastest_kind()):
            return False
        started = time.monotonic()
        found = self.planner.solve(self.market.selection(math.inf, set(self.market.kind.values())))
        least = self.market.least_ms(found.taken)
        if not found.complete or least <= problem.reached_ms:
            return False
        self._tell(found, math.inf, time.monotonic() - started)
        reason = (
            f"whatever is chosen takes at least {least:.3g} ms by the prices of its parts, and plans for another engine"
            f" {problem.reached_ms:.3g}"
        )
        for step in self.market.steps(self.market.members):
            precision.refuse([step], reason, step.spec)
        return True

    def _fastest_kind(self) -> Build:
        kinds = dict.fromkeys(self.market.kind.values())
        return min((self.precision.builds[kind] for kind in kinds), key=self.precision.rank)

    def run(self) -> None:
        """Choose within each of the best kinds, then among all: what mixes kinds converts between them."""
        builds = self.precision.builds
        kinds = sorted(dict.fromkeys(self.market.kind.values()), key=lambda kind: self.precision.rank(builds[kind]))
        for kind in kinds[: self.planner.kinds]:
            self._settle([kind])
        rest = [kind for kind in kinds if kind not in self.hopeless]
        if len(rest) > 1:
            self._settle(rest)

    def _settle(self, kinds: Sequence[str]) -> None:
        """Choose, build, judge and time until nothing promises enough."""
        limit = self._limit(kinds)
        for _ in range(self.planner.rounds):
            if self.lab.out_of_time():
                return
            started = time.monotonic()
            found = self.planner.solve(self.market.selection(limit, kinds))
            seconds = time.monotonic() - started
            if not found.taken or self._is_behind(found, kinds) or not self._promises(found, kinds):
                self._tell(found, limit, seconds)
                if limit >= self.planner.aim or self._is_settled(kinds):
                    return
                limit = self.planner.aim  # what estimates say may be wrong: once more, up to all that is aimed at
                continue
            plan = self._build(self.market.steps(found.taken), kinds)
            if plan is None or plan.key in self.built:
                self._tell(found, limit, seconds)
                self.market.forbidden.add(found.taken)
                continue
            self.built[plan.key] = plan
            excess = self._judge(plan)
            self._tell(found, limit, seconds, plan)
            if excess <= 1:
                self.precision.compare([plan])
                self.market.learn(plan)
            elif excess == math.inf and len(kinds) == 1:
                self.hopeless |= set(kinds)
                return
            limit = self._limit(kinds)

    def _judge(self, plan: Build) -> float:
        excess = self.excess[plan.key] = self.lab.excess(plan)
        self.market.judge(plan, excess)
        return excess

    def _is_behind(self, found: Solution, kinds: Sequence[str]) -> bool:
        """Whether a choice within one kind is expected to be slower than a plan of another kind that keeps the budget."""
        if self.precision.problem.budget.minimize != "latency" or len(kinds) > 1:
            return False
        others = [plan for plan in self._kept() if not self._of(self.market.options(plan), kinds)]
        expected = self.market.ratio(found.taken)
        return any(over <= 1 and latency < expected for over, latency in map(self.precision.rank, others))

    def _kept(self) -> list[Build]:
        """The choices that keep the budget and bring something."""
        return [plan for key, plan in self.built.items() if self.excess[key] <= 1 and self.precision.pays(plan)]

    def _promises(self, found: Solution, kinds: Sequence[str]) -> bool:
        """Whether a choice is expected to be better than the best plan that it is held against by more than prices may be off.

        A choice within one kind is held against plans of that kind: what is known of others says little of it.
        """
        kept = [plan for plan in self._kept() if self._of(self.market.options(plan), kinds)]
        best = min(kept, key=self.precision.rank, default=None)
        if best is None or not found.feasible:
            return best is None
        if self.precision.rank(best)[0] > 1:
            return True
        before = self.market.options(best)
        if self.precision.problem.budget.minimize == "size":
            return found.objective < self.market.bytes(before)
        gain = self.market.latency(before) - self.market.latency(found.taken)
        whole = self.market.base_ms + self.market.latency(before)
        return gain > max(self.market.doubt(found.taken, before), RESOLUTION * whole)

    def _limit(self, kinds: Sequence[str]) -> float:
        """The loss up to which is chosen next.

        Any before a choice broke the budget, then as much of what broke it as its excess says, and the less the more choices
        have broken it: losses do not add up. Once one has kept it, what is between is halved until both are near.
        """
        losses = self._judged(kinds)
        broken = [(loss, excess) for loss, excess in losses if 1 < excess < math.inf]
        if not broken:
            return math.inf
        aim = self.planner.aim
        estimated = min(loss / excess for loss, excess in broken)
        kept, above = self._bracket(kinds)
        if kept is None:
            return aim * min(1.0, estimated) * _CLOSER ** (len(broken) - 1)
        if self._is_settled(kinds):
            return min(aim, kept)
        return min(aim, max(estimated, (kept + above) / 2 if above < math.inf else _NEAR * kept))

    def _judged(self, kinds: Sequence[str]) -> list[tuple[float, float]]:
        """Of each choice within kinds that was judged, what it is expected to lose, and how many times the budget it lost."""
        return [(self.market.loss(taken), excess) for taken, excess in self.market.judged if self._of(taken, kinds)]

    def _bracket(self, kinds: Sequence[str]) -> tuple[float | None, float]:
        """The largest loss that kept the budget, if any did, and the least beyond it that broke it."""
        losses = self._judged(kinds)
        kept = max((loss for loss, excess in losses if excess <= 1), default=None)
        above = [loss for loss, excess in losses if 1 < excess < math.inf and loss > (kept or 0.0)]
        return kept, min(above, default=math.inf)

    def _is_settled(self, kinds: Sequence[str]) -> bool:
        """Whether it is known what loss keeps the budget, as far as samples tell."""
        kept, above = self._bracket(kinds)
        return kept is not None and above <= _NEAR * kept

    def _of(self, taken: Collection[str], kinds: Sequence[str]) -> bool:
        return {self.market.kind[name] for name in taken if name in self.market.kind} <= set(kinds)

    def _build(self, steps: Sequence[Step], kinds: Sequence[str]) -> Build | None:
        """A build of offers, as far as the engine can make it.

        What it fails at beside others of its own kind is refused, and withdrawn; beside other kinds it is only left out.
        """
        found = Bisection(self.precision.attempt, self.planner.repairs)
        found.run(steps)
        for part, reason in found.faults if len(kinds) == 1 else ():
            self.precision.refuse(part, reason, part[0].spec)
            self.market.withdraw({step.id for step in part})
        return found.build

    def _tell(self, found: Solution, limit: float, seconds: float, plan: Build | None = None) -> None:
        kinds = [step.spec for step in self.market.steps(name for name in found.taken if name in self.market.members)]
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

    def judge_best(self) -> list[Build]:
        """The best of all builds that keep the budget, the best first, as many as are handed on.

        One that is surely no slower than the unmodified model is among them where others may not ship.
        """
        known = [*self.built.values(), *self.precision.builds.values(), *self.precision.recipes]
        paying = {b.key: b for b in known if b.key in self.precision.ratios and self.precision.pays(b)}
        order = sorted(paying.values(), key=self.precision.rank)
        kept: list[Build] = []
        for number, build in enumerate(order):
            enough = len(kept) >= self.planner.plans and any(map(self.precision.is_safe, kept))
            if enough or (number and self.lab.out_of_time()):
                break
            if len(kept) < self.planner.plans or self.precision.is_safe(build):
                kept += [] if self.lab.keep(build, give_back=False) is None else [build]
        if not any(build.recipe is None for build in kept):
            kept += self._given_back([build for build in order if build.recipe is None])
        self._say_what_is_left(next((build for build in kept if build.recipe is None), None))
        return kept

    def _given_back(self, paying: Sequence[Build]) -> list[Build]:
        """Where no choice keeps the budget, what is left of the best kind when regions are given back until it does."""
        if not paying or self.lab.out_of_time():
            return []
        part = self.lab.keep(paying[0], gains=self.precision.gains(paying[0]))
        if part is None:
            return []
        self.precision.compare([part])  # what is left may be what brings nothing
        return [part] if self.precision.pays(part) else []

    def _say_what_is_left(self, best: Build | None) -> None:
        """Say of each option why the best plan has it, or does not."""
        if best is None:
            return
        taken = [step for step in self.precision.steps.values() if step.id in best.steps]
        ratio = self.precision.ratios.get(best.key)
        if ratio is not None:
            self.lab.credit([step.id for step in taken], " with ".join(dict.fromkeys(s.spec for s in taken)), ratio)
        for step in self.market.steps(self.market.members):
            if step.id not in best.steps and self.market.is_worth_saying(step):
                other = next((one for one in taken if one.candidate.conflicts_with(step.candidate)), None)
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

    seconds: float = field(default=5.0, metadata={"help": "as of `milp`"})

    def solve(self, problem: Selection) -> Solution:
        """As `ByPrice.solve`."""
        return selection.greedy(problem, self.seconds)


@dataclass(frozen=True)
class Exhaustive(ByPrice):
    """Try all sets of options, for problems of at most 16."""

    name: ClassVar[str] = "exhaustive"

    def check(self, problem: Problem) -> None:
        """As `ByPrice.check`."""
        native = [step for step in problem.offers if step.candidate.parameters.get("kind") in (None, *problem.native)]
        if len(native) > selection.MOST:
            raise InputError(
                f"--planner exhaustive: {len(native)} options have too many sets to try them all, at most"
                f" {selection.MOST}; use milp"
            )

    def solve(self, problem: Selection) -> Solution:
        """As `ByPrice.solve`; with kinds that only save room there may be more options, of which not all sets are tried."""
        many = len(problem.options) > selection.MOST
        return selection.milp(problem) if many else selection.exhaustive(problem)
