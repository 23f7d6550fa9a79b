"""Seeded bugs of targets, engines and planners, each caught by the check that should catch it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fxopt import Artifact, Cost, Engine, Interval, Program
from fxopt.contracts.engine import Unsupported
from fxopt.contracts.planner import Build, Problem
from fxopt.contracts.target import Capabilities, Machine
from fxopt.testing import engines, planners, targets, zoo
from fxopt.testing.cases import words
from fxopt_plugins.engines.eager import Eager
from fxopt_plugins.planners.by_pass import ByPass
from fxopt_plugins.targets.cpu import Cpu

COUNT = itertools.count(1)


# -- targets ---------------------------------------------------------------------------------------------------------


class Infinite(Cpu):
    """Prices what it does not know at infinity."""

    def predict(self, program: Program, engine: Engine) -> Cost:
        return replace(super().predict(program, engine), latency_ms=Interval(float("inf"), 0, float("inf")))


class OutsideItsInterval(Cpu):
    """Has its bounds the wrong way round."""

    def predict(self, program: Program, engine: Engine) -> Cost:
        cost = super().predict(program, engine)
        return replace(cost, latency_ms=Interval(cost.latency_ms.estimate, cost.latency_ms.high, cost.latency_ms.low))


class Wavers(Cpu):
    """Never says the same twice."""

    def predict(self, program: Program, engine: Engine) -> Cost:
        return replace(super().predict(program, engine), size_bytes=next(COUNT))


class SlowerWithThreads(Cpu):
    """Counts what threads cost and not what they bring."""

    def predict(self, program: Program, engine: Engine) -> Cost:
        one = super().predict(program, replace(engine, threads=1))
        return replace(one, latency_ms=Interval(one.latency_ms.estimate * engine.threads, 0, 1e9))


class CountsCallsOnly(Cpu):
    """Prices large products below small ones."""

    def predict(self, program: Program, engine: Engine) -> Cost:
        return replace(super().predict(program, engine), latency_ms=Interval(1e6 / program.weight_bytes, 0, 1e9))


class Marks(Cpu):
    """Leaves its prices in the meta data of nodes."""

    def predict(self, program: Program, engine: Engine) -> Cost:
        for node in program.nodes:
            node.meta["price"] = 1.0
        return super().predict(program, engine)


class Nameless(Cpu):
    """Does not say which machine."""

    def machine(self) -> Machine:
        return replace(super().machine(), cpu="")


class UnknownDtypes(Cpu):
    """Has a dtype of its own."""

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), dtypes=frozenset({"float32", "float9"}))


# -- engines ---------------------------------------------------------------------------------------------------------


class Failing(Eager):
    """Cannot multiply matrices, and says so only in the middle of emission."""

    def emit(self, program: Program, out: Path) -> Artifact:
        for node in program.calls:
            if node.target is torch.ops.aten.linear.default:
                raise NotImplementedError("no kernel for linear")
        return super().emit(program, out)


class RefusesStrangers(Failing):
    """Says so before, of a node that is not there."""

    def unsupported(self, program: Program) -> list[Unsupported]:
        return [Unsupported("linear_0", "no kernel")]


class Rounds(Eager):
    """Computes in half precision."""

    def load(self, artifact: Artifact, stage: Any) -> Any:
        call = super().load(artifact, stage)
        return lambda inputs: [
            np.asarray(np.float16(v) * 1.01, v.dtype) if v.dtype.kind == "f" else v for v in call(inputs)
        ]


class WidensFloats(Eager):
    """Gives doubles."""

    def load(self, artifact: Artifact, stage: Any) -> Any:
        call = super().load(artifact, stage)
        return lambda inputs: [value.astype(float) for value in call(inputs)]


class FixesTheBatch(Eager):
    """Takes the batch size that it was measured with and no other."""

    def load(self, artifact: Artifact, stage: Any) -> Any:
        call = super().load(artifact, stage)

        def fixed(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            if inputs[0].shape[0] != 2:
                raise ValueError("expected 2")
            return call(inputs)

        return fixed


class ReusesItsOutputs(Eager):
    """Returns one buffer each time."""

    def load(self, artifact: Artifact, stage: Any) -> Any:
        call, kept = super().load(artifact, stage), []

        def into(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            values = call(inputs)
            if kept:
                for buffer, value in zip(kept, values, strict=True):
                    buffer[...] = value
            else:
                kept.extend(np.array(value) for value in values)
            return kept

        return into


class WritesItsInputs(Eager):
    """Computes in place."""

    def load(self, artifact: Artifact, stage: Any) -> Any:
        call = super().load(artifact, stage)

        def into(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
            found = [np.array(value) for value in call(inputs)]
            inputs[0][...] = 0
            return found

        return into


class ForgetsItsManifest(Eager):
    """Returns other options than it writes."""

    def emit(self, program: Program, out: Path) -> Artifact:
        return replace(super().emit(program, out), options={})


class ChangesThePrograms(Eager):
    """Zeroes weights once they are written."""

    def emit(self, program: Program, out: Path) -> Artifact:
        artifact = super().emit(program, out)
        for value in program.attributes.values():
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                value.zero_()
        return artifact


class OtherKernelsEachTime(Eager):
    """Reads back addresses."""

    def fused_kernels(self, artifact: Artifact) -> Any:
        return replace(super().fused_kernels(artifact), signature=str(next(COUNT)))


class TellsHalfBytes(Eager):
    """Reports its memory in other units."""

    def peak_bytes(self, artifact: Artifact, inputs: Any) -> Any:
        return 1.5


class DiesWhileItLoads(Eager):
    """Ends its process with a signal, as a segmentation fault does."""

    def load(self, artifact: Artifact, stage: Any) -> Any:
        os.abort()


class DiesWhenItIsCalled(Eager):
    """Loads, and ends its process with the first call."""

    def load(self, artifact: Artifact, stage: Any) -> Any:
        return lambda inputs: os.abort()


class CannotRunSo(Eager):
    """Names a tuning that it does not run under."""

    def tunings(self, told: Any, dtypes: Any) -> Any:
        return [{"threads": "many"}]


class MakesUpOptions(Eager):
    """Names a tuning that no artifact of its has."""

    def tunings(self, told: Any, dtypes: Any) -> Any:
        return [{"turbo": True}]


class SaysNothing(Eager):
    """Is not available, and does not say why."""

    @classmethod
    def available(cls) -> str | None:
        return "\n"


# -- planners --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Everything(ByPass):
    """Plans all steps, whatever they bring."""

    def plan(self, problem: Problem) -> list[Build]:
        super().plan(problem)
        everything = problem.lab.build([step.id for step in problem.steps])
        return [everything] if everything else []


class InventsSteps(ByPass):
    """Asks for steps that nobody offers."""

    def plan(self, problem: Problem) -> list[Build]:
        problem.lab.build(["magic@1"])
        return super().plan(problem)


class Tosses(ByPass):
    """Plans by the flip of a coin."""

    def plan(self, problem: Problem) -> list[Build]:
        return super().plan(problem) if next(COUNT) % 2 else []


class Keeps(ByPass):
    """Plans nothing, ever."""

    def plan(self, problem: Problem) -> list[Build]:
        return []


class WorstFirst(ByPass):
    """Gives its best plan last."""

    def plan(self, problem: Problem) -> list[Build]:
        single = [problem.lab.build([step.id]) for step in problem.steps]
        return sorted([build for build in single if build and problem.lab.compare([build])[build.key].interval.high < 1],
                      key=lambda build: -problem.lab.compare([build])[build.key].interval.estimate)  # fmt: skip


class BuildsOn(ByPass):
    """Does not look at the clock."""

    def plan(self, problem: Problem) -> list[Build]:
        for step in problem.steps:
            problem.lab.build([step.id])
        return super().plan(problem)


class OneBuildLost(ByPass):
    """Counts on every build."""

    def plan(self, problem: Problem) -> list[Build]:
        for step in problem.steps:
            assert problem.lab.build([step.id]) is not None
        return super().plan(problem)


TARGETS = [
    (Infinite(), targets.prices_are_sane, "estimate is inf"),
    (OutsideItsInterval(), targets.prices_are_sane, "lies outside"),
    (Wavers(), targets.prices_are_deterministic, "two copies"),
    (Marks(), targets.pricing_changes_nothing, "meta data"),
    (SlowerWithThreads(), targets.more_threads_are_not_slower, "on 1 threads and"),
    (CountsCallsOnly(), targets.more_work_is_not_cheaper, "eight times the arithmetic"),
    (Nameless(), targets.machine_is_described, "has no name"),
    (UnknownDtypes(), targets.capabilities_are_data, "'float9' is no dtype"),
]
ENGINES = [
    (Failing(threads=1), engines.failing_calls_are_reported_before_emission, zoo.unused_input, "no kernel for linear"),
    (RefusesStrangers(threads=1), engines.failing_calls_are_reported_before_emission, zoo.unused_input, "no node"),
    (Rounds(threads=1), engines.outputs_are_those_of_the_program, zoo.unused_input, "differs from the program's"),
    (WidensFloats(threads=1), engines.outputs_are_those_of_the_program, zoo.unused_input, "is float64"),
    (FixesTheBatch(threads=1), engines.other_sizes_are_taken, zoo.dynamic_batch, "with N=1 the call raised"),
    (ReusesItsOutputs(threads=1), engines.calls_stay_apart, zoo.unused_input, "written by the next call"),
    (WritesItsInputs(threads=1), engines.calls_stay_apart, zoo.unused_input, "written by the call"),
    (CannotRunSo(threads=1), engines.tunings_change_no_results, zoo.unused_input, "loading raised ValueError"),
    (
        MakesUpOptions(threads=1),
        engines.tunings_change_no_results,
        zoo.unused_input,
        "are no options of engine and artifact: .'turbo'",
    ),
    (ForgetsItsManifest(threads=1), engines.artifact_is_complete, zoo.unused_input, "another artifact"),
    (ChangesThePrograms(threads=1), engines.emitting_changes_nothing, zoo.unused_input, "other values"),
    (OtherKernelsEachTime(threads=1), engines.kernels_are_read_back_alike, zoo.unused_input, "the signatures"),
    (TellsHalfBytes(threads=1), engines.memory_is_told_in_bytes, zoo.unused_input, "1.5, which is no number of bytes"),
]
CRASHES = [
    (DiesWhileItLoads(threads=1), engines.failing_calls_are_reported_before_emission),
    (DiesWhenItIsCalled(threads=1), engines.outputs_are_those_of_the_program),
]
PLANNERS = [
    (Everything(), planners.what_harms_is_left_out, "no faster"),
    (Everything(), planners.choices_exclude_one_another, "plans several"),
    (Everything(), planners.limits_are_kept, "bytes are allowed"),
    (InventsSteps(), planners.an_empty_offer_gives_an_empty_plan, "was not among the steps"),
    (Tosses(), planners.equal_evidence_gives_equal_plans, "on equal evidence"),
    (Keeps(), planners.what_pays_is_planned, "it plans nothing"),
    (Keeps(), planners.every_step_gets_a_verdict, "gets no verdict"),
    (WorstFirst(), planners.what_harms_is_left_out, "not the first"),
    (BuildsOn(), planners.limits_are_kept, "out of time"),
    (OneBuildLost(), planners.conflicts_are_respected, "planning raised AssertionError"),
]


def names(cases: list[tuple]) -> list[str]:
    return [f"{type(bug).__name__}, {check.__name__}" for bug, check, *_ in cases]


@pytest.mark.parametrize(("bug", "check", "words"), TARGETS, ids=names(TARGETS))
def test_a_bug_in_a_target_is_caught(bug: Cpu, check: Callable, words: str) -> None:
    every = (Eager(threads=1), zoo.residual())
    count = check.__code__.co_argcount - 1
    with pytest.raises(AssertionError, match=words):
        check(bug, *every[:count])


@pytest.mark.parametrize(("bug", "check", "where", "words"), ENGINES, ids=names(ENGINES))
def test_a_bug_in_an_engine_is_caught(bug: Eager, check: Callable, where: Callable, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(bug, where())


def failed(cases: list[Any]) -> dict[str, str]:
    """What checks of engines find, by their name."""
    found = {}
    for case in (parameter.values[0] for parameter in cases):
        try:
            case()
        except AssertionError as fault:
            found[words(case.check)] = str(fault)
    return found


@pytest.mark.parametrize(("bug", "check"), CRASHES, ids=[type(bug).__name__ for bug, _ in CRASHES])
def test_an_engine_that_ends_its_process_fails_the_check_and_no_more(bug: Eager, check: Callable) -> None:
    cases = [case for case in engines.engine_checks(bug) if case.id.endswith(f"x {words(check)} x unused input")]
    assert failed(cases) == {words(check): "the process of the engine was killed by SIGABRT"}
    others = [case for case in engines.engine_checks(Eager(threads=1)) if case.id.endswith("x unused input")]
    assert failed(others) == {}
    assert len(others) == len(engines.CHECKS)


def test_where_an_engine_dies_in_emission_one_check_says_so() -> None:
    cases = [case for case in engines.engine_checks(DiesWhileItLoads(threads=1)) if case.id.endswith("x unused input")]
    assert list(failed(cases)) == ["failing calls are reported before emission"]


def test_an_engine_that_another_process_cannot_make_is_refused() -> None:
    class Local(Eager):
        """Stands in a function."""

    with pytest.raises(ValueError, match="at the top of a module that can be imported"):
        engines.engine_checks(Local())


def test_an_engine_that_does_not_say_what_is_missing_is_caught() -> None:
    with pytest.raises(AssertionError, match="not one line"):
        engines.availability_is_told(SaysNothing())


@pytest.mark.parametrize(("bug", "check", "words"), PLANNERS, ids=names(PLANNERS))
def test_a_bug_in_a_planner_is_caught(bug: ByPass, check: Callable, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check(bug)


def test_every_check_catches_a_bug() -> None:
    assert {check for _, check, _ in TARGETS} >= {*targets.CHECKS, *targets.MONOTONE}
    assert {check for _, check, *_ in ENGINES} == set(engines.CHECKS)
    caught = {check for _, check, _ in PLANNERS}
    assert caught == set(planners.CHECKS) - {planners.options_round_trip, planners.is_documented}
