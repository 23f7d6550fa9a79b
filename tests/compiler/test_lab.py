"""The planner's laboratory: what a build that fails as a whole falls back to."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
import torch
from torch import nn

from fxopt.compiler import lab as labs
from fxopt.compiler.context import Context
from fxopt.compiler.lab import EngineLab
from fxopt.compiler.search import Search, search
from fxopt.compiler.session import Measured, Session
from fxopt.contracts.candidate import Candidate, Fidelity, Step
from fxopt.contracts.cost import Drop, Interval
from fxopt.contracts.engine import Artifact
from fxopt.contracts.passes import Pass, View
from fxopt.contracts.planner import Ratio
from fxopt.contracts.target import Capabilities
from fxopt.data import Data
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.ir.statistics import Statistics
from fxopt.ir.twin import double
from fxopt.measure import Plan
from fxopt.registry import Registry
from fxopt.verify.fidelity import Evidence
from fxopt.verify.quality import Quality
from fxopt.verify.score import Run

aten = torch.ops.aten


@dataclass(frozen=True)
class ToClamp(Pass):
    """One step for each relu."""

    name: ClassVar[str] = "to_clamp"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.relu.default:
                yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        edit.replace(node, edit.call(aten.clamp_min.default, (node.args[0], 0.0)))


SHIFTS = (3e-2, 1e-4, 2e-4, 5e-2, 3e-4, 4e-2)  # of the relus, in order; the worst are neither the first nor the last


@dataclass(frozen=True)
class Shift(Pass):
    """Shifts each relu, which is not exact."""

    name: ClassVar[str] = "shift"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        relus = [node for node in program.calls if node.target == aten.relu.default]
        for node, shift in zip(relus, SHIFTS, strict=False):
            yield Candidate(
                self.name,
                (node.name,),
                frozenset({node.name}),
                parameters={"shift": shift},
                fidelity=Fidelity.APPROXIMATE,
            )

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        shifted = edit.call(aten.add.Tensor, (node.args[0], candidate.parameters["shift"]))
        edit.replace(node, edit.call(aten.relu.default, (shifted,)))


class NoEngines:
    """A workshop whose artifacts are empty folders."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.programs: dict[Path, Program] = {}

    def emit(self, engine: str, program: Program) -> Path:
        folder = self.path / program.digest.replace(":", "")[:20]
        folder.mkdir(exist_ok=True)
        Artifact(folder, ()).write_manifest(program.interface.to_json())
        self.programs[folder] = program
        return folder

    def fault(self, engine: str, artifact: Path, program: Program) -> str | None:
        return "it is off" if program is not self.programs[artifact] else None

    @contextmanager
    def judging(self, engine: str, artifact: Path, calls: object) -> Iterator[Run]:
        yield self.programs[artifact].run

    def signature(self, engine: str, artifact: Path) -> None:
        return None


@pytest.fixture
def lab(tmp_path: Path) -> EngineLab:
    registry = Registry()
    plugin = type("Plugin", (), {"fxopt_passes": lambda self: [ToClamp]})()
    registry.register(plugin, "test", "test")
    model = nn.Sequential(*(layer for _ in range(6) for layer in (nn.Linear(4, 4), nn.ReLU())))
    program = capture(export(model, (torch.randn(3, 4),)))
    found = search(program, registry.make_passes(None), registry)
    return EngineLab(cast(Any, NoEngines(tmp_path)), registry, "none", found, Plan(), Quality.made_up(program, Drop()))


def at_most(lab: EngineLab, clamps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only programs with at most so many clamps be sound."""

    def check(before: Program, after: Program, twin: Program) -> Evidence:
        count = sum(node.target == aten.clamp_min.default for node in after.calls)
        return Evidence(0.0, 1.0 if count > clamps else 0.0, 1e-7, 1e-7)

    monkeypatch.setattr(labs, "check_whole", check)


def grow(lab: EngineLab) -> None:
    """Let the rounding of each step be larger than that of the one before."""
    lab.search.evidence = {step.id: Evidence(0.0, index * 1e-7, 1e-7, 1e-7) for index, step in enumerate(lab.steps)}


def test_what_was_timed_against_the_baseline_is_known(lab: EngineLab) -> None:
    half, whole = (lab.build([step.id for step in steps]) for steps in (lab.steps[:3], lab.steps))
    assert half is not None
    assert whole is not None
    known = {build.key: Ratio(Interval(0.9, 0.8, 0.95), 0.001) for build in (half, whole)}
    sessions: list[list[str]] = []

    def session(variants: Any, plan: Plan, progress: Any) -> Session:
        sessions.append([name for name, *_ in variants])
        timed = {name: Measured(Interval(1, 1, 1), 1.0, known.get(name), False) for name in sessions[-1]}
        return Session(timed, Interval(1, 1, 1), {}, 1, sessions[-1][0])

    cast(Any, lab.workshop).session = session
    assert lab.compare([half]) == lab.compare([half]) == {half.key: known[half.key]}
    assert lab.compare([half, whole]) == lab.compare([whole, half]) == known
    assert lab.compare([whole]) == {whole.key: known[whole.key]}
    assert sessions == [[lab.baseline.key, half.key], [lab.baseline.key, whole.key]]


def test_samples_for_recipes_are_read_before_anything_is_done_beside(
    lab: EngineLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come from a user's code, which two threads must not call at once."""
    done: list[str] = []
    workshop, registry = cast(Any, lab.workshop), cast(Any, lab.registry)
    engine = SimpleNamespace(recipes={"one": "", "two": ""}, remedies=(), recipe_available=lambda recipe: None)
    monkeypatch.setattr(registry, "make_engine", lambda spec: engine)
    workshop.out_of_time = lambda: False
    workshop.calibration = lambda data: done.append("samples")
    workshop.recipe = lambda engine, recipe, program, data: done.append(recipe)
    lab.calib, lab.quality = cast(Any, "data"), Quality.made_up(lab.program, Drop(0.1))
    jobs = lab.recipe_jobs()
    assert done == ["samples"]
    for job in jobs:
        job()
    assert done == ["samples", "one", "two"]


@pytest.mark.parametrize("clamps", [1, 2, 3, 5])
def test_a_plan_that_fails_as_a_whole_loses_the_steps_that_round_most(
    lab: EngineLab, clamps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_most(lab, clamps, monkeypatch)
    grow(lab)
    everything = lab.build([step.id for step in lab.steps])
    assert everything is not None
    part = lab.keep(everything)
    assert part is not None
    assert part.steps == {step.id for step in lab.steps[:clamps]}
    assert set(lab.verdicts) == {step.id for step in lab.steps[clamps:]}
    assert all("in the plan, its rounding error" in verdict.reason for verdict in lab.verdicts.values())


def test_a_plan_of_which_no_part_is_sound_is_refused(lab: EngineLab, monkeypatch: pytest.MonkeyPatch) -> None:
    at_most(lab, 0, monkeypatch)
    grow(lab)
    everything = lab.build([step.id for step in lab.steps])
    assert everything is not None
    assert lab.keep(everything) is None
    assert set(lab.verdicts) == {step.id for step in lab.steps}


def test_a_sound_plan_stays_whole(lab: EngineLab, monkeypatch: pytest.MonkeyPatch) -> None:
    at_most(lab, 6, monkeypatch)
    grow(lab)
    everything = lab.build([step.id for step in lab.steps])
    assert everything is not None
    assert lab.keep(everything) is everything
    assert lab.verdicts == {}


def shifting(tmp_path: Path, drop: Drop, statistics: bool = False) -> EngineLab:
    """A lab with a step of `shift` for each relu, of which nobody has measured sensitivities, on data or made-up inputs."""
    registry = Registry()
    plugin = type("Plugin", (), {"fxopt_passes": lambda self: [Shift]})()
    registry.register(plugin, "test", "test")
    torch.manual_seed(0)
    layers = [layer for _ in SHIFTS for layer in (nn.Linear(4, 4, bias=False), nn.ReLU())]
    for layer in layers[::2]:
        layer.weight = nn.Parameter(torch.eye(4))
    # of three axes: no logits, in which equal shifts of all classes would cancel
    program = capture(export(nn.Sequential(*layers), (torch.randn(3, 2, 4),)))
    offered = Shift().propose(program, View(Shift.name))
    steps = [Step(candidate, Shift.name, index) for index, candidate in enumerate(offered)]
    data = Data.read(torch.randn(48, 2, 4), program.interface, "calib") if statistics else None
    context = Context(statistics=Statistics(data) if data else None)
    return EngineLab(
        cast(Any, NoEngines(tmp_path)),
        registry,
        "none",
        Search(program, program, double(program), steps),
        Plan(),
        Quality.made_up(program, drop),
        context,
    )


@pytest.mark.parametrize("statistics", [True, False])
def test_what_costs_most_is_given_back_also_where_sensitivities_are_not_known(tmp_path: Path, statistics: bool) -> None:
    lab = shifting(tmp_path, Drop(1.0, "%"), statistics)
    everything = lab.build([step.id for step in lab.steps])
    assert everything is not None
    part = lab.keep(everything)
    assert part is not None
    assert part.steps == {step.id for step, shift in zip(lab.steps, SHIFTS, strict=True) if shift < 1e-2}
    assert set(lab.search.sensitivity) == {step.id for step in lab.steps}


def test_what_costs_most_for_what_it_gains_is_given_back(tmp_path: Path) -> None:
    lab = shifting(tmp_path, Drop(1.0, "%"))
    everything = lab.build([step.id for step in lab.steps])
    assert everything is not None
    least, *_ = (step.id for _, step in sorted(zip(SHIFTS, lab.steps, strict=True), key=lambda pair: pair[0]))
    part = lab.keep(everything, gains={step.id: 1.0 for step in lab.steps} | {least: 1e-12})
    assert part is not None
    assert part.steps == {step.id for step, shift in zip(lab.steps, SHIFTS, strict=True) if shift < 1e-2} - {least}


def test_sensitivities_are_measured_only_where_something_must_be_given_back(tmp_path: Path) -> None:
    lab = shifting(tmp_path, Drop(50.0, "%"), True)
    everything = lab.build([step.id for step in lab.steps])
    assert everything is not None
    assert lab.keep(everything) is everything
    assert lab.search.sensitivity == {}


def test_inputs_without_a_sample_axis_are_not_cut(tmp_path: Path) -> None:
    registry = Registry()
    plugin = type("Plugin", (), {"fxopt_passes": lambda self: [Shift]})()
    registry.register(plugin, "test", "test")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    program = capture(export(model, (torch.randn(64),)))
    steps = [Step(c, Shift.name, index) for index, c in enumerate(Shift().propose(program, View(Shift.name)))]
    quality = Quality.made_up(program, Drop(1e-6, "%"))
    lab = EngineLab(
        cast(Any, NoEngines(tmp_path)),
        registry,
        "none",
        Search(program, program, double(program), steps),
        Plan(),
        quality,
    )
    everything = lab.build([step.id for step in steps])
    assert everything is not None
    assert lab.keep(everything) is None
    assert set(lab.search.sensitivity) == {step.id for step in steps}


def under_tunings(lab: EngineLab, tmp_path: Path) -> None:
    """Let builds have tunings, each in a folder of its own."""
    workshop, registry = cast(Any, lab.workshop), cast(Any, lab.registry)
    registry.make_engine = lambda spec: types.SimpleNamespace(lossy_options=("precision",))

    def under(artifact: Path, changes: Any) -> Path:
        folder = tmp_path / f"{artifact.name} {sorted(changes.items())}"
        folder.mkdir(exist_ok=True)
        Artifact(folder, (), options=changes).write_manifest(workshop.programs[artifact].interface.to_json())
        workshop.programs[folder] = workshop.programs[artifact]
        return folder

    workshop.under = under


def test_what_is_left_of_a_plan_under_tunings_runs_under_them(tmp_path: Path) -> None:
    lab = shifting(tmp_path, Drop(1.0, "%"))
    under_tunings(lab, tmp_path)
    everything = lab.build([step.id for step in lab.steps])
    assert everything is not None
    part = lab.keep(lab.under(everything, {"threads": 1}))
    assert part is not None
    assert 0 < len(part.steps) < len(everything.steps)
    assert part.tunings == {"threads": 1}


def test_tunings_add_up_and_what_is_known_of_a_build_holds_under_them(tmp_path: Path) -> None:
    lab = shifting(tmp_path, Drop(50.0, "%"))
    under_tunings(lab, tmp_path)
    build = lab.build([lab.steps[0].id])
    assert build is not None
    assert lab.keep(build) is build
    there = lab.under(lab.under(build, {"threads": 1}), {"spinning": False})
    assert there.tunings == {"threads": 1, "spinning": False}
    assert there.tunings_text == "spinning=False, threads=1"
    assert lab.drops[there.key] == lab.drops[build.key]
    assert lab.faults[there.key] is None
    assert lab.checked_against(there) is lab.programs[build.key]
    coarser = lab.under(build, {"precision": "bf16"})
    assert coarser.key not in lab.drops  # it is judged anew
    assert lab.lossy(coarser)
    assert lab.checked_against(coarser) is None


@pytest.mark.parametrize("changes", ["threads", {}, {"turbo": True}, {"threads": [1]}, None])
def test_what_is_no_tuning_is_the_engines_fault(changes: Any, lab: EngineLab) -> None:
    class Tells:
        lossy_options = ()

        def tunings(self, told: Any, dtypes: Any) -> Any:
            return [changes]

    registry: Any = lab.registry
    registry.make_engine = lambda spec: Tells()
    lab.context = replace(lab.context, capabilities=Capabilities(frozenset({"float32"})))
    (lab.artifacts[lab.baseline.key] / "manifest.json").unlink()
    program = lab.programs[lab.baseline.key]
    Artifact(lab.artifacts[lab.baseline.key], (), options={"threads": 2}).write_manifest(program.interface.to_json())
    assert lab.tunings(lab.baseline) == []
    assert lab.tunings_fault is not None


def test_a_ratio_to_a_plan_is_one_to_the_baseline_with_that_of_the_plan() -> None:
    plan, tuning = (
        Ratio(Interval(0.5, 0.4, 0.6), 0.01),
        Ratio(Interval(0.8, 0.7, 0.9), 0.03),
    )
    found = tuning.after(plan)
    assert (found.interval.estimate, found.interval.low, found.interval.high) == pytest.approx((0.4, 0.28, 0.54))
    assert found.p_value == 0.03
    same = Ratio(Interval(1.0, 1.0, 1.0), 1.0, equal=True)
    assert tuning.after(same) == tuning


@pytest.mark.parametrize(
    ("drop", "rate", "fault", "expected"),
    [
        (None, False, None, 0.0),  # nothing to be judged
        (None, False, "it crashed", math.inf),
        (0.5, False, None, 0.5),
        (0.5, True, None, 0.25),  # flips go with the root of divergences
        (-4.0, True, None, 0.0),  # it is better
        (3.0, False, "it loses too much", 3.0),
        (1.0, True, "its bound is over the budget", math.nextafter(1, 2)),
        (0.5, False, "it crashed", math.inf),
    ],
)
def test_the_excess_of_a_build_is_on_the_unit_of_sensitivities(
    drop: float | None, rate: bool, fault: str | None, expected: float
) -> None:
    found = types.SimpleNamespace(metric=types.SimpleNamespace(rate=rate))
    over = fault if fault and "crashed" not in fault else None
    quality = types.SimpleNamespace(excess=lambda _: drop, fault=lambda _: over)
    drops = {} if drop is None else {"b": found}
    lab = types.SimpleNamespace(fault=lambda _: fault, drops=drops, quality=quality)
    assert EngineLab.excess(lab, types.SimpleNamespace(key="b")) == expected  # type: ignore[arg-type]
