"""Checks of planners, on a laboratory whose evidence is scripted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from fxopt.contracts.candidate import Candidate, Step
from fxopt.contracts.cost import Budget, Interval
from fxopt.contracts.planner import NOTHING_KNOWN, Build, Foretold, Look, Planner, Problem, Ratio
from fxopt.ir.program import Program
from fxopt.testing.cases import Fault, case, parameters
from fxopt.testing.options import is_documented, options_round_trip
from fxopt.testing.specimen import Specimen, captured
from fxopt.user_code import raised

BASE_BYTES = 100  # size of a build without steps; each step adds one


@dataclass
class ScriptedLab:
    """A `Lab` in which each step multiplies the latency by its factor.

    Attributes:
        factors: by id; steps without a factor are invisible to the engine.
        unbuildable: steps that no build can have.
        conflicts: pairs of steps that no build can have both.
        wrong: steps with which a build fails when it is run, or gives other outputs than the program.
        time: whether time is out.
        offered: ids that may be asked about; None: any.
        builds: what was built.
        compared: keys of what was timed, by session.
        verdicts: what was written down, by id.
        looks: what was told of choices.
    """

    factors: Mapping[str, float]
    unbuildable: frozenset[str] = frozenset()
    conflicts: tuple[frozenset[str], ...] = ()
    wrong: frozenset[str] = frozenset()
    time: Callable[[], bool] = lambda: False
    offered: frozenset[str] | None = None
    builds: list[frozenset[str]] = field(default_factory=list)
    compared: list[list[str]] = field(default_factory=list)
    verdicts: dict[str, tuple[str, str, Ratio | None]] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.baseline = Build("base", frozenset(), "", BASE_BYTES)

    def build(self, steps: Collection[str]) -> Build | None:
        """A build; None where one of the steps, or two together, cannot be built."""
        kept = self._known(steps)
        self.builds.append(kept)
        if kept & self.unbuildable or any(pair <= kept for pair in self.conflicts):
            return None
        key = ",".join(sorted(kept)) or "base"
        return Build(key, kept, ",".join(sorted(kept & set(self.factors))), BASE_BYTES + len(kept))

    def build_ahead(self, plans: Sequence[Collection[str]]) -> None:
        """Nothing: there is no executor."""

    def compare(self, builds: Sequence[Build], to: Build | None = None) -> dict[str, Ratio]:
        """The product of the factors of each build, with a narrow interval; 1 is no evidence of a difference."""
        self.compared.append([build.key for build in builds])
        base = self.latency(to.steps if to is not None else ())
        return {build.key: scripted_ratio(self.latency(build.steps) / base) for build in builds if self.runs(build)}

    def runs(self, build: Build) -> bool:
        """As scripted."""
        return not build.steps & self.wrong

    def latency(self, steps: Iterable[str]) -> float:
        """Latency of a build with these steps over the baseline's."""
        product = 1.0
        for identity in sorted(steps):
            product *= self.factors.get(identity, 1.0)
        return round(product, 6)

    def why(self, failed: Collection[str] | Build) -> str:
        """As scripted."""
        return "the script says so"

    def recipes(self) -> list[Build]:
        """None: an engine without recipes."""
        return []

    def tunings(self, build: Build) -> list[Build]:
        """None: an engine without other options."""
        return []

    def keep(self, build: Build, give_back: bool = True, gains: Mapping[str, float] = NOTHING_KNOWN) -> Build | None:
        """The build: quality is no matter here."""
        return build

    def excess(self, build: Build) -> float:
        """None: quality is no matter here."""
        return 0.0

    def step_times(self, build: Build) -> dict[str, float]:
        """None: an engine without a profile."""
        return {}

    def node_times(self, build: Build) -> dict[str, float]:
        """None, likewise."""
        return {}

    def foretell(self, steps: Collection[str]) -> Foretold | None:
        """None: a target that cannot tell."""
        return None

    def refuse(self, steps: Collection[str], reason: str, group: str | None = None, ratio: Ratio | None = None) -> None:
        """Write down a refusal."""
        self.verdicts |= dict.fromkeys(self._known(steps), ("refused", reason, ratio))

    def skip(self, steps: Collection[str], reason: str, group: str | None = None) -> None:
        """Write down that nothing was looked into."""
        self.verdicts |= dict.fromkeys(self._known(steps), ("skipped", reason, None))

    def credit(self, steps: Collection[str], group: str, ratio: Ratio) -> None:
        """Write down a gain."""
        self.verdicts |= dict.fromkeys(self._known(steps), ("applied", group, ratio))

    def tell(self, look: Look) -> None:
        """Remember it."""
        self.looks.append(look)

    def out_of_time(self) -> bool:
        """Whether time is out."""
        return self.time()

    def _known(self, steps: Collection[str]) -> frozenset[str]:
        strangers = sorted(frozenset(steps) - self.offered) if self.offered is not None else []
        if strangers:
            raise KeyError(f"{strangers[0]} was not among the steps")
        return frozenset(steps)


def scripted_ratio(estimate: float) -> Ratio:
    """A ratio that is sure; 1 is one that cannot be told from no difference."""
    return Ratio(Interval(estimate, estimate - 0.01, estimate + 0.01), 0.5 if estimate == 1 else 1e-6)


def scripted_step(identity: str, choice: str | None = None) -> Step:
    """A step with the id `pass@site`."""
    rule, _, site = identity.partition("@")
    return Step(Candidate(rule, (site,), frozenset({site}), choice=choice), rule, 0)


@Specimen
def nothing() -> Program:
    """The program that scripted steps are about, which need not be there."""
    return captured(lambda _, x: x.relu(), torch.randn(2))


def planner_checks(*planners: Planner, expected_failures: Mapping[str, str] | None = None) -> list[Any]:
    """Make test cases of planners, as the values of `check` in a parametrised test that calls `check()`.

    Args:
        planners: what is checked.
        expected_failures: why a case fails, by its id; it must then fail.

    Raises:
        ValueError: an expected failure names no case.
    """
    cases = [case(check, planner.spec(), planner) for planner in planners for check in CHECKS]
    return parameters(cases, expected_failures or {})


MIXED = {"a@1": 0.8, "a@2": 0.9, "b@1": 1.2, "c@1": 1.0, "d@1": 0.95, "d@2": 1.3}


def an_empty_offer_gives_an_empty_plan(planner: Planner) -> None:
    """Without steps there is nothing to plan."""
    plans, _ = _planned(planner, {})
    if plans:
        raise Fault(f"without steps it plans {_texts(plans)}")


def equal_evidence_gives_equal_plans(planner: Planner) -> None:
    """Plans and verdicts depend on the evidence alone."""
    (first, lab), (second, other) = (_planned(planner, MIXED) for _ in range(2))
    if first != second:
        raise Fault(f"on equal evidence it plans {_texts(first)}, then {_texts(second)}")
    if lab.verdicts != other.verdicts:
        raise Fault("on equal evidence verdicts differ")


def what_pays_is_planned(planner: Planner) -> None:
    """Steps that surely pay, each by itself and together, are in the best plan."""
    plans, _ = _planned(planner, {"a@1": 0.7, "b@1": 0.8, "c@1": 1.0})
    if not plans or not {"a@1", "b@1"} <= plans[0].steps:
        raise Fault(f"a@1 and b@1 pay, and it plans {_texts(plans)}")


def what_harms_is_left_out(planner: Planner) -> None:
    """No plan promises to be better than the baseline and is not; the best one comes first."""
    for factors in (MIXED, {"a@1": 1.2, "b@1": 1.1}, {"a@1": 1.0}, {"a@1": 0.5, "a@2": 1.5, "b@1": 1.9}):
        plans, lab = _planned(planner, factors)
        latencies = [lab.latency(plan.steps) for plan in plans]
        bad = next((plan for plan, latency in zip(plans, latencies, strict=True) if latency >= 1), None)
        if bad is not None:
            raise Fault(f"with factors {factors} it plans {_texts([bad])}, which is no faster")
        if latencies and latencies[0] > min(latencies):
            raise Fault(f"with factors {factors} its best plan is not the first: {latencies}")


def conflicts_are_respected(planner: Planner) -> None:
    """Steps that cannot be built together are in no plan, and one that cannot be built costs only itself."""
    script = {"a@1": 0.8, "b@1": 0.7, "c@1": 0.6}
    conflicts = (frozenset({"a@1", "b@1"}),)
    plans, _ = _planned(planner, script, conflicts=conflicts)
    if any(pair <= plan.steps for plan in plans for pair in conflicts):
        raise Fault(f"a@1 and b@1 cannot be built together, and it plans {_texts(plans)}")
    plans, _ = _planned(planner, script, unbuildable=frozenset({"b@1"}))
    if not plans or "b@1" in plans[0].steps:
        raise Fault(f"b@1 cannot be built, and it plans {_texts(plans)}")


def choices_exclude_one_another(planner: Planner) -> None:
    """Of steps that share a choice a plan has one at most, and every choice that pays has one."""
    script = {"a@1": 0.8, "b@1": 0.7, "c@1": 0.9, "c@2": 0.9}
    choices = {"a@1": "one", "b@1": "one", "c@1": "two", "c@2": "two"}
    plans, _ = _planned(planner, script, choices=choices)
    for plan in plans:
        taken = [choices[identity] for identity in sorted(plan.steps)]
        if len(set(taken)) != len(taken):
            raise Fault(f"of one choice it plans several: {_texts([plan])}")
    if not plans or {choices[identity] for identity in plans[0].steps} != {"one", "two"}:
        raise Fault(f"both choices pay, and it plans {_texts(plans)}")


def limits_are_kept(planner: Planner) -> None:
    """No plan is larger than the budget allows, and out of time next to nothing is built."""
    budget = Budget(max_size_bytes=BASE_BYTES + 1)
    plans, _ = _planned(planner, {"a@1": 0.9, "a@2": 0.9, "b@1": 0.8}, budget=budget)
    large = next((plan for plan in plans if plan.size_bytes > BASE_BYTES + 1), None)
    if large is not None:
        raise Fault(f"{BASE_BYTES + 1} bytes are allowed, and it plans {_texts([large])} of {large.size_bytes}")
    script = {f"p{index}@1": 0.9 for index in range(8)}
    _, lab = _planned(planner, script, time=lambda: True)
    if len(lab.builds) > 2:
        raise Fault(f"out of time it builds {len(lab.builds)} times")


def every_step_gets_a_verdict(planner: Planner) -> None:
    """Whatever is offered is credited, refused or skipped, with a reason."""
    for script, late in ((MIXED, False), (MIXED, True), (dict.fromkeys(MIXED, 1.0), False)):
        _, lab = _planned(planner, script, time=lambda late=late: late)
        silent = sorted(set(script) - set(lab.verdicts))
        if silent:
            raise Fault(f"{silent[0]} gets no verdict")
        empty = next((identity for identity, (_, reason, _) in lab.verdicts.items() if not reason), None)
        if empty:
            raise Fault(f"{empty} gets a verdict without a reason")


CHECKS: tuple[Callable[[Planner], None], ...] = (
    options_round_trip,
    is_documented,
    an_empty_offer_gives_an_empty_plan,
    equal_evidence_gives_equal_plans,
    what_pays_is_planned,
    what_harms_is_left_out,
    conflicts_are_respected,
    choices_exclude_one_another,
    limits_are_kept,
    every_step_gets_a_verdict,
)


def _planned(
    planner: Planner,
    factors: Mapping[str, float],
    choices: Mapping[str, str] | None = None,
    budget: Budget | None = None,
    **script: Any,
) -> tuple[list[Build], ScriptedLab]:
    lab = ScriptedLab(factors, offered=frozenset(factors), **script)
    steps = [scripted_step(identity, (choices or {}).get(identity)) for identity in factors]
    try:
        return planner.plan(Problem(nothing(), steps, budget or Budget(), 0.95, lab)), lab
    except Exception as error:
        raise Fault(f"planning raised {raised(error)}") from error


def _texts(plans: Sequence[Build]) -> str:
    return "; ".join(", ".join(sorted(plan.steps)) or "no step" for plan in plans) or "nothing"
