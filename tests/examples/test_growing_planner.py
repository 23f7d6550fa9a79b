"""The example of a planner keeps to the kit, plans offers as its page says, and stands there as it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from examples import growing_planner
from examples.growing_planner import Growing
from fxopt.contracts.cost import Budget
from fxopt.contracts.planner import Build, Problem
from fxopt.registry import Registry
from fxopt.testing import planner_checks
from fxopt.testing.planners import nothing
from tests.compiler.test_by_region import Lab, script, step
from tests.house.tree import ROOT


@pytest.mark.parametrize("check", planner_checks(Growing()))
def test_the_kit(check: Callable[[], None]) -> None:
    check()


def planned(lab: Lab, *identities: str) -> list[Build]:
    offers = [step(identity) for identity in identities]
    return Growing().plan(Problem(nothing(), (), Budget(), 0.95, lab, offers=offers, native=["int8", "dynamic"]))


def test_an_offer_for_the_same_nodes_stays_out() -> None:
    lab = Lab(script({"int8@a": 0.6, "dynamic@a": 0.5, "dynamic@b": 0.9}))
    best, *_ = planned(lab, "int8@a", "dynamic@a", "dynamic@b")
    assert best.steps == {step("int8@a").id, step("dynamic@b").id}
    assert lab.verdicts[step("dynamic@a").id][:2] == ("refused", "another step of the plan excludes it")


def test_what_costs_too_much_goes_back_and_other_kinds_only_save_room() -> None:
    lab = Lab(script({"int8@a": 0.6, "int8@b": 0.6, "fp16@c": 0.5}), losses=script({"int8@b": 5.0}))
    (plan,) = planned(lab, "int8@a", "int8@b", "fp16@c")
    assert plan.steps == {step("int8@a").id}
    assert [lab.verdicts[step(name).id][0] for name in ("int8@a", "int8@b", "fp16@c")] == [
        "applied",
        "refused",
        "skipped",
    ]


def test_recipes_are_plans_where_they_pay_and_keep_the_budget() -> None:
    lab = Lab({}, own={"good": 0.6, "slow": 1.4, "wrong": 0.3}, broken=frozenset({"wrong"}))
    assert [plan.recipe for plan in planned(lab)] == ["good"]


def test_it_is_the_planner_where_the_built_in_ones_are_left_out() -> None:
    registry = Registry.load(["planners"])
    registry.register(growing_planner, "example", "example")
    assert next(iter(registry.planners)) == "growing"


def test_stands_in_the_docs_as_it_is() -> None:
    source = (ROOT / "examples" / "growing_planner.py").read_text().split("\n\n", 1)[1]
    assert f"```python\n{source}```" in (ROOT / "docs" / "write-a-planner.md").read_text()
