"""The contract of a planner: which steps make the plan for one engine."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from fxopt.contracts.candidate import Step
from fxopt.contracts.cost import Budget, Interval
from fxopt.contracts.options import Configurable

if TYPE_CHECKING:
    from fxopt.ir.program import Program

NOTHING_KNOWN: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Build:
    """Some steps, applied and emitted.

    Attributes:
        key: equal for equal artifacts.
        steps: ids of the steps that are in it.
        signature: what the engine made of it, free of names and weights; None where the engine cannot tell.
        size_bytes: size of the artifact.
        recipe: name of the engine's own recipe that it was made by, of which there are no steps.
        tunings: options of the engine that it runs under, where they are others than it was emitted with.
        rounded: whether the engine rounds what the program does not, by its own recipe or under a tuning.
    """

    key: str
    steps: frozenset[str]
    signature: str | None
    size_bytes: int
    recipe: str | None = None
    tunings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    rounded: bool = False

    @property
    def tunings_text(self) -> str:
        """As `threads=1`; empty without."""
        return ", ".join(f"{option}={value}" for option, value in sorted(self.tunings.items()))


@dataclass(frozen=True)
class Ratio:
    """Latency of a build over the unmodified program's, on one engine.

    Attributes:
        interval: the ratio at the run's confidence; below 1 is faster.
        p_value: of the hypothesis that there is no difference.
        equal: the engine runs the same kernels for both, so that nothing was timed.
    """

    interval: Interval
    p_value: float
    equal: bool = False

    def after(self, other: Ratio) -> Ratio:
        """The ratio to what `other` is to, where this one is to what `other` is of; its interval is wider than it need be."""
        if other.equal:
            return self
        mine, theirs = self.interval, other.interval
        interval = Interval(mine.estimate * theirs.estimate, mine.low * theirs.low, mine.high * theirs.high)
        return Ratio(interval, max(self.p_value, other.p_value))


@dataclass(frozen=True)
class Foretold:
    """What a program is expected to take, known without building it.

    Attributes:
        milliseconds: of a call.
        spread: standard deviation of its logarithm.
        step_ms: of each step's part, by id, as of `Lab.step_times`.
        node_ms: by the name of a node, as of `Lab.node_times`.
        neighbours: pairs of steps, in order, of which one's part takes what the other's gives.
    """

    milliseconds: float
    spread: float
    step_ms: Mapping[str, float] = field(default_factory=dict)
    node_ms: Mapping[str, float] = field(default_factory=dict)
    neighbours: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Look:
    """A choice that a planner made by prices, for the ledger.

    Attributes:
        options: how many there were to choose from.
        taken: how many of each kind were chosen.
        most_loss: limit on what they lose, in multiples of what the budget allows; infinite for none.
        objective: what they are expected to change together, in milliseconds or bytes.
        bound: what no choice is below; minus infinity where the solver cannot tell.
        feasible: whether there is a choice within the limits. If not, this one is over them by the least.
        complete: whether the solver came to its end.
        seconds: that it took.
        build: key of the build that was made of it, if one was.
        excess: how many times what the budget allows that lost; None if it was not judged.
    """

    options: int
    taken: Mapping[str, int]
    most_loss: float
    objective: float
    bound: float
    feasible: bool
    complete: bool
    seconds: float
    build: str | None = None
    excess: float | None = None


class Lab(Protocol):
    """Where a planner gets its evidence. Every call may cost seconds; results are remembered."""

    baseline: Build

    def build(self, steps: Collection[str]) -> Build | None:
        """The program with these steps and all that they need; None if the engine refuses it."""

    def build_ahead(self, plans: Sequence[Collection[str]]) -> None:
        """Say which builds will be asked for next, each by its steps: where there is an executor, it makes them side by side."""

    def compare(self, builds: Sequence[Build], to: Build | None = None) -> dict[str, Ratio]:
        """Each build against the baseline, or another build, interleaved in one session; by key. One that fails is absent.

        What has been timed against the baseline before is not timed again for it.
        """

    def runs(self, build: Build) -> bool:
        """Whether a build gives here what the program that it was made from gives, but for rounding; else ask `why`."""

    def why(self, failed: Collection[str] | Build) -> str:
        """Why these steps could not be built, or a build not be measured or run, in a clause."""

    def recipes(self) -> list[Build]:
        """What the engine's own recipes make of the unmodified model, where quality may drop and there are data."""

    def tunings(self, build: Build) -> list[Build]:
        """The same artifact under other options of the engine that may be faster here, as fewer threads: nothing is emitted.

        What is known of how right a build is holds under them too, but for those that let the engine round more: these are
        there only where quality may drop.
        """

    def keep(self, build: Build, give_back: bool = True, gains: Mapping[str, float] = NOTHING_KNOWN) -> Build | None:
        """The largest part of a build that is as right as it has to be; None if there is none.

        Of steps that are not exact the artifact has to keep the quality budget, measured where it runs; those that cost
        most by their sensitivity for what they gain are given back until it does. Exact steps must not add up to a
        rounding error.

        Args:
            build: what is to be judged.
            give_back: without, it is the build itself or None, which costs one judgement and no further builds.
            gains: what steps bring, by id, in any unit. Those that are not there count as much as the others on average.
        """

    def excess(self, build: Build) -> float:
        """How many times what the quality budget allows a build loses, on the unit of `Problem.sensitivity`.

        At most 1 where it keeps the budget; infinite where something else is wrong with it. It costs a judgement.
        """

    def step_times(self, build: Build) -> Mapping[str, float]:
        """Milliseconds of each step's part of a build, as the engine profiles it, by id; empty where it cannot."""

    def node_times(self, build: Build) -> Mapping[str, float]:
        """Milliseconds of the kernels of a build by the name of the first node that each covers, likewise."""

    def foretell(self, steps: Collection[str]) -> Foretold | None:
        """What the program with these steps and all that they need is expected to take; None where the target cannot tell.

        It costs no build, but a rewritten program: a fraction of a second for hundreds of nodes.
        """

    def refuse(self, steps: Collection[str], reason: str, group: str | None = None, ratio: Ratio | None = None) -> None:
        """Write down why these steps are left out of the plan."""

    def skip(self, steps: Collection[str], reason: str, group: str | None = None) -> None:
        """Write down why these steps were not looked into."""

    def credit(self, steps: Collection[str], group: str, ratio: Ratio) -> None:
        """Write down what these steps bring."""

    def tell(self, look: Look) -> None:
        """Write down how a choice was made."""

    def out_of_time(self) -> bool:
        """Whether no new build should be begun."""


@dataclass(frozen=True)
class Problem:
    """What a planner decides about.

    Attributes:
        program: the unmodified program.
        steps: the exact steps to choose from, in order: all that passed their checks and hold for every engine.
        budget: what the user asks for.
        confidence: of intervals; a gain counts only where its interval excludes 1.
        lab: the source of evidence.
        basis: the exact steps on top of which there are `offers`; a plan with offers has all of them.
        offers: alternatives for this engine, in order: no plan has two that conflict.
        native: kinds of lower precision that the engine computes in on this machine, as in `QuantScheme.native`. An offer
            says its own in the candidate's parameter `"kind"`; one of another kind saves room alone.
        sensitivity: by id of an offer, the loss that it is expected to bring, where there are data. Of one that only saves room
            it is not found out where latency alone counts.
        size_change: by id of an offer, bytes of tensors that it adds, where that can be told of it alone.
        latency_ms: of the baseline, where it was measured; what a ratio has to be held against a limit on latency.
        reached_ms: what plans of lower precision for other engines take, beyond which another one is of no use; None where
            there are too few, or more than latency counts.
    """

    program: Program
    steps: Sequence[Step]
    budget: Budget
    confidence: float
    lab: Lab
    basis: Sequence[Step] = ()
    offers: Sequence[Step] = ()
    native: Collection[str] = ()
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    size_change: Mapping[str, int] = field(default_factory=dict)
    latency_ms: float | None = None
    reached_ms: float | None = None


@dataclass(frozen=True)
class Planner(Configurable, abc.ABC):
    """A strategy. What it returns is confirmed once more by the compiler before it ships."""

    @abc.abstractmethod
    def plan(self, problem: Problem) -> list[Build]:
        """Builds that promise to be better than the baseline, best first; empty if nothing pays."""
