"""`fxopt bisect`: planted faults in plans of 30 steps are found in few builds, and shown on a small program."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fxopt.bisect import reproducer as bisect_reproducer
from fxopt.bisect.search import Bisection, bisect
from fxopt.cli import main
from fxopt.compiler.session import Measured, Session
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.cost import Interval
from fxopt.contracts.planner import Ratio
from fxopt.registry import Registry
from tests.bisect import bisecting
from tests.bisect.bisecting import ON_TOP, STEPS, Chain, fault, write_out

aten = torch.ops.aten


@pytest.fixture(autouse=True)
def passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with bisecting.installed(monkeypatch):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch, bisecting.installed(patch):
        yield write_out(tmp_path_factory.mktemp("bisect") / "out", Chain(), torch.randn(2, 6))


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def named(*relus: str) -> tuple[str, ...]:
    return tuple(f"to_clamp@{relu}" for relu in relus)


def small(found: Bisection) -> list[Any]:
    """What the reproducer's program calls."""
    assert found.reproducer is not None
    culprit, _ = bisect_reproducer.read(found.reproducer)
    assert found.nodes is not None
    assert found.nodes[0] == len(culprit.program)
    return [node.target for node in culprit.program.calls]


# -- errors of the Program -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("relu", ["relu", "relu_13", "relu_29"])
def test_a_bad_step_is_found_without_building_anything_and_shown_on_its_one_node(out: Path, relu: str) -> None:
    fault.alone = {relu}
    found = bisect(out)
    assert found.regression
    assert (found.culprits, found.needed, found.planned) == (named(relu), (), STEPS + 1)
    assert (found.programs <= 8, found.builds) == (True, 0)
    assert found.whole is not None and found.alone is not None and found.without is not None
    assert found.whole.bad and found.alone.bad and found.without.value < 1e-5
    assert small(found) == [aten.relu.default]


def test_two_steps_neither_of_which_is_bad_alone_are_found_as_two(out: Path) -> None:
    fault.together = {"relu_4", "relu_21"}
    found = bisect(out)
    assert set(found.culprits) == set(named("relu_4", "relu_21"))
    assert small(found) == [aten.relu.default] * 2


def test_a_step_that_needs_another_is_named_apart_from_what_it_needs(out: Path) -> None:
    fault.on_top = True
    found = bisect(out)
    (culprit,) = found.culprits
    assert culprit.startswith(f"to_maximum@{ON_TOP}__")
    assert found.needed == named(ON_TOP)
    assert found.programs <= 8
    assert small(found) == [aten.relu.default]


def test_without_a_regression_one_line_says_so(out: Path) -> None:
    found = bisect(out)
    assert not found.regression
    (line,) = found.notes
    assert line.startswith("no regression: the outputs differ from the unmodified model's by ")
    assert not (out / "reproducers").exists()


def test_a_plan_without_steps_is_no_regression(out: Path) -> None:
    plan = json.loads((out / "plan.json").read_text())
    (out / "plan.json").write_text(json.dumps({**plan, "steps": []}))
    assert bisect(out, "latency").notes == ("the plan has no steps: OUT is the unmodified model",)


def test_a_plan_that_is_a_recipe_of_the_engine_has_no_steps_to_tell_apart(out: Path) -> None:
    plan = json.loads((out / "plan.json").read_text())
    (out / "plan.json").write_text(json.dumps({**plan, "steps": [], "recipe": "static"}))
    assert bisect(out).notes == ("the plan has no steps: OUT is what the engine's own static makes of the model",)


def test_a_plan_without_steps_says_which_tunings_it_has(out: Path) -> None:
    plan = json.loads((out / "plan.json").read_text())
    (out / "plan.json").write_text(json.dumps({**plan, "steps": [], "tunings": {"threads": 1}}))
    assert bisect(out).notes == ("the plan has no steps: OUT is the unmodified model, with threads=1",)


def test_passes_that_ask_how_the_engine_wants_its_integers_are_told_and_so_is_the_reproducer(tmp_path: Path) -> None:
    out = write_out(tmp_path / "out", Chain(3), torch.randn(2, 6), "quantizes")
    plan = json.loads((out / "plan.json").read_text())
    for step in plan["steps"]:
        step["candidate"]["fidelity"] = "approximate"
    (out / "plan.json").write_text(json.dumps(plan))
    bisecting.reset(scheme=True, alone={"relu_1"})
    found = bisect(out)
    assert found.culprits == named("relu_1")
    assert small(found) == [aten.relu.default]
    assert found.reproducer is not None
    culprit, _ = bisect_reproducer.read(found.reproducer)
    figure = bisect_reproducer.run(culprit, Registry.load())
    assert figure is not None and figure.bad


# -- errors of the artifact ------------------------------------------------------------------------------------------


def test_where_only_the_artifact_is_wrong_artifacts_are_compared_in_at_most_8_builds(tmp_path: Path) -> None:
    out = write_out(tmp_path / "out", Chain(), torch.randn(2, 6), "miscompiles")
    found = bisect(out)
    assert found.culprits == named("relu_11")
    assert found.builds <= 8
    assert "Miscompiles" in found.metric
    assert found.alone is not None and found.alone.value == pytest.approx(0.05, rel=0.01)
    assert small(found) == [aten.relu.default]


def test_an_engine_that_is_wrong_on_the_unmodified_model_too_is_no_fault_of_a_step(tmp_path: Path) -> None:
    out = write_out(tmp_path / "out", Chain(3), torch.randn(2, 6), "miscompiles_all")
    found = bisect(out)
    assert not found.regression
    assert found.notes[-1].startswith("no step causes it: ")


# -- latency ---------------------------------------------------------------------------------------------------------


class FakeClock:
    """Sessions in which a program with a slow step is `slower` times as slow; in that of the end not those that are `gone`."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, slower: float, width: float, gone: tuple[str, ...] = ()
    ) -> None:
        self.slower, self.width, self.gone = slower, width, gone
        monkeypatch.setattr(Workshop, "session", self.session)

    def session(self, variants: Any, plan: Any, progress: Any = None, bases: int = 1) -> Session:
        figures = {}
        for name, _, _, program in variants[1:]:
            slow = any(node.target == aten.neg.default for node in program.calls)
            ratio = self.slower if slow and name not in self.gone else 1.0
            interval = Interval(ratio, ratio - self.width, ratio + self.width)
            figures[name] = Measured(interval, 1.0, Ratio(interval, 0.0), False)
        return Session(figures, Interval(1, 1, 1), {}, 20, variants[0][0])


def test_a_slow_step_is_found_in_at_most_8_builds_and_measured_once_more(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.alone, fault.slow = {"relu_17"}, True
    FakeClock(monkeypatch, slower=1.1, width=0.01)
    found = bisect(out, "latency")
    assert found.culprits == named("relu_17")
    assert found.builds <= 8
    assert found.alone is not None and found.alone.interval == Interval(1.1, 1.1 - 0.01, 1.1 + 0.01)
    assert found.without is not None and found.without.value == 1.0
    assert small(found) == [aten.relu.default]


def test_what_the_interval_does_not_prove_is_no_regression(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.alone, fault.slow = {"relu_17"}, True
    FakeClock(monkeypatch, slower=1.1, width=0.11)
    found = bisect(out, "latency")
    assert not found.regression
    (line,) = found.notes
    assert line == "no regression beyond noise: 1.100 of the latency without it (0.990 to 1.210)"


def test_a_step_that_does_not_stand_on_fresh_measurements_is_not_named_as_the_cause(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.alone, fault.slow = {"relu_17"}, True
    FakeClock(monkeypatch, slower=1.1, width=0.01, gone=("alone",))
    found = bisect(out, "latency")
    assert found.regression
    assert found.culprits == ()
    assert found.notes[-1].startswith("no step is proven to cause it: to_clamp@relu_17 looked like it, but ")


def test_a_plan_that_does_not_stand_on_fresh_measurements_is_no_regression(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.alone, fault.slow = {"relu_17"}, True
    FakeClock(monkeypatch, slower=1.1, width=0.01, gone=("whole", "alone"))
    found = bisect(out, "latency")
    assert not found.regression
    assert found.culprits == ()
    assert found.notes[-1].startswith("no regression beyond noise: it looked like one, but measured afresh: 1.000 ")


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_a_step_that_is_really_slow_is_found_by_the_clock(tmp_path: Path) -> None:
    out = write_out(tmp_path / "out", Chain(2, 64), torch.randn(64, 64))
    fault.alone, fault.slow = {"relu"}, True
    found = bisect(out, "latency")
    assert found.culprits == named("relu")
    assert found.alone is not None and found.alone.value > 1.5
    assert found.reproducer is not None


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_names_the_step_and_its_reproducer_shows_the_fault_until_it_is_gone(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault.alone = {"relu_5"}
    assert main(["bisect", str(out)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("regression: relative error of the outputs, as PyTorch runs the rewritten program: ")
    assert lines[1] == f"this step causes it, 1 of {STEPS + 1}: to_clamp@relu_5"
    command = lines[-1].partition(": ")[2].split()
    assert command[:2] == ["fxopt", "reproduce"]
    assert json.loads((Path(command[2]) / "steps.json").read_text())["command"] == " ".join(command)
    assert main(command[1:]) == 1
    then, now = capsys.readouterr().out.splitlines()[-2:]
    assert then.removeprefix("then: ") == now.removeprefix("now: ")
    fault.alone = set()
    assert main(command[1:]) == 0
    assert "now: 0.0e+00" in capsys.readouterr().out


def test_json_is_all_that_is_printed_and_quality_is_the_output_error(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault.alone = {"relu_5"}
    assert main(["bisect", str(out), "--metric", "quality", "--json"]) == 3
    data = json.loads(capsys.readouterr().out)
    assert (data["steps"], data["needed"], data["planned"]) == (list(named("relu_5")), [], STEPS + 1)
    assert data["metric"].startswith("relative error of the outputs")
    assert data["nodes"][0] == 3


@pytest.mark.parametrize("missing", ["source.pt2", "baseline", "plan.json"])
def test_an_output_without_the_unmodified_model_or_the_plan_is_refused_in_one_line(
    out: Path, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["bisect", str(out)]) == 2
    error = capsys.readouterr().err
    assert missing in error
    assert error.count("\n") == 1


def test_evaluation_data_are_refused_where_there_is_no_quality(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bisect", str(out), "--eval", "data.npz"]) == 2
    assert "--eval" in capsys.readouterr().err
    assert main(["bisect", str(out), "--metric", "latency", "--eval", "data.npz"]) == 2
    assert "made-up inputs" in capsys.readouterr().err


def test_a_step_that_is_no_longer_offered_is_said_and_its_reproducer_shows_nothing(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault.alone = {"relu_5"}
    found = bisect(out)
    monkeypatch.setattr(bisecting.ToClamp, "propose", lambda self, program, view: iter(()))
    assert main(["reproduce", str(found.reproducer)]) == 0
    assert "not offered any more" in capsys.readouterr().out
    assert "left out, as their passes do not offer them here: to_clamp@relu, " in bisect(out).notes[0]


def test_a_damaged_reproducer_is_one_line(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fault.alone = {"relu_5"}
    found = bisect(out)
    assert found.reproducer is not None
    (found.reproducer / "before.fx").write_text("nothing")
    assert main(["reproduce", str(found.reproducer)]) == 2
    assert "damaged" in capsys.readouterr().err
