"""Which engines are planned for, and which plans are measured once more."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fxopt.compiler import planning
from fxopt.compiler.contest import Contender
from fxopt.compiler.planning import _cost, _fastest_first, _finalists, _out_of_the_running, _reached_ms, scheme
from fxopt.contracts.candidate import Candidate, Step
from fxopt.contracts.cost import Budget
from fxopt.contracts.planner import Build
from fxopt.errors import EngineError
from fxopt.testing.planners import scripted_ratio

INTEGERS, FLOATS = "integers", "floats"


def run(budget: Budget | None = None, lossy: bool = True) -> Any:
    engines = {
        INTEGERS: SimpleNamespace(name=INTEGERS, quant_scheme=object()),
        FLOATS: SimpleNamespace(name=FLOATS, quant_scheme=None),
    }
    request = SimpleNamespace(budget=budget or Budget())
    return SimpleNamespace(engines=engines, quality=SimpleNamespace(lossy=lossy), request=request)


def first(**latency_ms: float) -> Any:
    """The first session: how long the unmodified model takes on each engine."""
    variants = {
        name: SimpleNamespace(latency_ms=SimpleNamespace(estimate=value, low=value))
        for name, value in latency_ms.items()
    }
    return SimpleNamespace(variants=variants)


def plan(
    ratio: float | None, *, lossy: bool = True, engine: str = INTEGERS, drop: float | None = None, steps: str = ""
) -> Contender:
    """A plan that takes so much of the unmodified model's latency; None: it was not timed. By default, of steps of its own."""
    build = Build(f"{ratio}", frozenset({steps or f"{ratio}"}), None, 1)
    ratios = {} if ratio is None else {build.key: scripted_ratio(ratio)}
    drops = {} if drop is None else {build.key: SimpleNamespace(drop=drop)}
    lab: Any = SimpleNamespace(ratios=ratios, lossy=lambda build: lossy, drops=drops)
    return Contender(engine, build, lab)


@pytest.mark.parametrize(
    ("floats_ms", "integers_ms", "made", "lossy", "out"),
    [
        (1.1, 1.0, (), True, None),
        (1.3, 1.0, (), True, FLOATS),
        (1.0, 1.9, (), True, None),  # on integers it may catch up
        (1.0, 2.1, (), True, INTEGERS),
        (1.0, 1.9, (), False, INTEGERS),
        (1.0, 1.0, (0.5,), True, FLOATS),  # no exact rewrite makes up for what a plan for another engine has brought
        (1.0, 1.0, (0.9,), True, None),
        (1.0, 1.0, (None,), True, None),
    ],
)
def test_engines_that_cannot_win_are_not_planned_for(
    floats_ms: float, integers_ms: float, made: tuple[float | None, ...], lossy: bool, out: str | None
) -> None:
    session, plans = first(floats=floats_ms, integers=integers_ms), [plan(ratio) for ratio in made]
    reasons = {name: _out_of_the_running(run(lossy=lossy), name, session, plans) for name in (INTEGERS, FLOATS)}
    assert [name for name, reason in reasons.items() if reason] == ([out] if out else [])
    assert all("times as long" in reason for reason in reasons.values() if reason)


class KindsLab:
    """A lab of one engine whose profile of the unmodified program takes 10 ms and of each kind so much; None: it is not built."""

    def __init__(self, kinds: dict[str, float | None]) -> None:
        steps = [
            Step(Candidate(kind, (f"n{index}",), frozenset({f"n{index}"}), parameters={"kind": kind}), kind, index)
            for index, kind in enumerate(kinds)
        ]
        self.search, self.context, self.kinds = SimpleNamespace(steps=steps), None, kinds
        self.baseline, self.asked = Build("baseline", frozenset(), None, 1), list[str]()

    def build_ahead(self, plans: list[list[str]]) -> None:
        self.ahead = plans

    def build(self, steps: list[str]) -> Build | None:
        (kind,) = steps[0].split("@")[:1]
        self.asked.append(kind)
        return None if self.kinds[kind] is None else Build(kind, frozenset(steps), None, 1)

    def kernels(self, build: Build) -> list[dict[str, Any]]:
        return [{"ms": 10.0 if build.key == "baseline" else self.kinds[build.key]}, {"ms": None}]


@pytest.mark.parametrize(
    ("kinds", "order"),
    [
        ({"int8": 3.0, "int4": 1.0}, ["second", "first", FLOATS]),  # it does not compute in int4
        ({"int8": 4.5}, ["first", "second", FLOATS]),
        ({"int8": None}, ["first", FLOATS, "second"]),
        ({}, ["first", FLOATS, "second"]),
    ],
)
def test_the_engine_that_is_fastest_on_integers_is_planned_for_first(
    monkeypatch: pytest.MonkeyPatch, kinds: dict[str, float | None], order: list[str]
) -> None:
    """By the engines' profiles: the first takes 10 ms in floats and 4 on integers, and the second 12 in floats."""
    looked: list[KindsLab] = []
    monkeypatch.setattr(planning, "_look_for_offers", lambda run, found, lab: looked.append(lab))
    monkeypatch.setattr(planning, "_native", lambda run, context: ["int8"])
    integers = {name: SimpleNamespace(name=name, quant_scheme=object()) for name in ("first", "second")}
    asked = run()
    asked.engines |= integers
    asked.progress = SimpleNamespace(phase=lambda text: nullcontext())
    asked.workshop = SimpleNamespace(out_of_time=lambda: False)
    labs: dict[str, Any] = {"first": KindsLab({"int8": 4.0}), FLOATS: KindsLab({}), "second": KindsLab(kinds)}
    found: Any = SimpleNamespace(steps=[])
    session = first(first=10.0, floats=11.0, second=12.0)
    assert _fastest_first(asked, found, labs, session) == order
    assert looked == [labs["first"], labs["second"]]
    assert labs["second"].asked == [kind for kind in kinds if kind == "int8"]


def test_an_engine_alone_is_not_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    monkeypatch.setattr(planning, "_look_for_offers", lambda run, found, lab: looked.append(lab))
    labs: dict[str, Any] = {INTEGERS: KindsLab({"int8": 4.0}), FLOATS: KindsLab({})}
    session = first(integers=10.0, floats=20.0)  # of which the second is out of the running
    assert _fastest_first(run(), SimpleNamespace(steps=[]), labs, session) == [INTEGERS, FLOATS]  # type: ignore[arg-type]
    assert looked == []


def test_where_size_is_asked_for_a_fast_plan_shuts_nobody_out() -> None:
    asked = run(Budget(minimize="size"))
    assert _out_of_the_running(asked, FLOATS, first(floats=1.0, integers=1.0), [plan(0.5)]) is None


def test_plans_that_are_clearly_slower_are_not_measured_once_more() -> None:
    best, near, slow, untimed = plan(0.5), plan(0.54), plan(0.6), plan(None)  # what they lose is not known
    exact = plan(0.9, lossy=False)
    assert _finalists(run(), [slow, best, exact, near, untimed], first(integers=1.0)) == [best, exact, near, untimed]


def test_a_slower_plan_leaves_where_two_others_are_faster_and_lose_no_more() -> None:
    best, near, second, third, safe = (
        plan(ratio, drop=drop) for ratio, drop in ((0.5, 0.03), (0.54, 0.05), (0.6, 0.03), (0.65, 0.03), (0.8, 0.0))
    )
    assert _finalists(run(), [third, best, second, near, safe], first(integers=1.0)) == [best, second, near, safe]


def test_a_plan_and_the_same_under_a_tuning_count_as_one_that_is_better() -> None:
    same = [plan(0.5, drop=0.03, steps="s"), plan(0.45, drop=0.03, steps="s")]
    safe, other = plan(0.6, drop=0.03), plan(0.55, drop=0.03)
    assert safe in _finalists(run(), [*same, safe], first(integers=1.0))
    assert safe not in _finalists(run(), [*same, safe, other], first(integers=1.0))


def test_plans_of_two_engines_are_held_against_each_other_by_their_latencies() -> None:
    there, here, near = plan(0.5), plan(0.9, engine=FLOATS), plan(0.92, engine=FLOATS)
    assert _finalists(run(), [there, here, near], first(integers=1.9, floats=1.0)) == [there, here, near]
    assert _finalists(run(), [there, here, near], first(integers=2.5, floats=1.0)) == [here, near]


@pytest.mark.parametrize("budget", [Budget(minimize="size"), Budget(max_size_bytes=10)])
def test_where_size_matters_no_plan_leaves_for_its_latency(budget: Budget) -> None:
    plans = [plan(0.5), plan(0.9)]
    assert _finalists(run(budget), plans, first(integers=1.0)) == plans


@pytest.mark.parametrize(
    ("ratios", "reached"),
    [((0.5, 0.54, 0.9), 0.55), ((0.5, 0.7), 0.7), ((0.5,), None), ((0.5, None), None), ((), None)],
)
def test_what_plans_of_other_engines_reach_is_what_leaves_no_finalist_beyond_it(
    ratios: tuple[float | None, ...], reached: float | None
) -> None:
    made = [plan(ratio, drop=0.01) for ratio in ratios]
    session = first(integers=1.0)
    assert _reached_ms(run(), made, session) == (reached and pytest.approx(reached))
    if reached is not None:
        late = plan(reached * 1.01, drop=0.01)
        assert late not in _finalists(run(), [*made, late], session)


def test_exact_plans_and_twins_under_tunings_do_not_say_what_is_reached() -> None:
    """A lossy plan may not keep its quality on unseen samples, nor what differs from it in threads alone."""
    session = first(integers=1.0)
    twins = [plan(0.5, steps="s"), plan(0.45, steps="s")]
    assert _reached_ms(run(), [*twins, plan(0.4, lossy=False)], session) is None
    assert _reached_ms(run(), [*twins, plan(0.6)], session) == pytest.approx(0.6)
    assert _reached_ms(run(Budget(minimize="size")), [*twins, plan(0.6)], session) is None


def offered(**costs: float) -> Any:
    """A search with an offer for each node named, fitted to data, that costs so much."""
    steps = [
        Step(Candidate("int8", (name,), frozenset({name}), fitted={"range": torch.ones(1)}), "int8", 0)
        for name in costs
    ]
    found = {step.id: cost for step, cost in zip(steps, costs.values(), strict=True)}
    return SimpleNamespace(steps=steps, sensitivity=found)


NOTHING_FOUND: Any = SimpleNamespace(steps=[])


def test_what_preparations_do_not_touch_is_known_to_cost_what_it_did() -> None:
    search = offered(a=1.0, b=2.0, c=4.0)
    assert _cost(search, NOTHING_FOUND, {"int8"}) == 7
    assert _cost(search, NOTHING_FOUND, {"int8"}, touched={"b", "elsewhere"}) == 5
    assert _cost(search, NOTHING_FOUND, {"int4_weight"}) == 0


def test_an_engine_whose_sums_cannot_be_tested_is_planned_for_without_integers() -> None:
    def fails(spec: str, wanted: Any) -> Any:
        raise EngineError("integers: emit: no such layer")

    notes: list[str] = []
    asked = run()
    asked.workshop, asked.progress = SimpleNamespace(scheme=fails), SimpleNamespace(note=notes.append)
    assert scheme(asked, INTEGERS) is None
    assert notes == [
        "nothing is put on integers for integers, whose sums cannot be tested: integers: emit: no such layer"
    ]
