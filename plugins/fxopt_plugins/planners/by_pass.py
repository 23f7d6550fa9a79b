"""Measure pass by pass, keep what pays, split what does not agree with itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fxopt import Planner
from fxopt.contracts.candidate import Step
from fxopt.contracts.planner import Build, Problem, Ratio
from fxopt.measure import holm
from fxopt_plugins.planners.faults import Bisection
from fxopt_plugins.planners.tunings import tuned

SAME = "the engine fuses this itself: it runs the same kernels with and without it"
NOT_ALONE = "not possible without the rewrites of other passes"


@dataclass(frozen=True)
class ByPass(Planner):
    """Steps are grouped by pass, and each group is built with all that it needs.

    A group whose build gives the engine's own kernels again brings nothing and is left out untimed. The others are
    timed against the unmodified program in one interleaved session, and stand or fall by Holm's procedure over all of
    them. A group that slows the model down is split in halves, so that one bad site does not cost the good ones.
    """

    name: ClassVar[str] = "by_pass"

    splits: int = field(
        default=4, metadata={"help": "builds that may be spent on splitting groups that slow the model down"}
    )
    repairs: int = field(
        default=16, metadata={"help": "builds that may be spent on a group to find the steps that an engine fails at"}
    )

    def plan(self, problem: Problem) -> list[Build]:
        """As `Planner.plan`: what `choose` chooses, or else the unmodified program, under tunings that pay."""
        return tuned(problem, (), self.choose(problem))

    def choose(self, problem: Problem) -> list[Build]:
        """The union of what pays, and everything but what harms."""
        lab, steps = problem.lab, _exclusive(problem)
        if not steps:
            return []
        everything = lab.build([step.id for step in steps])
        if everything is not None and _same(everything, lab.baseline):
            lab.refuse([step.id for step in steps], SAME)
            return []
        builds: dict[str, Build] = {}
        groups = _groups(steps)
        faulty: set[str] = set()
        labels: dict[str, str] = {}
        lab.build_ahead([*groups.values()])
        for name, group in groups.items():
            if lab.out_of_time():
                lab.skip(group, "not measured: the time limit was reached", name)
                continue
            build, faults = self._build(problem, name, [step for step in steps if step.id in group])
            faulty |= faults
            group = [identity for identity in group if identity not in faults]
            if build is None:
                continue
            groups[name] = [step for step in group if step in build.steps]
            lab.refuse([step for step in group if step not in build.steps], NOT_ALONE, name)
            others = {step.candidate.rule for step in steps if step.id in build.steps} - {name}
            labels[name] = " with ".join(filter(None, (name, ", ".join(sorted(others)))))
            if not _same(build, lab.baseline):
                builds[name] = build
            else:
                lab.refuse(groups[name], SAME, labels[name])
        lost = set(faulty)  # and what needs them, at first hand or further
        for step in steps:
            if lost.intersection(step.needs):
                lost.add(step.id)
        sound = [step.id for step in steps if step.id not in lost]
        if everything is None and faulty and sound:
            everything = lab.build(sound)
        timed = list(builds.values()) + ([everything] if everything is not None else [])
        ratios = lab.compare(timed)
        named = {name: ratios[build.key] for name, build in builds.items() if build.key in ratios}
        standing = holm({name: ratio.p_value for name, ratio in named.items()}, 1 - problem.confidence)
        gains, harms = _split(named, standing)
        for name in builds:
            if name not in named:
                lab.refuse(groups[name], f"it could not be measured: {lab.why(builds[name])}", labels[name])
                continue
            self._judge(problem, labels[name], groups[name], named[name], name in gains, name in harms)
        rescued = self._rescue(problem, {name: groups[name] for name in harms})
        wanted = [*(s for name in gains for s in groups[name]), *rescued]
        harmful = {s for name in harms for s in groups[name]} - set(rescued)
        plans = [lab.build(wanted)] if wanted else []
        if everything is not None and everything.key in ratios and ratios[everything.key].interval.high < 1:
            plans.append(lab.build([i for i in sound if i not in harmful]) if harmful else everything)
        unique = {plan.key: plan for plan in plans if plan is not None and not _same(plan, lab.baseline)}
        limit = problem.budget.max_size_bytes
        return [plan for plan in unique.values() if limit is None or plan.size_bytes <= limit]

    def _build(self, problem: Problem, name: str, group: Sequence[Step]) -> tuple[Build | None, set[str]]:
        """A group as far as the engine can build it, and the steps that it cannot, which are refused."""
        lab = problem.lab

        def attempt(part: Sequence[Step]) -> Build | str:
            ids = [step.id for step in part]
            return lab.build(ids) or f"the engine cannot build the program with it: {lab.why(ids)}"

        found = Bisection(attempt, self.repairs)
        found.run(group)
        for part, reason in found.faults:
            lab.refuse([step.id for step in part], reason, name)
        return found.build, {step.id for part, _ in found.faults for step in part}

    def _judge(self, problem: Problem, label: str, group: list[str], ratio: Ratio, gain: bool, harm: bool) -> None:
        lab = problem.lab
        if gain:
            lab.credit(group, label, ratio)
        elif harm:
            lab.refuse(group, f"{label} together slow this engine down", label, ratio)
        else:
            lab.refuse(group, "no measurable gain: the interval includes 1", label, ratio)

    def _rescue(self, problem: Problem, harmful: dict[str, list[str]]) -> list[str]:
        """Halves of harmful groups that pay by themselves, within the builds allowed."""
        lab, left, rescued = problem.lab, self.splits, []
        front = [(name, group) for name, group in harmful.items() if len(group) > 1]
        while front and left >= 2 and not lab.out_of_time():
            name, group = front.pop(0)
            halves = [group[: len(group) // 2], group[len(group) // 2 :]]
            builds = [lab.build(half) for half in halves]
            left -= 2
            ratios = lab.compare([build for build in builds if build is not None])
            for half, build in zip(halves, builds, strict=True):
                ratio = ratios.get(build.key) if build is not None else None
                if ratio is None:
                    continue
                if ratio.interval.high < 1:
                    lab.credit(half, name, ratio)
                    rescued += half
                elif ratio.interval.low > 1 and len(half) > 1:
                    front.append((name, half))
                else:
                    lab.refuse(half, "no measurable gain: the interval includes 1", name, ratio)
        return rescued


def _exclusive(problem: Problem) -> list[Step]:
    """The steps, of each choice only the first; the others, and what needs them, are refused."""
    taken: set[str] = set()
    left_out: set[str] = set()
    for step in problem.steps:
        choice = step.candidate.choice
        if choice in taken or left_out.intersection(step.needs):
            left_out.add(step.id)
            problem.lab.refuse([step.id], "another step of the same choice is tried instead")
        elif choice is not None:
            taken.add(choice)
    return [step for step in problem.steps if step.id not in left_out]


def _groups(steps: Sequence[Step]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for step in steps:
        groups.setdefault(step.candidate.rule, []).append(step.id)
    return groups


def _split(ratios: dict[str, Ratio], standing: frozenset[str]) -> tuple[list[str], list[str]]:
    gains = [name for name in standing if ratios[name].interval.high < 1]
    harms = [name for name in standing if ratios[name].interval.low > 1]
    return sorted(gains), sorted(harms)


def _same(build: Build, baseline: Build) -> bool:
    return build.key == baseline.key or (build.signature is not None and build.signature == baseline.signature)
