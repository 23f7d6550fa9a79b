"""What is offered of lower precision for one engine: whole builds of each kind, timed, and what they show of each region."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

from fxopt import Step
from fxopt.contracts.planner import Build, Foretold, Problem, Ratio
from fxopt_plugins.planners.faults import Attempt, Bisection

# Of the latency: what brings less is not worth a build, and of plans so near the one ships that loses least.
RESOLUTION = 0.02
_LITTLE = 0.05  # of the latency, that regions of a kind are foretold to bring where the kind as a whole brings nothing
_SURE = 0.05  # of a region's time, that it has to bring by a profile to count
_BEHIND = 1.25  # times what another engine's plans take: the sum of a profile may be off by less
NOT_BESIDE = "not possible beside the others of its kind"


class Precision:
    """The kinds of lower precision that are offered for one engine, and what was measured of each.

    Attributes:
        groups: the offers of each kind, but for those that the engine fails at.
        steps: offers by id.
        builds: a build of each kind wherever it is offered.
        ratios: of builds that were timed, by key.
        recipes: builds by the engine's own recipes that bring something.
    """

    def __init__(self, problem: Problem, stored: int, repairs: int) -> None:
        self.problem, self.lab, self.stored, self.repairs = problem, problem.lab, stored, repairs
        self.basis = [step.id for step in problem.basis]
        self.groups: dict[str, list[Step]] = {}
        for step in problem.offers:
            self.groups.setdefault(step.spec, []).append(step)
        self.steps = {step.id: step for step in problem.offers}
        self.builds: dict[str, Build] = {}
        self.ratios: dict[str, Ratio] = {}
        self.recipes: list[Build] = []

    def measure_kinds(self) -> None:
        """Build every kind wherever it is offered, and the recipes, and time them all in one session."""
        chosen = []
        for kind, group in self._worth_building():
            if (reason := self._foretold_slower(group)) is not None:
                self.refuse(group, reason, kind)
            else:
                chosen.append((kind, group))
        self.lab.build_ahead([[*self.basis, *(step.id for step in group)] for _, group in chosen])
        for kind, group in chosen:
            if self.lab.out_of_time():
                self.lab.skip([step.id for step in group], "not measured: the time limit was reached", kind)
            else:
                self._build_kind(kind, self.attempt)
        self._leave_out_what_is_slower()
        recipes = self.lab.recipes()
        if not recipes:
            self._leave_out_what_is_behind()
        floats = [] if not self.builds or self.floats is None else [self.floats]
        self.compare([*floats, *self.builds.values(), *recipes])
        self.recipes = [recipe for recipe in recipes if self.pays(recipe)]
        self._mend()

    def say_what_it_brings(self, kind: str) -> None:
        build = self.builds[kind]
        ratio = self.ratios.get(build.key)
        if ratio is None:
            self.refuse(self.groups[kind], f"it could not be measured: {self.lab.why(build)}", kind)
        elif not self.pays(build):
            self.refuse(self.groups[kind], self._loss(ratio), kind, ratio)
        else:
            self.lab.credit([step.id for step in self.groups[kind] if step.id in build.steps], kind, ratio)

    def _build_kind(self, kind: str, attempt: Attempt) -> None:
        """Build a kind wherever that succeeds; the regions at fault are refused and no longer among its offers."""
        found = Bisection(attempt, self.repairs)
        found.run(self.groups[kind])
        for part, reason in found.faults:
            self.refuse(part, reason, kind)
        faulty = [step for part, _ in found.faults for step in part]
        self.groups[kind] = [step for step in self.groups[kind] if step not in faulty]
        if found.build is None:
            self.builds.pop(kind, None)
            return
        self.builds[kind] = found.build
        self.refuse([step for step in self.groups[kind] if step.id not in found.build.steps], NOT_BESIDE, kind)

    def _mend(self) -> None:
        """Time the kinds that failed when they were run once more, without the regions at fault."""
        failed = [kind for kind, build in self.builds.items() if build.key not in self.ratios]
        for kind in failed:
            if not self.lab.out_of_time():
                self._build_kind(kind, self._attempt_to_run)
        self.compare([self.builds[kind] for kind in failed if kind in self.builds])

    def attempt(self, group: Sequence[Step]) -> Build | str:
        build = self.build(group)
        if build is not None:
            return build
        return (
            f"the engine cannot build the program with it: {self.lab.why([*self.basis, *(step.id for step in group)])}"
        )

    def _attempt_to_run(self, group: Sequence[Step]) -> Build | str:
        build = self.attempt(group)
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

    def _leave_out_what_is_slower(self) -> None:
        """Refuse the kinds that bring nothing anywhere by the engine's own profile: a session of timings says it no better."""
        if not self.builds or not self._for_speed or not (floats := sum(self.float_times.values())):
            return
        gains = {kind: self.gains_ms(build) for kind, build in self.builds.items()}
        whole = {kind: floats - sum(found.values()) for kind, found in gains.items()}
        least = RESOLUTION * min(whole.values(), default=floats)
        for kind, build in list(self.builds.items()):
            before = self._in_floats(build)
            sure = sum(gain for step, gain in gains[kind].items() if gain > _SURE * before[step])
            if gains[kind] and whole[kind] > (1 - RESOLUTION) * floats and sure <= least:
                ratio = whole[kind] / floats
                reason = f"by the engine's profile it takes {ratio:.2f} times as long as floats; not timed as a whole"
                self.refuse(self.groups[kind], reason, kind)
                del self.builds[kind]

    def _leave_out_what_is_behind(self) -> None:
        """Refuse all kinds where together they cannot reach by the engine's own profile what plans for another engine do."""
        reached, latency = self.problem.reached_ms, self.problem.latency_ms
        whole = sum(self.lab.node_times(self.lab.baseline).values()) if self.builds else 0.0
        if reached is None or latency is None or not whole or any(map(self.rounds_more, self.builds.values())):
            return
        gains = [self.gains_ms(build) for build in self.builds.values()]
        if not all(gains):
            return
        saved = sum(max(0.0, gain) for found in gains for gain in found.values())
        least = latency * (sum(self.float_times.values()) - saved) / whole
        if least > _BEHIND * reached:
            reason = (
                f"by the engine's profile no choice takes less than {least:.3g} ms, and plans for another engine take"
                f" {reached:.3g}; not timed"
            )
            for kind in self.builds:
                self.refuse(self.groups[kind], reason, kind)
            self.builds.clear()

    def rounds_more(self, build: Build) -> bool:
        """Whether an engine can be let round more of a build: how fast that is, nothing else shows."""
        return any(tuning.rounded for tuning in self.lab.tunings(build))

    @property
    def _for_speed(self) -> bool:
        """Whether a kind that makes nothing faster is of no use."""
        return self.problem.budget.minimize == "latency" and self.problem.budget.max_size_bytes is None

    def _foretold_slower(self, group: Sequence[Step]) -> str | None:
        """Why a kind is not worth building by what is known of its kernels; None if it may be, or too little is known."""
        floats = self.foretold_floats
        if floats is None or not floats.milliseconds or not self._for_speed:
            return None
        lower = self.lab.foretell([*self.basis, *(step.id for step in group)])
        if lower is None:
            return None
        ratio, doubt = lower.milliseconds / floats.milliseconds, math.exp(2 * math.hypot(lower.spread, floats.spread))
        gains = sum(max(0.0, self.foretold_gain(step, lower, floats)) for step in group)
        if ratio <= doubt or gains > _LITTLE * floats.milliseconds:
            return None
        return (
            f"predicted to take {ratio:.2f} times as long as floats, for sure more than {ratio / doubt:.2f}; not built"
        )

    @cached_property
    def foretold_floats(self) -> Foretold | None:
        return self.lab.foretell(self.basis)

    @staticmethod
    def foretold_gain(step: Step, lower: Foretold, floats: Foretold) -> float:
        """Milliseconds that a region is predicted to bring by itself."""
        before = sum(floats.node_ms.get(node, 0.0) for node in step.candidate.writes)
        return before - lower.step_ms.get(step.id, before)

    def is_safe(self, build: Build) -> bool:
        """Whether a build is surely no slower than the unmodified model, where only such may ship."""
        budget, ratio = self.problem.budget, self.ratios.get(build.key)
        if budget.minimize != "size" or budget.max_latency_ms is not None:
            return True
        return ratio is not None and ratio.interval.high <= 1

    @cached_property
    def floats(self) -> Build | None:
        """A build of the exact steps alone, on top of which there are offers; None where the engine fails at it."""
        return self.lab.build(self.basis)

    @property
    def float_ratio(self) -> float:
        """Its latency over that of the unmodified program; 1 where it was not measured."""
        ratio = None if self.floats is None else self.ratios.get(self.floats.key)
        return 1.0 if ratio is None else ratio.interval.estimate

    @cached_property
    def float_times(self) -> Mapping[str, float]:
        """Its kernels' milliseconds, as of `Lab.node_times`."""
        return {} if self.floats is None else self.lab.node_times(self.floats)

    def gains(self, build: Build) -> dict[str, float]:
        """What offers of a build bring, as far as it is known: milliseconds by the engine's profile, or bytes."""
        if self.problem.budget.minimize == "size":
            sizes = self.problem.size_change
            return {step.id: float(-sizes[step.id]) for step in self._offers(build) if step.id in sizes}
        return self.gains_ms(build)

    def gains_ms(self, build: Build) -> dict[str, float]:
        """Milliseconds that offers of a build bring by the engine's profile; empty where it gives none."""
        lower, there = self.lab.step_times(build), self._in_floats(build)
        return {
            identity: there[identity] - lower[identity] for identity in there if there[identity] and identity in lower
        }

    def _in_floats(self, build: Build) -> dict[str, float]:
        """Milliseconds of what offers of a build replace, by the engine's profile."""
        before = self.float_times
        return {
            step.id: sum(before.get(node, 0.0) for node in sorted(step.candidate.writes))
            for step in self._offers(build)
        }

    def _offers(self, build: Build) -> list[Step]:
        return [self.steps[identity] for identity in build.steps if identity in self.steps]

    def build(self, group: Sequence[Step]) -> Build | None:
        return self.lab.build([*self.basis, *(step.id for step in group)])

    def compare(self, builds: Sequence[Build]) -> None:
        """Time builds in one session."""
        if builds:
            self.ratios |= self.lab.compare(builds)

    def better(self, build: Build, other: Build) -> bool:
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

    def pays(self, build: Build) -> bool:
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

    def refuse(self, group: Sequence[Step], reason: str, kind: str, ratio: Ratio | None = None) -> None:
        self.lab.refuse([step.id for step in group], reason, kind, ratio)
