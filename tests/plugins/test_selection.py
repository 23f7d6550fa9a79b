"""Selections: the exact solver and the greedy one against all subsets."""

from __future__ import annotations

import itertools
import math
import os
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt_plugins.planners import selection as selections_of_planners
from fxopt_plugins.planners.selection import Option, Selection, exhaustive, greedy, milp

SOLVERS = [milp, greedy, exhaustive]


def selection(*latencies: float, **fields: object) -> Selection:
    """Options `a`, `b`, ... of these latencies, each of which loses 1."""
    names = (chr(ord("a") + index) for index in range(len(latencies)))
    return Selection({name: Option(ms, loss=1.0) for name, ms in zip(names, latencies, strict=True)}, **fields)  # type: ignore[arg-type]


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    """Regions with a few options each, neighbours that share boundaries, needs, and limits."""
    figure = st.integers(-8, 8).map(float)
    regions = draw(st.integers(1, 4))
    names: list[list[str]] = [[f"{r}{kind}" for kind in "xyz"[: draw(st.integers(1, 3))]] for r in range(regions)]
    options = {name: Option(draw(figure), draw(figure), abs(draw(figure))) for region in names for name in region}
    neighbours = [(f"{r}{kind}", f"{r + 1}{kind}") for r in range(regions - 1) for kind in "xyz"]
    shared = {pair: abs(draw(figure)) for pair in neighbours if set(pair) <= options.keys()}
    needs = {names[-1][0]: [names[0][0]]} if regions > 1 and draw(st.booleans()) else {}
    limit = st.one_of(st.just(math.inf), st.integers(-10, 10).map(lambda value: value + 0.5))
    return Selection(
        options,
        [frozenset(region) for region in names if len(region) > 1],
        needs,
        shared,
        draw(st.sampled_from(("latency", "size"))),
        draw(limit),
        draw(limit),
        abs(draw(limit)),
    )


@given(selections())
def test_the_program_finds_what_trying_all_finds(problem: Selection) -> None:
    best, found = exhaustive(problem), milp(problem)
    assert problem.possible(found.taken)
    assert found.feasible == best.feasible
    if best.feasible:
        assert found.objective == pytest.approx(best.objective, rel=1e-3, abs=1e-6)
        assert found.bound <= best.objective + 1e-6
    else:
        assert problem.excess(found.taken) == pytest.approx(problem.excess(best.taken), rel=1e-2, abs=1e-4)


@given(selections())
def test_the_greedy_one_gives_what_is_possible_and_no_worse_than_nothing(problem: Selection) -> None:
    found, best = greedy(problem), exhaustive(problem)
    assert problem.possible(found.taken)
    assert (problem.excess(found.taken), found.objective) <= (problem.excess(()), problem.objective(()) + 1e-9)
    if found.feasible:
        assert found.objective >= best.objective - 1e-9


@pytest.mark.parametrize("solve", SOLVERS)
def test_what_is_slower_is_left(solve: object) -> None:
    assert solve(selection(-2.0, 1.0, -3.0)).taken == {"a", "c"}  # type: ignore[operator]


@pytest.mark.parametrize("solve", SOLVERS)
def test_of_a_group_the_best_is_taken(solve: object) -> None:
    group = [frozenset("ab")]
    assert solve(selection(-2.0, -3.0, exclusive=group)).taken == {"b"}  # type: ignore[operator]


@pytest.mark.parametrize("solve", SOLVERS)
def test_the_limit_on_loss_leaves_what_brings_most(solve: object) -> None:
    assert solve(selection(-2.0, -3.0, -1.0, most_loss=2.0)).taken == {"a", "b"}  # type: ignore[operator]


@pytest.mark.parametrize("solve", [milp, exhaustive])
def test_neighbours_pay_only_together_where_their_boundary_is_dear(solve: object) -> None:
    """Greedily neither is ever taken."""
    problem = selection(1.0, 1.0, shared={("a", "b"): 3.0})
    assert solve(problem).taken == {"a", "b"}  # type: ignore[operator]
    assert greedy(problem).taken == frozenset()


def test_an_option_brings_what_it_needs() -> None:
    problem = selection(-5.0, 1.0, needs={"a": ["b"]})
    assert milp(problem).taken == exhaustive(problem).taken == greedy(problem).taken == {"a", "b"}


def test_where_no_choice_keeps_the_limits_the_nearest_is_given_and_said_to_be_none() -> None:
    problem = selection(-2.0, -3.0, most_latency=-10.0)
    for solve in SOLVERS:
        found = solve(problem)  # type: ignore[operator]
        assert not found.feasible
        assert found.taken == {"a", "b"}


def test_nothing_to_choose_from_is_nothing_taken() -> None:
    for solve in SOLVERS:
        assert solve(Selection({})).taken == frozenset()  # type: ignore[operator]


def test_too_many_subsets_are_refused() -> None:
    with pytest.raises(ValueError, match="17 options"):
        exhaustive(selection(*[-1.0] * 17))


def large(seed: int, regions: int, kinds: int) -> Selection:
    """A chain of regions; a kind pays more where its neighbours are of it too."""
    choose = random.Random(seed)
    options = {
        f"{r} {k}": Option(choose.uniform(-1, 0.3), choose.uniform(-10, 0), choose.uniform(0, 1) * 2 ** (k / 3))
        for r in range(regions)
        for k in range(kinds)
    }
    exclusive = [frozenset(f"{r} {k}" for k in range(kinds)) for r in range(regions)]
    shared = {
        (f"{r} {k}", f"{r + 1} {k}"): choose.uniform(0, 0.4)
        for r, k in itertools.product(range(regions - 1), range(kinds))
    }
    return Selection(options, exclusive, {}, shared, most_loss=regions / 8)


def test_three_hundred_regions_of_twelve_kinds_are_solved_to_within_a_percent() -> None:
    started = time.monotonic()
    found = milp(large(0, 300, 12), seconds=30.0)
    assert found.feasible
    assert found.gap <= 0.01 * abs(found.objective)
    assert time.monotonic() - started < 60  # it takes a few seconds; not a claim about this machine


def test_out_of_time_it_is_at_least_what_greed_finds_in_that_time() -> None:
    found = milp(large(1, 300, 12), seconds=0.01)
    assert found.taken
    assert found.objective < 0
    assert found.complete or found.gap >= 0


def test_what_a_solver_writes_is_not_the_programs_output(capfd: pytest.CaptureFixture[str]) -> None:
    with selections_of_planners._without_output():
        os.write(1, b"from C")
    os.write(1, b"from fxopt")
    assert capfd.readouterr().out == "from fxopt"


def test_greed_ends_when_time_is_over() -> None:
    found = greedy(large(1, 60, 4), seconds=0.0)
    assert len(found.taken) == 1
    assert not found.complete


@pytest.mark.parametrize("solve", SOLVERS)
def test_what_is_wrong_together_is_not_taken_together(solve: object) -> None:
    problem = selection(-2.0, -3.0, -1.0, forbidden=[frozenset("ab"), frozenset("abc")])
    assert solve(problem).taken == {"b", "c"}  # type: ignore[operator]
