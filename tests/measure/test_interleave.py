"""Interleaving: on simulated machines for what it concludes, on real workers for what it survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxopt.errors import EngineError
from fxopt.measure import Comparison, Limits, Plan, Variant, measure
from fxopt.measure.interleave import TWIN, block_calls, interleave
from tests.measure.engines import artifact
from tests.measure.noise import Machine

QUICK = Plan(rounds=3, epochs=2)


DEFAULT = Plan()


def simulate(
    latencies: dict[str, float], seed: int = 0, plan: Plan = DEFAULT, **machine: float
) -> tuple[Comparison, Machine]:
    simulated = Machine(latencies, seed, **machine)
    return interleave(list(latencies), simulated.block, simulated.begin_epoch, plan), simulated


def test_a_hundred_no_ops_give_at_most_one_gain() -> None:
    found = [simulate({"reference": 1, "same": 1}, seed)[0].timings["same"].ratio for seed in range(100)]
    assert sum(r.faster for r in found if r) <= 1


def test_a_three_percent_slowdown_is_never_a_gain_and_mostly_seen() -> None:
    found = [simulate({"reference": 1, "slow": 1.03}, seed)[0].timings["slow"].ratio for seed in range(100)]
    assert sum(r.faster for r in found if r) == 0
    assert sum(r.slower for r in found if r) >= 90


def test_looking_often_does_not_inflate_false_gains() -> None:
    plan = Plan(rounds=10, epochs=10, confidence=0.9, resolution=0)
    runs = [simulate({"reference": 1, "same": 1}, seed, plan, placement=0.003)[0] for seed in range(200)]
    assert sum(run.p_values()["same"] <= 0.1 for run in runs) <= 28  # 20 expected at most


def test_a_plain_difference_is_decided_early() -> None:
    comparison, _ = simulate({"reference": 1, "fast": 0.7})
    assert comparison.rounds == Plan().rounds
    ratio = comparison.timings["fast"].ratio
    assert ratio is not None
    assert ratio.interval.low < 0.7 < ratio.interval.high


def test_decided_variants_leave_and_the_others_stay() -> None:
    comparison, machine = simulate({"reference": 1, "fast": 0.7, "near": 0.985}, noise=0.05)
    assert "fast" in machine.epochs[0]
    assert "fast" not in machine.epochs[1]
    assert "near" in machine.epochs[1]
    assert set(comparison.timings) == {"reference", "fast", "near"}
    assert set(comparison.p_values()) == {"fast", "near"}


def test_what_will_hardly_be_decided_leaves_early_and_gains_are_found_as_often() -> None:
    def runs(latency: float, together: bool) -> list[Comparison]:
        plan = Plan(epochs=3, comparisons=8, together=together)
        return [simulate({"reference": 1, "other": latency}, seed, plan)[0] for seed in range(60)]

    early, whole = (sum(run.rounds for run in runs(1, together)) for together in (False, True))
    assert early < whole / 2
    found, all_found = (sum(run.p_values()["other"] < 0.005 for run in runs(0.985, t)) for t in (False, True))
    assert found >= 0.9 * all_found > 40


def test_together_all_stay_until_all_are_decided() -> None:
    plan = Plan(together=True)
    _, machine = simulate({"reference": 1, "fast": 0.7, "same": 1}, noise=0.05, plan=plan)
    assert all("fast" in epoch for epoch in machine.epochs)
    assert len(machine.epochs) > 1
    decided, _ = simulate({"reference": 1, "fast": 0.7, "slow": 1.4}, plan=plan)
    assert decided.rounds == plan.rounds


def test_together_nobody_waits_for_what_will_hardly_be_decided_and_is_far_behind_another() -> None:
    def rounds(fast: float, other: float) -> int:
        latencies, plan = {"reference": 1, "fast": fast, "other": other}, Plan(together=True)
        return sum(simulate(latencies, seed, plan, noise=0.05)[0].rounds for seed in range(20))

    assert rounds(0.5, 1.0) < 0.6 * rounds(0.8, 1.0)
    assert rounds(0.5, 0.98) > 1.2 * rounds(0.5, 0.8)  # what may be decided is waited for


@pytest.mark.parametrize(("milliseconds", "calls"), [(0.001, 2000), (1, 6), (20, 3), (60, 2), (1000, 2)])
def test_a_block_has_few_calls_of_a_slow_model(milliseconds: float, calls: int) -> None:
    assert block_calls(1e6 * milliseconds) == calls


def test_it_need_not_be_decided_how_far_bases_are_apart() -> None:
    latencies, plan = {"first": 1.0, "second": 1.0, "plan": 0.7}, Plan(together=True)
    machine = Machine(latencies, 0, noise=0.05)
    found = interleave(list(latencies), machine.block, machine.begin_epoch, plan, bases=2)
    assert found.rounds == plan.rounds
    assert found.timings["plan"].ratio is not None
    alone = Machine({"first": 1.0, "second": 1.0}, 0, noise=0.05)
    assert interleave(["first", "second"], alone.block, alone.begin_epoch, plan, bases=2).rounds > plan.rounds


def test_together_what_is_decided_and_far_behind_leaves() -> None:
    latencies = {"first": 1.1, "second": 1, "eager": 4.0, "same": 1.0}
    machine = Machine(latencies, 0, noise=0.05)
    plan = Plan(together=True)
    found = interleave(list(latencies), machine.block, machine.begin_epoch, plan, bases=3)
    assert ["eager" in epoch for epoch in machine.epochs] == [True, *(False for _ in machine.epochs[1:])]
    assert len(machine.epochs) > 1
    assert all({"first", "second", "same"} <= set(epoch) for epoch in machine.epochs)
    ratio = found.timings["eager"].ratio
    assert ratio is not None
    assert ratio.interval.low < 4 < ratio.interval.high


def test_what_has_left_is_held_against_the_base_that_is_found_in_the_end() -> None:
    pace = {"first": (1.0, 1.3), "second": (1.1, 1.0), "eager": (4.0, 4.0), "same": (1.0, 1.3), TWIN: (1.0, 1.3)}
    rounds, noise = dict.fromkeys(pace, 0), np.random.default_rng(0)

    def block(name: str) -> Any:
        rounds[name] += 1
        early, late = pace[name]
        return np.full(20, 1e6 * (early if rounds[name] <= 20 else late) * noise.normal(1, 0.02)).astype(np.int64)

    found = interleave(["first", "second", "eager", "same"], block, plan=Plan(together=True), bases=3)
    assert found.base == "second"
    assert rounds["eager"] == 20 < rounds["same"]
    ratio = found.timings["eager"].ratio
    assert ratio is not None
    assert ratio.interval.estimate == pytest.approx(4 / 1.1, rel=0.05)


def test_of_several_bases_the_fastest_is_what_the_others_are_compared_with() -> None:
    latencies = {"first": 1.1, "second": 1.0, "third": 1.3, "plan": 0.9}
    machine = Machine(latencies, 0)
    found = interleave(list(latencies), machine.block, machine.begin_epoch, Plan(together=True), bases=3)
    assert found.base == "second"
    ratios = {name: timing.ratio.interval for name, timing in found.timings.items() if timing.ratio}
    assert set(ratios) == {"first", "third", "plan"}
    for name, interval in ratios.items():
        assert interval.low < latencies[name] < interval.high
    assert found.floor.interval.low < 1 < found.floor.interval.high


def test_the_fastest_base_is_found_in_pairs_whatever_the_machine_did_meanwhile() -> None:
    rounds = {"first": [1.0, 2.0, 3.0], "second": [0.9, 2.7, 2.1]}  # faster in two of three, but of a larger median
    turns = {
        name: iter([times[i % 3] for i in range(60)]) for name, times in (rounds | {TWIN: rounds["first"]}).items()
    }

    def block(name: str) -> np.ndarray:
        return np.full(5, next(turns[name]) * 1e6, np.int64)

    found = interleave(list(rounds), block, plan=Plan(rounds=60, epochs=1, together=True), bases=2)
    assert found.base == "second"


def test_more_comparisons_ask_for_more_evidence() -> None:
    few, _ = simulate({"reference": 1, "fast": 0.965})
    many, _ = simulate({"reference": 1, "fast": 0.965}, plan=Plan(comparisons=500))
    assert few.rounds < many.rounds


def test_processes_that_differ_twice_as_much_as_usual_make_no_gain() -> None:
    found = [simulate({"reference": 1, "same": 1}, seed, placement=0.006)[0] for seed in range(100)]
    assert sum(c.timings["same"].ratio.faster for c in found if c.timings["same"].ratio) <= 3


def test_a_slow_process_of_the_reference_makes_no_gain() -> None:
    machine = Machine({"reference": 1.03, "same": 1}, 0)
    machine.latencies[TWIN] = 1
    comparison = interleave(["reference", "same"], machine.block, machine.begin_epoch)
    ratio = comparison.timings["same"].ratio
    assert comparison.floor.faster
    assert ratio is not None
    assert not ratio.faster


def test_one_variant_alone_gets_its_latency_and_the_floor() -> None:
    comparison, _ = simulate({"reference": 5})
    assert comparison.timings["reference"].ratio is None
    assert comparison.timings["reference"].p99_ms > comparison.timings["reference"].latency_ms.estimate
    assert not comparison.floor.interval.excludes(1)


def test_order_is_drawn_from_the_seed() -> None:
    def order(seed: int) -> list[str]:
        names: list[str] = []
        machine = Machine({"reference": 1, "same": 1}, 0)

        def block(name: str) -> np.ndarray:
            names.append(name)
            return machine.block(name)

        interleave(["reference", "same"], block, machine.begin_epoch, Plan(seed=seed))
        return names

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)[:3]) == sorted(["reference", "same", TWIN])


def test_no_variant_is_always_the_first_to_start() -> None:
    _, machine = simulate({"reference": 1, "same": 1}, plan=Plan(rounds=5, epochs=20, resolution=0, together=True))
    assert {epoch[0] for epoch in machine.epochs} == {"reference", "same", TWIN}
    assert all(set(epoch) == {"reference", "same", TWIN} for epoch in machine.epochs)


def variant(name: str, kind: str, tmp_path: Path) -> Variant:
    return Variant(name, f"tests.measure.engines:{kind}", artifact(tmp_path / name))


def test_measures_real_processes(tmp_path: Path) -> None:
    variants = [variant("base", "Honest{work=100}", tmp_path), variant("much slower", "Honest{work=1000}", tmp_path)]
    seen: list[tuple[int, int]] = []
    plan = Plan(rounds=20, epochs=1)
    comparison = measure(variants, [np.ones(3)], plan=plan, progress=lambda *done: seen.append(done))
    ratio = comparison.timings["much slower"].ratio
    assert ratio is not None
    assert ratio.slower
    assert seen[-1] == (20, 20)
    np.testing.assert_array_equal(comparison.outputs["base"][0], np.full(3, 2))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("Segfaults", "run: was killed by SIGSEGV"),
        ("Hangs", "run: gave no answer in 1 s"),
        ("CrashesLater{work=1}", "time: was killed by SIGABRT"),
        ("IsFickle", "different outputs for the same inputs"),
    ],
)
def test_a_variant_that_fails_loses_itself_only(tmp_path: Path, kind: str, says: str) -> None:
    kinds = {"base": "Honest", "bad": kind, "good": "Honest"}
    variants = [variant(name, kind, tmp_path) for name, kind in kinds.items()]
    comparison = measure(variants, [np.ones(3)], plan=QUICK, limits=Limits(run_s=1))
    assert says in comparison.failures["bad"]
    assert set(comparison.timings) == {"base", "good"} == set(comparison.outputs)


def test_a_reference_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="SIGSEGV"):
        measure([variant("base", "Segfaults", tmp_path), variant("good", "Honest", tmp_path)], [np.ones(3)], plan=QUICK)
