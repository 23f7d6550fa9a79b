"""The planners that choose by prices, in a world whose figures are known: milliseconds, conversions, and losses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fxopt.contracts.cost import Budget, Interval
from fxopt.contracts.planner import NOTHING_KNOWN, Build, Foretold, Problem, Ratio
from fxopt.errors import InputError
from fxopt.registry import Registry
from fxopt.testing.planners import BASE_BYTES, ScriptedLab, nothing, scripted_step
from fxopt_plugins.planners.by_price import ByPrice, Exhaustive, Greedy, Milp
from fxopt_plugins.planners.market import SPREAD
from fxopt_plugins.planners.precision import RESOLUTION
from fxopt_plugins.planners.selection import Option, Selection, exhaustive
from tests.compiler.test_by_region import step

BASIS = scripted_step("exact@whole")
PLANNERS = [Milp(), Greedy(), Exhaustive()]
FLOATS_MS = 2.0  # of a region


@dataclass
class World(ScriptedLab):
    """A chain of regions, each in floats or in one of some kinds.

    Attributes:
        ms: of a region in a kind, by `KIND@REGION`.
        conversion_ms: at each end of an island of regions in one kind; a profile counts it for the region there.
        losses: what a region in a kind costs, in multiples of what the budget allows.
        profiled: whether the engine gives a profile.
        foretells: whether the target tells what a program takes.
        clock: what a build takes over what its profile shows.
        basis_ms: that the exact rewrites of the basis save, of each region.
        together: losses that sets of regions have beside their own.
        wrong_kinds: kinds that something else is wrong with, where all of a build is of them.
        heavier: bytes of each step of a build that nothing foretells.
        late: whether time is out, by how many judgements there were.
    """

    ms: Mapping[str, float] = field(default_factory=dict)
    conversion_ms: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    profiled: bool = True
    foretells: bool = False
    clock: float = 1.0
    basis_ms: float = 0.0
    together: Mapping[frozenset[str], float] = field(default_factory=dict)
    wrong_kinds: frozenset[str] = frozenset()
    heavier: int = 0
    late: int | None = None
    judgements: int = 0

    @property
    def regions(self) -> list[str]:
        return sorted({identity.partition("@")[2] for identity in self.ms})

    def parts(self, steps: Collection[str]) -> dict[str, float]:
        """What each region in a kind takes, with its conversions."""
        steps = [identity for identity in steps if identity != BASIS.id]
        kinds = {identity.partition("@")[2]: identity.partition("@")[0] for identity in map(plain, steps)}
        order = self.regions
        found = {}
        for index, region in enumerate(order):
            if (kind := kinds.get(region)) is not None:
                beside = [order[i] for i in (index - 1, index + 1) if 0 <= i < len(order)]
                ends = 2 - sum(kinds.get(other) == kind for other in beside)
                found[f"{kind}@{region}"] = self.ms[f"{kind}@{region}"] + ends * self.conversion_ms
        return found

    def latency(self, steps: Iterable[str]) -> float:
        taken = list(steps)
        parts, count = self.parts(taken), len(self.regions)
        slow = 0.0 if BASIS.id in taken else self.basis_ms * count
        lowered = sum(parts.values()) + FLOATS_MS * (count - len(parts))
        return ((lowered * (self.clock if parts else 1.0)) + slow) / ((FLOATS_MS + self.basis_ms) * count)

    def loss(self, steps: Iterable[str]) -> float:
        taken = {plain(identity) for identity in steps}
        beside = sum(loss for group, loss in self.together.items() if group <= taken)
        return sum(self.losses.get(identity, 0.0) for identity in taken) + beside

    def build(self, steps: Collection[str]) -> Build | None:
        build = super().build(steps)
        size = BASE_BYTES + sum(self.sizes.get(plain(identity), 0) + self.heavier for identity in steps)
        return build and replace(build, size_bytes=size)

    def compare(self, builds: Sequence[Build], to: Build | None = None) -> dict[str, Ratio]:
        self.compared.append([build.key for build in builds])
        found = {build.key: self.latency(build.steps) for build in builds}
        return {key: Ratio(Interval(r, r * 0.999, r * 1.001), 1e-9 if r != 1 else 0.5) for key, r in found.items()}

    def is_wrong(self, build: Build) -> bool:
        kinds = {plain(identity).partition("@")[0] for identity in build.steps}
        return bool(kinds) and kinds <= self.wrong_kinds

    def excess(self, build: Build) -> float:
        self.judgements += 1
        return math.inf if self.is_wrong(build) else self.loss(build.steps)

    def out_of_time(self) -> bool:
        return self.late is not None and self.judgements >= self.late

    def keep(self, build: Build, give_back: bool = True, gains: Mapping[str, float] = NOTHING_KNOWN) -> Build | None:
        self.judgements += 1
        if not give_back:
            return build if self.loss(build.steps) <= 1 and not self.is_wrong(build) else None
        kept = sorted(build.steps, key=lambda identity: self.losses.get(plain(identity), 0.0))
        while kept and self.loss(kept) > 1:
            kept.pop()
        return self.build(kept) if kept else None

    def step_times(self, build: Build) -> dict[str, float]:
        return {step(one).id: ms for one, ms in self.parts(build.steps).items()} if self.profiled else {}

    def node_times(self, build: Build) -> dict[str, float]:
        return dict.fromkeys(self.regions, FLOATS_MS) if self.profiled else {}

    def foretell(self, steps: Collection[str]) -> Foretold | None:
        if not self.foretells:
            return None
        parts = {step(one).id: ms for one, ms in self.parts(steps).items()}
        total = self.latency(steps) * FLOATS_MS * len(self.regions)
        order = self.regions
        kinds = {plain(one).partition("@")[2]: one for one in parts}
        pairs = [(kinds[a], kinds[b]) for a, b in itertools.pairwise(order) if a in kinds and b in kinds]
        alike = frozenset((min(pair), max(pair)) for pair in pairs)
        return Foretold(total, 0.05, parts, dict.fromkeys(order, FLOATS_MS), alike)


def plain(identity: str) -> str:
    """The id that a test gave, without the digest."""
    return identity.rpartition(".")[0] if "." in identity else identity


def problem(world: World, budget: Budget | None = None, sensitivity: Mapping[str, float] | None = None) -> Problem:
    offers = [step(identity) for identity in world.ms]
    world.factors = {offer.id: 1.0 for offer in offers}
    basis = [BASIS] if world.basis_ms else []
    world.factors |= {one.id: 1.0 for one in basis}
    return Problem(
        nothing(),
        basis,
        budget or Budget(),
        0.95,
        world,
        basis=basis,
        offers=offers,
        native=sorted({identity.partition("@")[0] for identity in world.ms}),
        sensitivity={step(i).id: loss for i, loss in (world.losses if sensitivity is None else sensitivity).items()},
        size_change={step(identity).id: change for identity, change in world.sizes.items()},
        latency_ms=(FLOATS_MS + world.basis_ms) * len(world.regions),
    )


def plan(planner: ByPrice, world: World, **fields: object) -> list[set[str]]:
    builds = planner.plan(problem(world, **fields))  # type: ignore[arg-type]
    return [{plain(identity) for identity in build.steps if identity != BASIS.id} for build in builds]


def chain(kind: str, *ms: float) -> dict[str, float]:
    return {f"{kind}@r{index}": each for index, each in enumerate(ms)}


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: planner.spec())
def test_each_region_gets_the_kind_that_is_fastest_there(planner: ByPrice) -> None:
    world = World({}, ms=chain("int8", 0.5, 1.8, 0.5, 2.5) | chain("bf16", 1.0, 1.0, 1.0, 1.9))
    assert plan(planner, world)[0] == {"int8@r0", "bf16@r1", "int8@r2", "bf16@r3"}


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: planner.spec())
def test_a_region_that_is_slower_in_each_kind_stays_in_floats_and_it_is_said_why(planner: ByPrice) -> None:
    world = World({}, ms=chain("int8", 0.5, 3.0, 0.5))
    assert plan(planner, world)[0] == {"int8@r0", "int8@r2"}
    verdict, reason, _ = world.verdicts[step("int8@r1").id]
    assert verdict == "refused"
    assert reason.startswith("slower by the engine's profile: 1.000 ms more than in floats")


@pytest.mark.parametrize(("aim", "taken"), [(0.8, {"int8@r1", "int8@r2"}), (1.0, {"int8@r0", "int8@r2"})])
def test_a_choice_aims_below_the_budget_since_it_is_the_one_that_samples_flatter_most(
    aim: float, taken: set[str]
) -> None:
    world = World({}, ms=chain("int8", 0.5, 0.9, 1.5), losses=chain("int8", 0.7, 0.5, 0.2))
    assert plan(Milp(aim=aim), world)[0] == taken


@pytest.mark.parametrize(("gain", "built"), [(0.06, False), (0.1, True)])
def test_a_choice_that_brings_less_than_a_fiftieth_of_the_plan_is_not_built(gain: float, built: bool) -> None:
    """The plan takes 4 of 12 ms, of which a fiftieth is 0.08 ms."""
    world = World({}, ms=chain("int8", 0.4, 0.4, 0.4, 0.4, 0.4) | {"bf16@r5": FLOATS_MS - gain})
    best, *_ = plan(Milp(), world)
    assert ("bf16@r5" in best) == built


@pytest.mark.parametrize("aim", ["0", "1.5", "nan"])
def test_an_aim_that_is_no_share_of_the_budget_is_bad_input(aim: str) -> None:
    with pytest.raises(InputError, match="aim is a share of the quality budget"):
        Registry.load().make_planner(f"milp{{aim={aim}}}")


def test_all_of_a_kind_that_keeps_the_budget_is_taken_however_near_it_is() -> None:
    world = World({}, ms=chain("int8", 0.5, 0.5), losses=chain("int8", 0.48, 0.48))
    assert plan(Milp(), world)[0] == set(world.ms)


@pytest.mark.parametrize("planner", PLANNERS, ids=lambda planner: planner.spec())
def test_the_budget_is_kept_by_what_costs_most_for_what_it_brings(planner: ByPrice) -> None:
    world = World({}, ms=chain("int8", 0.5, 0.5, 1.5, 0.5), losses=chain("int8", 0.3, 0.3, 0.9, 0.1))
    assert plan(planner, world)[0] == {"int8@r0", "int8@r1", "int8@r3"}
    assert "given back" in world.verdicts[step("int8@r2").id][1]


def test_losses_are_learned_from_what_was_judged_where_sensitivities_are_off_by_kind() -> None:
    true = chain("int8", 0.6, 0.6, 0.6, 0.6) | chain("bf16", 0.01, 0.01, 0.01, 0.01)
    told = {identity: loss * (0.01 if identity.startswith("int8") else 1.0) for identity, loss in true.items()}
    world = World({}, ms=chain("int8", 0.5, 0.6, 0.7, 0.8) | chain("bf16", 1.0, 1.0, 1.0, 1.0), losses=true)
    best, *_ = plan(Milp(), world, sensitivity=told)
    assert best == {"int8@r0", "bf16@r1", "bf16@r2", "bf16@r3"}


@pytest.mark.parametrize("foretells", [False, True])
def test_islands_are_not_split_for_less_than_their_conversions_cost(foretells: bool) -> None:
    ms = chain("int8", 0.5, 2.2, 0.5)
    world = World({}, ms=ms, conversion_ms=0.3, foretells=foretells)
    assert plan(Milp(), world)[0] == set(ms)
    if foretells:  # else it takes a build to find out
        assert len(world.builds) <= 4


def test_regions_of_an_engine_without_a_profile_are_taken_together() -> None:
    world = World({}, ms=chain("int8", 0.5, 3.0, 0.5) | chain("bf16", 1.9, 1.9, 1.9), profiled=False)
    assert plan(Milp(), world)[0] == set(chain("int8", 0, 0, 0))


def test_regions_of_an_engine_without_a_profile_are_told_apart_by_what_is_foretold() -> None:
    world = World({}, ms=chain("int8", 0.5, 3.0, 0.5), profiled=False, foretells=True)
    assert plan(Milp(), world)[0] == {"int8@r0", "int8@r2"}


def test_a_choice_that_turns_out_slower_than_a_kind_is_not_the_plan() -> None:
    world = World({}, ms=chain("int8", 0.5, 2.2, 0.5), conversion_ms=1.0)
    assert plan(Milp(), world)[0] == set(world.ms)


def test_size_is_minimized_where_the_latency_bears_it() -> None:
    world = World({}, ms=chain("int8", 1.0, 3.5, 2.5), sizes={"int8@r0": -5, "int8@r1": -30, "int8@r2": -20})
    assert plan(Milp(), world, budget=Budget(minimize="size"))[0] == {"int8@r0", "int8@r2"}


def test_a_limit_on_size_is_kept_at_the_least_latency() -> None:
    world = World({}, ms=chain("int8", 1.0, 2.5, 3.5), sizes={"int8@r0": -5, "int8@r1": -30, "int8@r2": -30})
    assert plan(Milp(), world, budget=Budget(max_size_bytes=BASE_BYTES - 30))[0] == {"int8@r0", "int8@r1"}


def test_what_an_engine_fails_at_is_refused_and_the_rest_is_planned() -> None:
    ids = [step(f"int8@r{index}").id for index in range(3)]
    world = World({}, ms=chain("int8", 0.5, 0.5, 0.5), unbuildable=frozenset({ids[1]}))
    assert plan(Milp(), world)[0] == {"int8@r0", "int8@r2"}
    assert "cannot build" in world.verdicts[ids[1]][1]


def test_exact_rewrites_that_pay_are_no_gain_of_lower_precision() -> None:
    world = World({}, ms=chain("int8", 1.5, 2.6, 2.6), basis_ms=1.0)
    assert plan(Milp(), world)[0] == {"int8@r0"}


def test_a_profile_that_takes_time_itself_is_brought_to_the_clock() -> None:
    world = World({}, ms=chain("int8", 1.5, 1.5, 1.5), clock=0.8)
    plan(Milp(), world)
    assert world.looks[0].objective == pytest.approx(3 * 1.5 * 0.8 - 3 * FLOATS_MS)


def test_where_a_limit_cannot_be_kept_on_paper_what_comes_nearest_is_built() -> None:
    world = World({}, ms=chain("int8", 0.5, 1.5, 3.0))
    assert plan(Milp(), world, budget=Budget(max_latency_ms=3.5))[0] == {"int8@r0", "int8@r1"}
    assert not world.looks[0].feasible


def test_a_kind_that_something_else_is_wrong_with_does_not_choke_the_others() -> None:
    losses = chain("int8", 0.26, 0.26, 0.26, 0.26) | chain("bf16", 0.01, 0.01, 0.01, 0.01)
    ms = chain("int8", 0.5, 0.6, 0.7, 0.8) | chain("bf16", 1.0, 1.0, 1.0, 1.0)
    world = World({}, ms=ms, losses=losses, wrong_kinds=frozenset({"bf16"}))
    assert plan(Milp(), world)[0] >= {"int8@r0", "int8@r1", "int8@r2"}
    slow = {name: each + 1.2 if name.startswith("int8") else each for name, each in ms.items()}
    behind = World({}, ms=slow, losses=losses, wrong_kinds=frozenset({"bf16"}))  # so that bf16 is looked into first
    assert plan(Milp(), behind)[0] >= {"int8@r0"}


def test_a_kind_that_is_behind_a_plan_of_another_is_not_looked_into_by_itself() -> None:
    losses = chain("int8", 0.9, 0.9, 0.1) | chain("bf16", 0.2, 0.2, 0.2)
    world = World({}, ms=chain("int8", 0.2, 0.2, 0.2) | chain("bf16", 1.7, 1.7, 1.7), losses=losses)
    plan(Milp(), world)
    alone = [look for look in world.looks if look.taken == {"bf16": 3}]
    assert [look.build for look in alone] == [None]


def test_a_kind_that_lost_nothing_is_not_taken_to_lose_as_others_do() -> None:
    true = chain("int8", 0.6, 0.6, 0.6, 0.6) | chain("bf16", 0.0, 0.0, 0.0, 0.0)
    told = {identity: 0.006 if identity.startswith("int8") else 1.0 for identity in true}
    world = World({}, ms=chain("int8", 0.5, 0.6, 0.7, 0.8) | chain("bf16", 1.0, 1.0, 1.0, 1.0), losses=true)
    assert plan(Milp(), world, sensitivity=told)[0] == {"int8@r0", "bf16@r1", "bf16@r2", "bf16@r3"}


def test_losses_that_do_not_add_up_are_found_out_choice_by_choice() -> None:
    losses, both = chain("int8", 0.1, 0.1, 0.1, 0.1), frozenset({"int8@r0", "int8@r1"})
    world = World({}, ms=chain("int8", 0.5, 0.5, 1.5, 1.8), losses=losses, together={both: 1.0})
    assert plan(Milp(), world)[0] in ({"int8@r0", "int8@r2", "int8@r3"}, {"int8@r1", "int8@r2", "int8@r3"})


def test_what_is_between_a_loss_that_keeps_the_budget_and_one_near_it_that_breaks_it_is_not_looked_into() -> None:
    class Steep(World):
        """A region more than 31 breaks the budget."""

        def loss(self, steps: Iterable[str]) -> float:
            return (len(self.parts(list(steps))) / 31.5) ** 2

    names = [f"int8@r{index:02}" for index in range(60)]
    world = Steep({}, ms={name: 0.5 + index / 99 for index, name in enumerate(names)}, losses=dict.fromkeys(names, 0.1))
    assert len(plan(Milp(), world)[0]) > 31 / 1.25
    judged = [look for look in world.looks if look.build]
    assert len(judged) <= 5, [(look.taken, look.excess) for look in judged]


def test_where_size_is_minimized_a_plan_that_is_surely_no_slower_is_among_those_handed_on() -> None:
    ms, sizes = chain("safe", 1.0, 1.0), dict.fromkeys(chain("safe", 0, 0), -10)
    for index, kind in enumerate("abcd"):
        ms |= chain(kind, 1.999 + index / 1e4, 1.999)
        sizes |= dict.fromkeys(chain(kind, 0, 0), index - 100)
    world = World({}, ms=ms, sizes=sizes)
    found = plan(Milp(), world, budget=Budget(minimize="size"))
    assert found[0] != set(chain("safe", 0, 0))
    assert any(world.latency(taken) < 0.9 for taken in found)


def test_what_builds_weigh_beside_their_tensors_is_learned() -> None:
    sizes = dict.fromkeys(chain("int8", 0, 0, 0), -20)
    world = World({}, ms=chain("int8", 0.5, 1.0, 1.5), sizes=sizes, heavier=3)
    best, *_ = plan(Milp(), world, budget=Budget(max_size_bytes=BASE_BYTES - 38))
    assert best == set(sizes)
    assert world.build([step(one).id for one in best]).size_bytes <= BASE_BYTES - 38  # type: ignore[union-attr]


def test_options_that_only_clash_with_other_kinds_stay_options() -> None:
    int8, *bf16 = (step(name).id for name in ("int8@r0", "bf16@r1", "bf16@r2"))
    clashes = tuple(frozenset({int8, other}) for other in bf16)
    ms = chain("int8", 0.5, 1.9, 1.9) | chain("bf16", 1.5, 1.0, 1.0)
    world = World({}, ms=ms, conflicts=clashes)
    assert plan(Milp(), world)[0] == {"bf16@r0", "bf16@r1", "bf16@r2"}
    assert world.verdicts[bf16[0]][0] == "applied"
    assert not any("cannot build" in reason for _, reason, _ in world.verdicts.values())


def test_out_of_time_little_more_is_judged() -> None:
    kinds = [f"k{index}" for index in range(8)]
    ms = {name: each for index, kind in enumerate(kinds) for name, each in chain(kind, 1 + index / 20, 1.0).items()}
    world = World({}, ms=ms, losses=dict.fromkeys(ms, 3.0), late=1)
    assert plan(Milp(), world) == []
    assert world.judgements <= 3


def test_a_kind_whose_kernels_are_those_of_floats_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    same = Ratio(Interval(1.0, 1.0, 1.0), 1.0, equal=True)
    monkeypatch.setattr(World, "compare", lambda self, builds, to=None: {build.key: same for build in builds})
    world = World({}, ms=chain("int8", 1.9, 2.1))
    assert plan(Milp(), world) == []
    assert world.looks == []


def test_choices_are_told() -> None:
    world = World({}, ms=chain("int8", 0.5, 3.0), losses=chain("int8", 2.0, 0.0))
    plan(Milp(), world)
    first = world.looks[0]
    assert (first.options, first.taken, first.most_loss, first.feasible, first.complete) == (
        2,
        {"int8": 1},
        math.inf,
        True,
        True,
    )
    assert first.objective == pytest.approx(-1.5, rel=0.4)
    assert first.excess == 2.0
    assert first.bound <= first.objective + 1e-6


@pytest.mark.parametrize(
    ("reached_ms", "rounds_more", "settled"),
    [(None, False, True), (1.75, False, True), (1.65, False, False), (1.65, True, True)],
)
def test_nothing_is_chosen_for_an_engine_whose_best_choice_is_behind_another_engine(
    reached_ms: float | None, rounds_more: bool, settled: bool
) -> None:
    """Its four regions take 2 ms together where floats take 8; prices may be off by a twentieth of that gain."""

    class Tuned(World):
        def tunings(self, build: Build) -> list[Build]:
            coarser = replace(build, key=f"{build.key} in 16 bits", rounded=True)
            return [coarser] if rounds_more and not build.rounded else []

    world = Tuned({}, ms=chain("int8", 0.5, 0.5, 0.5, 0.5), losses=dict.fromkeys(chain("int8", *[0.5] * 4), 0.2))
    plans = Milp().plan(replace(problem(world), reached_ms=reached_ms))
    assert bool(plans) == bool(world.judgements) == settled
    reasons = [reason for verdict, reason, _ in world.verdicts.values() if verdict == "refused"]
    assert (len(reasons) == 4 and all("1.7 ms" in reason for reason in reasons)) == (not settled)


@pytest.mark.parametrize(("reached_ms", "timed"), [(None, True), (1.61, True), (1.59, False)])
def test_nothing_is_timed_of_an_engine_that_is_far_behind_another_by_its_profile(
    reached_ms: float | None, timed: bool
) -> None:
    """Its four regions take 1.5 ms together where floats take 8; where the last brings nothing, it may stay in floats."""
    world = World({}, ms=chain("int8", 0.5, 0.25, 0.25, 0.5), losses=dict.fromkeys(chain("int8", *[0.5] * 4), 0.2))
    slower = replace(world, ms={**world.ms, "int8@r3": 3.0})
    for each, least in ((world, 1.5), (slower, 3.0)):  # behind is 1.25 times as long
        Milp().plan(replace(problem(each), reached_ms=reached_ms and reached_ms * least / 2))
        assert bool(each.compared) == timed
        reasons = {reason for verdict, reason, _ in each.verdicts.values() if verdict == "refused"}
        assert any(reason.startswith("by the engine's profile no choice takes less") for reason in reasons) == (
            not timed
        )


def test_too_many_options_to_try_all_is_bad_input() -> None:
    world = World({}, ms=chain("int8", *([0.5] * 23)))
    with pytest.raises(InputError, match="--planner exhaustive: 23 options .*use milp"):
        plan(Exhaustive(), world)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    ms = st.integers(1, 10).map(lambda tenths: tenths / 4)
    loss = st.integers(0, 8).map(lambda tenths: tenths / 8)
    count = draw(st.integers(1, 4))
    kinds = draw(st.sampled_from((["int8"], ["int8", "bf16"])))
    names = [f"{kind}@r{region}" for kind in kinds for region in range(count)]
    return World({}, ms={name: draw(ms) for name in names}, losses={name: draw(loss) for name in names})


@given(worlds())
@example(World({}, ms=chain("int8", 0.5, 1.75), losses=chain("int8", 1.0, 0.125)))
@example(World({}, ms=chain("int8", 2.0, 0.25, 0.25, 2.5), losses=chain("int8", 0.0, 0.875, 0.875, 0.25)))
def test_plans_keep_the_budget_and_the_best_is_near_the_best_there_is(world: World) -> None:
    """Without conversions prices are exact, so the plan is what trying all would give, but for what is within their doubt."""
    plans = plan(Milp(), world)
    truth = Selection(
        {name: Option(ms - FLOATS_MS, loss=world.losses[name]) for name, ms in world.ms.items()},
        [frozenset(name for name in world.ms if name.endswith(region)) for region in world.regions],
        most_loss=Milp().aim,
    )
    least = exhaustive(truth).objective
    reached = min((truth.latency(taken) for taken in plans), default=0.0)
    assert all(world.loss(taken) <= 1 for taken in plans)
    doubt = SPREAD * FLOATS_MS * math.sqrt(2 * len(world.regions))
    assert reached <= least + doubt + RESOLUTION * FLOATS_MS * len(world.regions)
