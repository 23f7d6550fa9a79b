"""The planner `by_pass`, on a lab whose ratios and signatures are scripted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from fxopt.contracts.candidate import Candidate, Step
from fxopt.contracts.cost import Budget, Interval
from fxopt.contracts.planner import Build, Problem, Ratio
from fxopt_plugins.planners.by_pass import NOT_ALONE, ByPass


def step(identity: str) -> Step:
    rule, _, site = identity.partition("@")
    return Step(Candidate(rule, (site,), frozenset({site})), rule, 0)


def ratio(estimate: float) -> Ratio:
    """A sure ratio; 1 is one that cannot be told from no difference."""
    return Ratio(Interval(estimate, estimate - 0.01, estimate + 0.01), 0.5 if estimate == 1 else 1e-6)


@dataclass
class FakeLab:
    """Each step multiplies the latency by its factor; steps without a factor are invisible to the engine."""

    factors: dict[str, float]
    unbuildable: frozenset[str] = frozenset()
    company: dict[str, str] = field(default_factory=dict)  # steps that are possible only beside another
    needs: dict[str, str] = field(default_factory=dict)
    time: Callable[[], bool] = lambda: False
    builds: list[frozenset[str]] = field(default_factory=list)
    verdicts: dict[str, tuple[str, str, Ratio | None]] = field(default_factory=dict)
    groups: dict[str, str | None] = field(default_factory=dict)
    compared: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.baseline = Build("base", frozenset(), "", 1)

    def build(self, steps: Collection[str]) -> Build | None:
        steps = {*steps}
        while more := {self.needs[step] for step in steps if step in self.needs} - steps:
            steps |= more
        kept = frozenset(step for step in steps if self.company.get(step, step) in steps)
        self.builds.append(kept)
        if kept & self.unbuildable:
            return None
        return Build(",".join(sorted(kept)), kept, ",".join(sorted(kept & set(self.factors))), 1)

    def build_ahead(self, plans: object) -> None:
        """Nothing: there is no executor."""

    def why(self, failed: object) -> str:
        return "by design"

    def compare(self, builds: Sequence[Build]) -> dict[str, Ratio]:
        self.compared.append([build.key for build in builds])
        found = {}
        for build in builds:
            product = 1.0
            for identity in sorted(build.steps):
                product *= self.factors.get(identity, 1.0)
            found[build.key] = ratio(round(product, 6))
        return found

    def refuse(self, steps: Collection[str], reason: str, group: str | None = None, ratio: Ratio | None = None) -> None:
        self.groups |= dict.fromkeys(steps, group)
        self.verdicts |= dict.fromkeys(steps, ("refused", reason, ratio))

    def skip(self, steps: Collection[str], reason: str, group: str | None = None) -> None:
        self.verdicts |= dict.fromkeys(steps, ("skipped", reason, None))

    def credit(self, steps: Collection[str], group: str, ratio: Ratio) -> None:
        self.verdicts |= dict.fromkeys(steps, ("applied", group, ratio))

    def out_of_time(self) -> bool:
        return self.time()


def plan(lab: FakeLab, *identities: str, **options: Any) -> list[Build]:
    problem = Problem(cast(Any, None), [step(i) for i in identities], Budget(), 0.95, lab)
    return ByPass(**options).choose(problem)


def test_what_the_engine_fuses_itself_is_refused_untimed() -> None:
    lab = FakeLab({})
    assert plan(lab, "a@1", "b@1") == []
    assert lab.compared == []
    for identity in ("a@1", "b@1"):
        assert "the engine fuses this itself" in lab.verdicts[identity][1]


def test_a_group_that_the_engine_fuses_itself_is_refused_beside_one_that_pays() -> None:
    lab = FakeLab({"b@1": 0.8})
    best = plan(lab, "a@1", "b@1")[0]
    assert best.steps == {"b@1"}
    assert "the engine fuses this itself" in lab.verdicts["a@1"][1]
    assert lab.verdicts["b@1"][0] == "applied"


def test_what_is_possible_only_beside_other_passes_is_not_called_the_engines_own_work() -> None:
    lab = FakeLab({"a@1": 0.9, "b@1": 0.8, "b@2": 0.9}, company={"a@1": "b@1", "b@2": "a@1"})
    plans = plan(lab, "a@1", "b@1", "b@2")
    assert lab.verdicts["a@1"] == ("refused", NOT_ALONE, None)
    assert lab.verdicts["b@1"][0] == "applied"
    assert lab.verdicts["b@2"] == ("refused", NOT_ALONE, None)
    assert {"a@1", "b@1", "b@2"} in [build.steps for build in plans]


def test_a_group_bears_the_names_of_all_passes_that_were_measured_in_it() -> None:
    lab = FakeLab({"cut@1": 1.3}, needs={"fold@1": "cut@1"})
    assert plan(lab, "cut@1", "fold@1") == []
    assert lab.groups == {"cut@1": "cut", "fold@1": "fold with cut"}
    assert lab.verdicts["fold@1"][1] == "fold with cut together slow this engine down"


def test_gains_go_together_and_neutral_groups_are_left_out() -> None:
    lab = FakeLab({"a@1": 0.8, "b@1": 0.9, "c@1": 1.0})
    plans = plan(lab, "a@1", "b@1", "c@1")
    assert plans[0].steps == {"a@1", "b@1"}
    assert lab.verdicts["c@1"][:2] == ("refused", "no measurable gain: the interval includes 1")
    assert lab.verdicts["a@1"][2] is not None


def test_steps_that_pay_only_together_are_tried_together() -> None:
    lab = FakeLab({"a@1": 0.9, "b@1": 1.0})
    assert {frozenset({"a@1", "b@1"})} < {build.steps for build in plan(lab, "a@1", "b@1")}


def test_a_harmful_group_is_split_and_its_good_half_kept() -> None:
    lab = FakeLab({"a@1": 0.8, "a@2": 0.9, "a@3": 1.5, "a@4": 1.2})
    best = plan(lab, "a@1", "a@2", "a@3", "a@4")[0]
    assert best.steps == {"a@1", "a@2"}
    assert lab.verdicts["a@1"][0] == "applied"
    assert lab.verdicts["a@3"][0] == "refused"


def test_splitting_spends_no_more_builds_than_allowed() -> None:
    names = [f"a@{i}" for i in range(16)]
    lab = FakeLab(dict.fromkeys(names, 1.1))
    assert plan(lab, *names, splits=4) == []
    assert len(lab.builds) == 2 + 4  # everything, the one group, four halves
    assert {verdict for verdict, _, _ in lab.verdicts.values()} == {"refused"}


def test_what_is_built_in_the_end_never_holds_what_harms() -> None:
    lab = FakeLab({"a@1": 0.5, "b@1": 1.3})
    for build in plan(lab, "a@1", "b@1"):
        assert "b@1" not in build.steps


def test_a_group_that_cannot_be_built_costs_only_itself() -> None:
    lab = FakeLab({"a@1": 0.5, "b@1": 0.5}, unbuildable=frozenset({"b@1"}))
    assert [build.steps for build in plan(lab, "a@1", "b@1")] == [{"a@1"}]
    assert "cannot build" in lab.verdicts["b@1"][1]


def test_a_step_that_cannot_be_built_does_not_cost_the_others_of_its_pass() -> None:
    names = [f"a@{i}" for i in range(8)]
    lab = FakeLab(dict.fromkeys([*names, "b@1"], 0.9), unbuildable=frozenset({"a@5"}), needs={"b@1": "a@5"})
    (build,) = plan(lab, *names, "b@1")
    assert build.steps == {*names} - {"a@5"}
    assert "cannot build" in lab.verdicts["a@5"][1]
    assert {identity for identity, (verdict, *_) in lab.verdicts.items() if verdict == "refused"} == {"a@5", "b@1"}


def test_finding_what_cannot_be_built_spends_no_more_builds_than_allowed() -> None:
    names = [f"a@{i}" for i in range(16)]
    lab = FakeLab({}, unbuildable=frozenset(names))
    assert plan(lab, *names, repairs=5) == []
    assert len(lab.builds) == 1 + 5
    assert {verdict for verdict, *_ in lab.verdicts.values()} == {"refused"}
    assert set(lab.verdicts) == {*names}


def test_out_of_time_no_group_is_built_and_each_says_so() -> None:
    lab = FakeLab({"a@1": 0.5, "b@1": 0.5}, time=lambda: True)
    plan(lab, "a@1", "b@1")
    assert len(lab.builds) <= 2
    assert {verdict for verdict, _, _ in lab.verdicts.values()} == {"skipped"}
    assert all("time limit" in reason for _, reason, _ in lab.verdicts.values())
    assert set(lab.verdicts) == {"a@1", "b@1"}


def test_nothing_that_pays_gives_no_plan() -> None:
    assert plan(FakeLab({"a@1": 1.0, "b@1": 1.2}), "a@1", "b@1") == []


def test_every_step_gets_a_verdict() -> None:
    names = [f"{rule}@{site}" for rule in "abcd" for site in range(3)]
    lab = FakeLab(dict(zip(names, [0.9, 1, 1.1, 1, 1, 1, 1.2, 0.9, 1.3], strict=False)))
    plan(lab, *names)
    assert set(lab.verdicts) == set(names)


def test_equal_evidence_gives_equal_plans() -> None:
    names = [f"{rule}@{site}" for rule in "abcd" for site in range(2)]
    factors = dict(zip(names, [0.9, 0.95, 1.1, 0.8, 1, 1, 0.7, 1.3], strict=True))
    first, second = FakeLab(factors), FakeLab(factors)
    assert plan(first, *names) == plan(second, *names)
    assert first.verdicts == second.verdicts


def test_what_needs_a_step_that_cannot_be_built_is_lost_with_it_at_any_distance() -> None:
    chain = {"bad@1": (), "second@2": ("bad@1",), "third@3": ("second@2",)}
    steps = [dataclasses.replace(step(name), needs=needs) for name, needs in chain.items()]
    lab = FakeLab(
        {"good@4": 0.9, "third@3": 0.5},
        unbuildable=frozenset({"bad@1"}),
        needs={name: ground for name, needs in chain.items() for ground in needs},
    )
    problem = Problem(cast(Any, None), [*steps, step("good@4")], Budget(), 0.95, lab)
    (best,) = ByPass().choose(problem)
    assert best.steps == {"good@4"}
