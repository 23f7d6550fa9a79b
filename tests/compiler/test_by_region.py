"""The planner of precision, on a laboratory whose evidence is scripted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fxopt.contracts.candidate import Candidate, Step
from fxopt.contracts.cost import Budget
from fxopt.contracts.planner import NOTHING_KNOWN, Build, Foretold, Problem, Ratio
from fxopt.testing.planners import BASE_BYTES, ScriptedLab, nothing, scripted_ratio
from fxopt_plugins.planners.by_region import ByRegion


@dataclass
class Lab(ScriptedLab):
    """Steps also have sizes and losses; those that lose most are given back until the losses add up to no more than `limit`."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    limit: float = 1.0
    own: Mapping[str, float] = field(default_factory=dict)  # recipes, with the factors of their latency
    broken: frozenset[str] = frozenset()  # recipes and tunings that lose too much
    set: Mapping[str, float] = field(default_factory=dict)  # tunings, with the factor that they bring
    profile: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # by step: ms of its part, in floats
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # likewise, foretold
    spread: float = 0.1

    def build(self, steps: Any) -> Build | None:
        build = super().build(steps)
        if build is None:
            return None
        size = BASE_BYTES + sum(self.sizes.get(step, 0) for step in build.steps)
        return Build(build.key, build.steps, build.signature, size)

    def recipes(self) -> list[Build]:
        return [Build(name, frozenset({name}), name, BASE_BYTES // 2, name) for name in self.own]

    def tunings(self, build: Build) -> list[Build]:
        key = build.key
        return [
            replace(
                build,
                key=f"{key} {name}",
                signature=f"{key} {name}",
                tunings={**build.tunings, name: 1},
                rounded=name == "precision",
            )
            for name in self.set
            if name not in build.tunings
        ]

    def compare(self, builds: Sequence[Build], to: Build | None = None) -> dict[str, Ratio]:
        if to is None:
            return super().compare(builds)
        self.compared.append([build.key for build in builds])
        return {build.key: scripted_ratio(self.set[str(list(build.tunings)[-1])]) for build in builds}

    def latency(self, steps: Iterable[str]) -> float:
        (first, *_) = [*steps, ""]
        return self.own[first] if first in self.own else super().latency(steps)

    def keep(self, build: Build, give_back: bool = True, gains: Mapping[str, float] = NOTHING_KNOWN) -> Build | None:
        if build.recipe is not None:
            return None if build.recipe in self.broken else build
        if build.tunings:
            return None if self.broken & build.tunings.keys() else build
        if not give_back and sum(self.losses.get(step, 0.0) for step in build.steps) > self.limit:
            return None
        kept = sorted(build.steps, key=lambda step: self.losses.get(step, 0.0) / gains.get(step, 1.0))
        while kept and sum(self.losses.get(step, 0.0) for step in kept) > self.limit:
            self.refuse([kept.pop()], "it loses too much")
        return self.build(kept) if kept else None

    def foretell(self, steps: Any) -> Foretold | None:
        if not self.prices:
            return None
        taken = {step: self.prices[step][0] for step in steps}
        floats = {step.partition("@")[2].split(".")[0]: ms for step, (_, ms) in self.prices.items()}
        left = [
            ms for node, ms in floats.items() if not any(node == step.partition("@")[2].split(".")[0] for step in taken)
        ]
        return Foretold(sum(taken.values()) + sum(left), self.spread, taken, floats)

    def step_times(self, build: Build) -> dict[str, float]:
        return {step: self.profile[step][0] for step in build.steps if step in self.profile}

    def node_times(self, build: Build) -> dict[str, float]:
        return {step.partition("@")[2].split(".")[0]: floats for step, (_, floats) in self.profile.items()}


def step(identity: str, nodes: str | None = None) -> Step:
    """An offer `KIND@SITE`, about some nodes: its site, or those named."""
    rule, _, site = identity.partition("@")
    writes = frozenset((nodes or site).split())
    return Step(Candidate(rule, (site,), writes, parameters={"kind": rule}), rule, 0)


def plans(
    lab: Lab,
    offers: Iterable[Step],
    native: Iterable[str] = ("int8", "dynamic"),
    budget: Budget | None = None,
    latency_ms: float | None = None,
) -> list[set[str]]:
    offered = list(offers)
    lab.factors = {**{item.id: 1.0 for item in offered}, **lab.factors}
    ids = {item.candidate.site[0] + "@" + item.candidate.rule: item.id for item in offered}
    problem = Problem(
        nothing(),
        (),
        budget or Budget(),
        0.95,
        lab,
        offers=offered,
        native=list(native),
        size_change=lab.sizes,
        latency_ms=latency_ms,
    )
    found = ByRegion().plan(problem)
    names = {identity: f"{key.partition('@')[2]}@{key.partition('@')[0]}" for key, identity in ids.items()}
    return [{names.get(one, one) for one in plan.steps} for plan in found]


def script(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the ids that steps have."""
    return {step(identity).id: value for identity, value in values.items()}


INT8 = ("int8@a", "int8@b", "int8@c")


def test_a_kind_that_pays_is_planned_wherever_it_is_offered() -> None:
    lab = Lab(script(dict.fromkeys(INT8, 0.8)))
    assert plans(lab, map(step, INT8)) == [set(INT8)]
    assert {verdict for verdict, *_ in lab.verdicts.values()} == {"applied"}


def test_a_kind_that_brings_nothing_is_refused_with_its_ratio() -> None:
    lab = Lab(script({"int8@a": 1.2}))
    assert plans(lab, [step("int8@a")]) == []
    ((verdict, reason, ratio),) = lab.verdicts.values()
    assert (verdict, reason) == ("refused", "no gain: the whole model takes as long or longer")
    assert ratio is not None


def test_a_gain_within_the_noise_is_none() -> None:
    lab = Lab(script({"int8@a": 0.995}))
    assert plans(lab, [step("int8@a")]) == []
    ((verdict, reason, _),) = lab.verdicts.values()
    assert (verdict, reason) == ("refused", "no gain beyond the noise")


def test_a_kind_that_is_slower_as_a_whole_goes_on_where_the_profile_shows_it_faster() -> None:
    lab = Lab(
        script({"int8@a": 0.8, "int8@b": 1.5, "int8@c": 0.9}),
        profile=script({"int8@a": (1.0, 2.0), "int8@b": (4.0, 2.0), "int8@c": (1.0, 1.5)}),
    )
    assert plans(lab, map(step, INT8)) == [{"int8@a", "int8@c"}]
    assert lab.verdicts[step("int8@b").id][1].startswith("slower by the engine's profile")
    assert lab.verdicts[step("int8@a").id][0] == "applied"


@pytest.mark.parametrize("fault", ["unbuildable", "wrong"])
@pytest.mark.parametrize("bad", [{5}, {0, 31}])
def test_regions_at_fault_are_left_out_and_the_rest_of_the_kind_goes_on(fault: str, bad: set[int]) -> None:
    offers = [step(f"int8@n{index}") for index in range(32)]
    faulty = frozenset(offers[index].id for index in bad)
    lab = Lab({offer.id: 0.98 for offer in offers}, **{fault: faulty})  # type: ignore[arg-type]
    assert plans(lab, offers) == [{f"int8@n{index}" for index in range(32) if index not in bad}]
    assert {identity for identity, (verdict, *_) in lab.verdicts.items() if verdict == "refused"} == faulty
    assert all("the script says so" in lab.verdicts[identity][1] for identity in faulty)
    assert len(lab.builds) <= 2 + 2 * 5 * len(bad)


def test_of_regions_that_fail_together_one_is_left_out() -> None:
    pair = frozenset({step("int8@a").id, step("int8@c").id})
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), conflicts=(pair,))
    assert plans(lab, map(step, INT8)) == [{"int8@a", "int8@b"}]


def test_a_kind_that_fails_everywhere_costs_few_builds() -> None:
    offers = [step(f"int8@n{index}") for index in range(64)]
    lab = Lab({offer.id: 0.9 for offer in offers}, unbuildable=frozenset(offer.id for offer in offers))
    assert plans(lab, offers) == []
    assert len(lab.builds) <= 17
    assert lab.verdicts.keys() == {offer.id for offer in offers}
    assert all("the script says so" in reason for _, reason, _ in lab.verdicts.values())


def test_regions_at_fault_stay_refused_for_that_where_the_kind_brings_nothing() -> None:
    lab = Lab(script(dict.fromkeys(INT8, 1.1)), unbuildable=frozenset({step("int8@b").id}))
    assert plans(lab, map(step, INT8)) == []
    assert "cannot build" in lab.verdicts[step("int8@b").id][1]


def test_what_loses_most_is_given_back() -> None:
    losses = script({"int8@a": 0.2, "int8@b": 5.0, "int8@c": 0.3})
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), losses=losses)
    assert plans(lab, map(step, INT8)) == [{"int8@a", "int8@c"}]
    assert lab.verdicts[step("int8@b").id][:2] == ("refused", "it loses too much")


def test_what_loses_most_for_the_time_that_it_saves_is_given_back() -> None:
    losses = script({"int8@a": 0.4, "int8@b": 0.8, "int8@c": 0.3})
    profile = script({"int8@a": (1.0, 1.1), "int8@b": (1.0, 9.0), "int8@c": (1.0, 1.1)})
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), losses=losses, profile=profile)
    assert plans(lab, map(step, INT8)) == [{"int8@b"}]


def test_where_size_is_asked_for_what_loses_most_for_the_room_that_it_saves_is_given_back() -> None:
    losses = script({"int8@a": 0.4, "int8@b": 0.8, "int8@c": 0.3})
    sizes = script({"int8@a": -1, "int8@b": -20, "int8@c": -1})
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), losses=losses, sizes=sizes)
    assert plans(lab, map(step, INT8), budget=Budget(minimize="size")) == [{"int8@b"}]


def test_another_kind_is_laid_over_what_was_given_back() -> None:
    factors = script({"int8@a": 0.5, "int8@b": 0.5, "dynamic@b": 0.7})
    lab = Lab(factors, losses=script({"int8@b": 5.0}))
    found = plans(lab, map(step, ("int8@a", "int8@b", "dynamic@b")))
    assert {"int8@a", "dynamic@b"} in found
    assert all(not {"int8@b", "dynamic@b"} <= plan for plan in found)


def test_a_region_that_the_profile_shows_slower_goes_back_where_that_is_faster() -> None:
    factors = script({"int8@a": 0.5, "int8@b": 1.3})
    lab = Lab(factors, profile=script({"int8@a": (1.0, 3.0), "int8@b": (4.0, 2.0)}))
    assert plans(lab, map(step, ("int8@a", "int8@b"))) == [{"int8@a"}]
    assert lab.verdicts[step("int8@b").id][1] == "slower by the engine's profile: 2.000 ms more than in floats"


def test_a_region_that_looks_slower_stays_where_the_whole_is_faster_with_it() -> None:
    factors = script({"int8@a": 0.5, "int8@b": 0.9})
    lab = Lab(factors, profile=script({"int8@a": (1.0, 3.0), "int8@b": (4.0, 2.0)}))
    assert plans(lab, map(step, ("int8@a", "int8@b"))) == [{"int8@a", "int8@b"}]


def test_recipes_that_pay_and_keep_the_budget_are_plans() -> None:
    lab = Lab({}, own={"good": 0.6, "slow": 1.4, "wrong": 0.3}, broken=frozenset({"wrong"}))
    assert plans(lab, []) == [{"good"}]


def test_kinds_that_only_save_room_are_not_built_for_speed() -> None:
    lab = Lab({}, sizes=script({"fp16@a": -50}))
    assert plans(lab, [step("fp16@a")]) == []
    assert lab.builds == []
    ((verdict, reason, _),) = lab.verdicts.values()
    assert verdict == "skipped"
    assert "this engine does not compute in it here" in reason


@pytest.mark.parametrize("budget", [Budget(minimize="size"), Budget(max_size_bytes=60)])
def test_they_are_where_size_is_asked_for(budget: Budget) -> None:
    lab = Lab({}, sizes=script({"fp16@a": -50, "int8@a": -10}))
    found = plans(lab, map(step, ("fp16@a", "int8@a")), budget=budget)
    assert found[0] == {"fp16@a"}


def test_where_the_best_kinds_lose_too_much_the_next_are_tried() -> None:
    kinds = ("int4@a", "int8@a", "kmeans@a", "fp16@a")
    lab = Lab(
        {},
        sizes=script({kind: -80 + 10 * index for index, kind in enumerate(kinds)}),
        losses=script(dict.fromkeys(kinds[:3], 5.0)),
    )
    assert plans(lab, map(step, kinds), native=[*(k[:-2] for k in kinds)], budget=Budget(minimize="size")) == [
        {"fp16@a"}
    ]


def test_a_kind_within_a_limit_is_tried_before_faster_ones_beyond_it() -> None:
    factors = script({"int8@a": 0.5, "dynamic@a": 0.6, "int4@a": 1.4})
    sizes = script({"int8@a": -10, "dynamic@a": -10, "int4@a": -60})
    lab = Lab(factors, sizes=sizes)
    found = plans(
        lab,
        map(step, ("int8@a", "dynamic@a", "int4@a")),
        native=("int8", "dynamic", "int4"),
        budget=Budget(max_size_bytes=60),
    )
    assert {"int4@a"} in found


def test_the_limit_on_latency_comes_before_size() -> None:
    kinds = {"int4@a": (3.0, -60), "hash@a": (3.0, -50), "int8@a": (0.9, -40)}
    lab = Lab(script({k: f for k, (f, _) in kinds.items()}), sizes=script({k: s for k, (_, s) in kinds.items()}))
    budget = Budget(minimize="size", max_latency_ms=15.0)
    found = plans(lab, map(step, kinds), native=("int4", "hash", "int8"), budget=budget, latency_ms=10.0)
    assert found[0] == {"int8@a"}


def test_where_no_kind_keeps_the_limit_on_size_plans_show_how_near_one_can_come() -> None:
    lab = Lab(script({"int4@a": 1.4, "int8@a": 1.2}), sizes=script({"int4@a": -60, "int8@a": -40}))
    found = plans(lab, map(step, ("int4@a", "int8@a")), native=("int4", "int8"), budget=Budget(max_size_bytes=1))
    assert found == [{"int4@a"}, {"int8@a"}]


def test_under_a_limit_on_size_what_is_laid_over_a_plan_has_to_save_room() -> None:
    lab = Lab({}, sizes=script({"int4@a": -60, "int4@b": -20, "int8@b": -15}), losses=script({"int4@b": 5.0}))
    offers = map(step, ("int4@a", "int4@b", "int8@b"))
    found = plans(lab, offers, native=("int4", "int8"), budget=Budget(max_size_bytes=30))
    assert found[0] == {"int4@a", "int8@b"}


def test_out_of_time_nothing_is_built() -> None:
    lab = Lab(script({"int8@a": 0.5}), time=lambda: True)
    assert plans(lab, [step("int8@a")]) == []
    assert lab.builds == []
    assert lab.verdicts[step("int8@a").id][0] == "skipped"


def test_all_plans_stand_on_the_whole_basis() -> None:
    basis = step("fold@x")
    lab = Lab(script({"int8@a": 0.5}))
    problem = Problem(nothing(), (), Budget(), 0.95, lab, basis=[basis], offers=[step("int8@a")], native=["int8"])
    (plan,) = ByRegion().plan(problem)
    assert basis.id in plan.steps


def test_no_more_plans_are_handed_on_than_asked_for_the_best_of_them() -> None:
    own = {f"recipe{index}": 0.9 - index / 10 for index in range(5)}
    lab = Lab({}, own=own)
    problem = Problem(nothing(), (), Budget(), 0.95, lab)
    found = [plan.recipe for plan in ByRegion(plans=2).plan(problem)]
    assert found == ["recipe4", "recipe3"]


def found(lab: Lab, offers: Iterable[Step], budget: Budget | None = None) -> list[Build]:
    offered = list(offers)
    problem = Problem(nothing(), (), budget or Budget(), 0.95, lab, offers=offered, native=["int8"])
    return ByRegion().plan(problem)


def test_a_plan_is_handed_on_under_the_tunings_that_pay() -> None:
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), set={"threads": 0.7, "worse": 1.3, "pinned": 0.9})
    assert [(len(build.steps), dict(build.tunings)) for build in found(lab, map(step, INT8))] == [
        (3, {"threads": 1, "pinned": 1}),
        (0, {"threads": 1, "pinned": 1}),
    ]


def test_what_the_engine_rounds_more_under_a_tuning_is_handed_on_without_it_too() -> None:
    lab = Lab({}, own={"quick": 0.5}, set={"precision": 0.7})
    assert [(build.recipe, dict(build.tunings)) for build in found(lab, [])] == [
        ("quick", {"precision": 1}),
        ("quick", {}),
        (None, {"precision": 1}),
    ]


def test_a_tuning_that_brings_nothing_is_not_tried_again_but_a_precision_in_floats() -> None:
    lab = Lab({}, own={"quick": 0.5, "quicker": 0.4}, set={"useless": 1.1, "precision": 1.2, "threads": 0.7})
    assert [dict(build.tunings) for build in found(lab, [])] == [{"threads": 1}] * 3
    tried = [key for keys in lab.compared for key in keys]
    assert [key for key in tried if "useless" in key] == ["quicker useless"]
    assert [key for key in tried if "precision" in key] == ["quicker precision", "base precision"]


def test_the_unmodified_program_is_tried_under_tunings_where_nothing_pays() -> None:
    lab = Lab(script({"int8@a": 1.2}), set={"threads": 0.7})
    assert [(build.key, dict(build.tunings)) for build in found(lab, [step("int8@a")])] == [
        ("base threads", {"threads": 1})
    ]


def test_a_tuning_that_loses_too_much_is_none() -> None:
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), set={"precision": 0.7}, broken=frozenset({"precision"}))
    assert [dict(build.tunings) for build in found(lab, map(step, INT8))] == [{}]


def test_a_tuning_within_the_noise_is_none() -> None:
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), set={"threads": 0.999})
    assert [dict(build.tunings) for build in found(lab, map(step, INT8))] == [{}]


def test_tunings_are_not_tried_where_size_is_asked_for() -> None:
    lab = Lab(script(dict.fromkeys(INT8, 0.8)), sizes=script(dict.fromkeys(INT8, -10)), set={"threads": 0.5})
    assert [dict(build.tunings) for build in found(lab, map(step, INT8), Budget(minimize="size"))] == [{}]


def test_where_size_is_asked_for_one_plan_at_least_is_surely_no_slower() -> None:
    """What cannot be told from the unmodified model may turn out slower when it is confirmed, and then does not ship."""
    kinds = ("int4@a", "int8@a", "kmeans@a", "fp16@a")
    lab = Lab(script({"fp16@a": 0.8}), sizes=script({kind: -80 + 10 * index for index, kind in enumerate(kinds)}))
    names = [kind[:-2] for kind in kinds]
    found = plans(lab, map(step, kinds), native=names, budget=Budget(minimize="size"))
    assert {"fp16@a"} in found
    assert {"kmeans@a"} not in found


def test_a_kind_that_is_foretold_to_be_slower_for_sure_is_not_built() -> None:
    prices = script({"int8@a": (0.5, 1.0), "int8@b": (0.5, 1.0), "dynamic@a": (3.0, 1.0), "dynamic@b": (2.0, 1.0)})
    lab = Lab(script({"int8@a": 0.5}), prices=prices)
    assert plans(lab, map(step, ("int8@a", "int8@b", "dynamic@a", "dynamic@b"))) == [{"int8@a", "int8@b"}]
    assert all(not any("dynamic" in identity for identity in build) for build in lab.builds)
    verdict, reason, _ = lab.verdicts[step("dynamic@a").id]
    assert verdict == "refused"
    assert reason == "predicted to take 2.50 times as long as floats, for sure more than 1.88; not built"


def test_a_kind_that_brings_nothing_anywhere_by_its_profile_is_not_timed() -> None:
    profile = {"int8@a": (0.5, 1.0), "int8@b": (0.5, 1.0), "dynamic@a": (0.99, 1.0), "dynamic@b": (1.21, 1.0)}
    lab = Lab(script({"int8@a": 0.5}), profile=script(profile))
    assert plans(lab, map(step, profile)) == [{"int8@a", "int8@b"}]
    assert not any("dynamic" in key for keys in lab.compared for key in keys)
    verdict, reason, _ = lab.verdicts[step("dynamic@a").id]
    assert verdict == "refused"
    assert reason == "by the engine's profile it takes 1.10 times as long as floats; not timed as a whole"


@pytest.mark.parametrize("times", [(0.8, 1.3), (0.97, 0.98)])
def test_a_kind_that_brings_something_somewhere_by_its_profile_is_timed(times: tuple[float, float]) -> None:
    profile = script({"dynamic@a": (times[0], 1.0), "dynamic@b": (times[1], 1.0)})
    lab = Lab(script({"dynamic@a": 0.5}), profile=profile)
    plans(lab, map(step, ("dynamic@a", "dynamic@b")))
    assert any("dynamic" in key for keys in lab.compared for key in keys)


@pytest.mark.parametrize(("spread", "faster"), [(0.5, 2.0), (0.1, 0.2)])
def test_a_kind_that_may_be_faster_or_is_in_places_is_built(spread: float, faster: float) -> None:
    prices = script({"dynamic@a": (3.0, 1.0), "dynamic@b": (faster, 1.0)})
    lab = Lab(script({"dynamic@a": 0.5}), prices=prices, spread=spread)
    plans(lab, map(step, ("dynamic@a", "dynamic@b")))
    assert lab.builds
