"""Which of what was measured may ship, and in which order."""

from __future__ import annotations

import types
from dataclasses import replace
from typing import Any, cast

import pytest

from fxopt.compiler.contest import Contender, ranked
from fxopt.compiler.session import Measured, Session
from fxopt.contracts.cost import Budget, Interval
from fxopt.contracts.planner import Build, Ratio

BASE = "a float"


def contender(engine: str, steps: int, size: int = 100, lossy: bool = False, drop: float | None = None) -> Contender:
    baseline = Build(f"{engine} base", frozenset(), None, 100)
    build = Build(f"{engine} {steps} {size}", frozenset(map(str, range(steps))), None, size) if steps else baseline
    drops = {} if drop is None else {build.key: types.SimpleNamespace(drop=drop)}
    lab = types.SimpleNamespace(lossy=lambda build: lossy, baseline=baseline, drops=drops)
    return Contender(engine, build, cast("Any", lab))


def measured(low: float, high: float, p_value: float = 1e-6) -> Measured:
    """At a latency of 10 ms for a ratio of 1."""
    ratio = Ratio(Interval((low + high) / 2, low, high), p_value)
    latency = Interval(5 * (low + high), 10 * low, 10 * high)
    return Measured(latency, latency.high, ratio, high < 1)


def order(
    budget: Budget, entries: dict[str, tuple[Contender, Measured]], base: Measured | None = None, size: int = 100
) -> list[str]:
    latency = Interval(10.0, 9.9, 10.1)
    first = Measured(latency, 10.1, None, False) if base is None else base
    contenders = {BASE: contender("a", 0), **{name: item for name, (item, _) in entries.items()}}
    variants = {BASE: first, **{name: item for name, (_, item) in entries.items()}}
    return ranked(budget, contenders, Session(variants, Interval(1.0, 0.99, 1.01), {}, 80, BASE))


@pytest.mark.parametrize(
    ("ratios", "best"),
    [
        ({"small": (0.90, 0.92), "large": (0.89, 0.91)}, ["small"]),
        ({"small": (0.90, 0.92), "large": (0.80, 0.82)}, ["large"]),
        ({"large": (0.89, 0.91)}, ["large"]),
        ({"small": (0.90, 0.92), "other": (0.95, 0.96)}, ["small", "other"]),
        ({"small": (0.98, 1.02)}, []),
    ],
)
def test_of_an_engines_exact_plans_the_smallest_stands_unless_a_larger_is_proven_faster(
    ratios: dict[str, tuple[float, float]], best: list[str]
) -> None:
    plans = {"large": contender("a", 9), "small": contender("a", 2), "other": contender("b", 5)}
    assert order(Budget(), {name: (plans[name], measured(*ends)) for name, ends in ratios.items()}) == [*best, BASE]


def test_of_plans_that_are_as_fast_what_loses_least_comes_first() -> None:
    found = order(
        Budget(),
        {
            "fastest": (contender("a", 9, lossy=True, drop=0.04), measured(0.500, 0.520)),
            "as fast": (contender("b", 8, lossy=True, drop=0.01), measured(0.505, 0.525)),
            "slower": (contender("c", 7, lossy=True, drop=0.0), measured(0.53, 0.55)),
            "exact": (contender("d", 6), measured(0.535, 0.555)),
        },
    )
    assert found == ["as fast", "fastest", "slower", "exact", BASE]


def test_plans_that_cost_quality_all_stay_the_fastest_first() -> None:
    found = order(
        Budget(),
        {
            "whole": (contender("a", 9, lossy=True), measured(0.50, 0.52)),
            "part": (contender("a", 5, lossy=True), measured(0.60, 0.62)),
        },
    )
    assert found == ["whole", "part", BASE]


def test_where_the_unmodified_model_breaks_a_limit_what_keeps_it_need_not_be_faster() -> None:
    slow = {"int4": (contender("a", 3, size=40, lossy=True), measured(1.1, 1.2))}
    assert order(Budget(max_size_bytes=50), slow)[0] == "int4"
    assert order(Budget(max_size_bytes=100), slow)[0] == BASE


def test_a_limit_on_latency_is_one() -> None:
    plans = {"int8": (contender("a", 3, lossy=True), measured(0.50, 0.52))}
    assert order(Budget(max_latency_ms=6.0), plans) == ["int8", BASE]


def test_where_nothing_keeps_the_limits_what_is_nearest_comes_first() -> None:
    plans = {
        "int8": (contender("a", 3, size=50, lossy=True), measured(0.50, 0.52)),
        "int4": (contender("a", 4, size=40, lossy=True), measured(1.1, 1.2)),
    }
    assert order(Budget(max_size_bytes=30), plans)[0] == "int4"
    assert order(Budget(max_latency_ms=4.0), plans)[0] == "int8"


def test_the_smallest_that_is_not_proven_slower_comes_first_where_size_is_minimized() -> None:
    plans = {
        "slow": (contender("a", 3, size=20, lossy=True), measured(1.1, 1.2)),
        "small": (contender("a", 4, size=30, lossy=True), measured(0.95, 1.05)),
        "fast": (contender("a", 5, size=60, lossy=True), measured(0.5, 0.6)),
    }
    assert order(Budget(minimize="size"), plans) == ["small", "fast", BASE, BASE]
    assert order(Budget(minimize="size", max_latency_ms=12.0), plans)[0] == "slow"


def test_a_plan_over_the_limit_on_memory_gives_way_to_one_that_keeps_it() -> None:
    large, small, unknown = (
        replace(contender("a", steps, lossy=True), peak_bytes=peak) for steps, peak in ((1, 200), (2, 90), (3, None))
    )
    entries = {
        "large": (large, measured(0.5, 0.52)),
        "small": (small, measured(0.6, 0.62)),
        "unknown": (unknown, measured(0.4, 0.42)),
    }
    assert order(Budget(max_memory_bytes=100), entries)[0] == "small"
    assert order(Budget(), entries)[0] == "unknown"


@pytest.mark.parametrize("first", ["with", "without"])
def test_of_plans_of_as_many_steps_the_faster_stands(first: str) -> None:
    def under(name: str) -> Contender:
        plain = contender("a", 2)
        return plain if name == "without" else replace(plain, build=replace(plain.build, key="set", tunings={"t": 1}))

    ratios = {"with": (0.85, 0.91), "without": (0.87, 0.93)}
    names = [first, *(ratios.keys() - {first})]
    assert order(Budget(), {name: (under(name), measured(*ratios[name])) for name in names}) == ["with", BASE]
