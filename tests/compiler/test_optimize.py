"""Whole runs on a tiny network: what is written, what it computes, and that no engine can spoil a run."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fxopt
import fxopt.compiler.run as compiler
from fxopt.compiler.lockfile import Lockfile
from fxopt.compiler.replay import replay_plan
from fxopt.compiler.request import Request
from fxopt.compiler.session import Session
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.cost import Budget
from fxopt.errors import BudgetError, InputError
from fxopt.measure import Limits, Plan, worker
from fxopt.registry import Registry
from fxopt_plugins.targets.cpu import Cpu
from tests.compiler import engines

pytestmark = pytest.mark.usefixtures("few_rounds")

ORT = "onnxruntime{threads=1}"
ROOT = Path(__file__).parents[2]


class Net(nn.Module):
    """Two convolutions with batch norms that engines cannot fold, for the relu stands between; returns a dict."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4)
        )
        self.head = nn.Linear(4, 2)

    def forward(self, image: torch.Tensor) -> dict[str, Any]:
        y = self.body(image)
        return {"scores": self.head(y.mean((2, 3))), "maps": [y.relu() * 1]}


def optimize(out: Path, **options: Any) -> fxopt.Result:
    batch = torch.export.Dim("N", min=1, max=8)
    options = {"engine": ORT, "threads": 1, "budget": Budget(time_limit_s=15), **options}
    return fxopt.optimize(Net(), torch.randn(2, 3, 12, 12), dynamic_shapes=({0: batch},), out=out, **options)


@pytest.fixture(scope="module")
def finished(few_rounds: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return optimize(tmp_path_factory.mktemp("run") / "out").out


def documented() -> dict[str, set[str]]:
    """Keys by section of docs/ledger.md."""
    sections = re.split(r"^#+ ", (ROOT / "docs" / "ledger.md").read_text(), flags=re.MULTILINE)
    return {
        section.splitlines()[0]: set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
        for section in sections
        if section
    }


def ledger_of(out: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((out / "ledger.json").read_text())
    return data


# -- what is written ---------------------------------------------------------------------------------------------


def test_the_output_is_whole_and_the_journal_gone(finished: Path) -> None:
    assert {file.name for file in finished.iterdir()} == {
        *("model", "baseline", "source.pt2", "plan.json", "ledger.json", "report.html", "report.md")
    }


def test_the_ledger_has_the_documented_keys(finished: Path) -> None:
    ledger, keys = ledger_of(finished), documented()
    assert keys["The ledger"] - {"replay"} <= set(ledger)
    figures = keys["Figures"]
    assert figures - {"speedup", "ratio", "verdict", "unmet"} <= set(ledger["baseline"])
    assert figures <= set(ledger["result"])
    assert keys["Checks"] == set(ledger["checks"])
    assert all(keys["Variant"] == set(variant) for variant in ledger["variants"])


def test_a_busy_machine_is_said_and_measured_for_longer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans: list[Plan] = []
    session = Workshop.session

    def watched(self: Workshop, variants: Any, plan: Plan, *arguments: Any, **options: Any) -> Session:
        plans.append(plan)
        return session(self, variants, plan, *arguments, **options)

    monkeypatch.setattr(Workshop, "session", watched)
    monkeypatch.setattr(compiler, "NOISY", -1.0)
    notes = optimize(tmp_path / "out", budget=Budget()).ledger["notes"]
    assert [note for note in notes if "this machine is busy" in note]
    assert plans[-1].epochs == 2 * plans[-2].epochs


def test_every_rewrite_has_a_verdict_and_a_reason(finished: Path) -> None:
    entries = ledger_of(finished)["rewrites"]
    keys = documented()["Rewrite"]
    assert {entry["pass"] for entry in entries} >= {"fold_batch_norm", "remove_identities"}
    verdicts = keys & {"applied", "reverted", "refused", "skipped", "declined"}
    for entry in entries:
        assert entry["verdict"] in verdicts
        assert entry["reason"]
        if entry["verdict"] != "declined":
            assert keys - verdicts <= set(entry)
    ids = [entry["id"] for entry in entries if entry["verdict"] != "declined"]
    assert len(ids) == len(set(ids))


def test_the_plan_holds_the_applied_rewrites(finished: Path) -> None:
    plan = json.loads((finished / "plan.json").read_text())
    applied = {entry["id"] for entry in ledger_of(finished)["rewrites"] if entry["verdict"] == "applied"}
    assert {fxopt.Step.from_json(step).id for step in plan["steps"]} == applied


# -- what it computes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5])
def test_the_loaded_model_returns_what_the_model_returns(finished: Path, size: int) -> None:
    image = torch.randn(size, 3, 12, 12)
    loaded = fxopt.load(finished)
    with torch.no_grad():
        expected = Net().eval()(image)
    found, arrays, by_name = loaded(image), loaded(image.numpy()), loaded(image=image)
    assert set(found) == {"scores", "maps"}
    assert isinstance(found["maps"], list)
    for key in ("scores", "maps"):
        torch.testing.assert_close(found[key], expected[key], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(by_name[key], found[key])
    torch.testing.assert_close(torch.from_numpy(arrays["scores"]), found["scores"])


def test_the_loaded_model_names_the_input_that_does_not_fit(finished: Path) -> None:
    with pytest.raises(InputError, match="input image: axis 1 is 4, expected 3"):
        fxopt.load(finished)(torch.randn(1, 4, 12, 12))


# -- what goes wrong ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class TestTarget(Cpu):
    __test__ = False
    name = "test"
    engines = ("onnxruntime", "crashes_at_build", "crashes_at_run", "hangs", "lies", "is_missing")


@dataclasses.dataclass(frozen=True)
class CrashesFirst(TestTarget):
    name = "crashes_first"
    engines = ("crashes_at_run", "onnxruntime")


def with_engines(monkeypatch: pytest.MonkeyPatch, *classes: type[fxopt.Engine]) -> None:
    """Let runs find these engines, and targets that ask for them."""
    registry = Registry.load()
    plugin = type("Plugin", (), {})()
    plugin.fxopt_engines = lambda: list(classes)
    plugin.fxopt_targets = lambda: [TestTarget, CrashesFirst]
    registry.register(plugin, "test", "test")
    names, make = {engine.__name__: engine.name for engine in classes}, registry.make_engine

    def make_engine(spec: str) -> fxopt.Engine:
        """By a name too where the spec is an import path, which worker processes need."""
        path, brace, options = spec.partition("{")
        return make(names.get(path.rpartition(":")[2], path) + brace + options)

    monkeypatch.setattr(registry, "make_engine", make_engine)
    monkeypatch.setattr(Registry, "load", classmethod(lambda cls, without=(): registry))


def test_engines_that_crash_lie_or_are_missing_leave_the_run_going_on_and_the_ledger_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bad = (engines.CrashesAtBuild, engines.CrashesAtRun, engines.Lies, engines.IsMissing)
    with_engines(monkeypatch, *bad)
    result = optimize(tmp_path / "out", engine="auto", target="test", passes="fold_batch_norm")
    assert result.ledger["result"]["engine"] == "onnxruntime"
    said = result.ledger["engines"]
    assert said["onnxruntime"] == "available"
    for name, cause in {
        "crashes_at_build": "SIGABRT|signal|crash|died",
        "crashes_at_run": "SIGABRT|signal|crash|died",
        "lies": "outputs differ from PyTorch's",
        "is_missing": "not installed",
    }.items():
        assert re.search(cause, said[name]), said[name]
        assert "\n" not in said[name]


def test_an_engine_that_crashes_first_of_all_leaves_the_run_going_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_engines(monkeypatch, engines.CrashesAtRun)
    result = optimize(tmp_path / "out", engine="auto", target="crashes_first", passes="fold_batch_norm")
    assert result.ledger["result"]["engine"] == "onnxruntime"
    assert "SIGABRT" in result.ledger["engines"]["crashes_at_run"]


def test_an_engine_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_engines(monkeypatch, engines.Hangs)
    short = dataclasses.replace(Limits(), run_s=4.0)
    for module in (compiler, worker):
        monkeypatch.setattr(module, "Limits", lambda: short)
    result = optimize(tmp_path / "out", engine="auto", target="test", passes="fold_batch_norm")
    assert result.ledger["result"]["engine"] == "onnxruntime"
    assert "4" in result.ledger["engines"]["hangs"]


def test_a_missing_engine_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_engines(monkeypatch, engines.IsMissing)
    with pytest.raises(InputError, match="not installed; pip install"):
        optimize(tmp_path / "out", engine="is_missing")


def test_an_input_of_a_dtype_that_no_engine_takes_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="input input is bfloat16, which no engine takes"):
        fxopt.optimize(nn.Linear(2, 2).bfloat16(), torch.randn(3, 2).bfloat16(), engine="eager", out=tmp_path / "out")


def test_an_engine_runs_under_the_tunings_that_are_fastest_and_so_does_a_replay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_engines(monkeypatch, engines.FasterAlone)
    out = tmp_path / "out"
    ledger = optimize(out, engine="faster_alone", threads=2, passes="", budget=Budget()).ledger
    assert ledger["result"]["speedup"]["estimate"] > 1.5
    assert ledger["result"]["engine_options"]["threads"] == 1
    assert ledger["baseline"]["engine_options"]["threads"] == 2
    assert ledger["result"]["verdict"].startswith(
        "no rewrite pays; with threads=1 the unmodified model on faster_alone is"
    )
    entries = {entry["pass"]: entry for entry in ledger["rewrites"] if entry["pass"].startswith("faster_alone{")}
    assert entries["faster_alone{threads=1}"]["verdict"] == "applied"
    assert entries["faster_alone{threads=1}"]["latency_ratio"]["high"] < 0.7
    assert "cannot run so" in entries["faster_alone{spec=nonsense}"]["reason"]
    assert json.loads((out / "plan.json").read_text())["tunings"] == {"threads": 1}
    again = replay_plan(Request(str(out / "source.pt2"), tmp_path / "again"), Lockfile.read(out)).ledger
    assert again["result"]["engine_options"]["threads"] == 1
    assert again["result"]["verdict"].startswith("0 of 0 steps with threads=1 replayed on faster_alone: 0.")
    assert again["replay"]["differs"] == []


@pytest.mark.parametrize("told_by", [None, [{"turbo": True}]])
def test_an_engine_that_fails_to_tell_its_tunings_is_at_fault_and_the_run_goes_on(
    told_by: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(engines.FasterAlone, "tunings", lambda *told: told_by)
    with_engines(monkeypatch, engines.FasterAlone)
    (fault,) = optimize(tmp_path / "out", engine="faster_alone", passes="", budget=Budget()).ledger["faults"]
    assert fault.startswith("test: faster_alone failed to tell its tunings: ")


def test_an_option_of_the_engine_that_was_typed_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_engines(monkeypatch, engines.FasterAlone)
    ledger = optimize(tmp_path / "out", engine="faster_alone{threads=2}", passes="", budget=Budget()).ledger
    assert ledger["result"]["engine_options"]["threads"] == 2


def test_a_failing_run_leaves_the_former_result_as_it_was(monkeypatch: pytest.MonkeyPatch, finished: Path) -> None:
    before = {file: file.read_bytes() for file in finished.rglob("*") if file.is_file()}
    with_engines(monkeypatch, engines.CrashesAtBuild)
    with pytest.raises(InputError, match="no engine can run this model"):
        optimize(finished, engine="crashes_at_build")
    assert {file: file.read_bytes() for file in before} == before
    assert fxopt.load(finished)(torch.randn(1, 3, 12, 12))["scores"].shape == (1, 2)


@pytest.mark.parametrize("option", [{"budget": Budget(confidence=0.95)}, {"eval": "e.npz"}])
def test_what_would_be_ignored_is_refused_before_the_model_is_captured(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="leave it out"):
        fxopt.optimize(nn.Linear(2, 2), torch.randn(3, 3), out=tmp_path / "out", **option)  # which does not fit


def test_a_budget_that_cannot_be_met_writes_the_figures_and_no_model(tmp_path: Path) -> None:
    budget = Budget(time_limit_s=0, max_size_bytes=1)
    with pytest.raises(BudgetError, match="--max-size 1 bytes cannot be met"):
        optimize(tmp_path / "out", budget=budget, passes="fold_batch_norm")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"ledger.json", "report.html", "report.md"}
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())
    assert ledger["result"]["verdict"].startswith("no model was written: --max-size 1 bytes cannot be met")
    assert "--time-limit was reached before all was tried" in ledger["result"]["unmet"]
    assert not [entry for entry in ledger["rewrites"] if entry["verdict"] == "applied"]
    assert [(point["what"], point["size_bytes"] > 1) for point in ledger["frontier"]] == [
        ("the unmodified model", True)
    ]


KILLED = """
import sys
from pathlib import Path
import torch
from benchmarks.smoke import few_rounds
from fxopt.compiler.optimize import optimize_model
from fxopt.compiler.request import Request
from fxopt.compiler.session import Session
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.cost import Budget
with few_rounds():
    optimize_model(Request("tests.compiler.test_optimize:Net", Path(sys.argv[1]), inputs=("image=2x3x12x12",),
        engine="onnxruntime{threads=1}", threads=1, passes="fold_batch_norm", budget=Budget(time_limit_s=5),
        resume="resume" in sys.argv))
"""


def test_a_run_that_is_killed_goes_on_with_resume_and_repeats_no_build(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(out)]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    builds, deadline = out / "journal" / "builds", time.monotonic() + 60
    while not list(builds.glob("*/manifest.json")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    (first, *_) = sorted(builds.glob("*/manifest.json"))
    written = first.stat().st_mtime_ns
    with pytest.raises(InputError, match="unfinished run is there: go on with --resume"):
        fxopt.load(out)
    again = subprocess.run([*command, "resume"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert {"model", "baseline", "ledger.json"} <= {file.name for file in out.iterdir()}
    kept = [(out / name / "manifest.json").stat().st_mtime_ns for name in ("model", "baseline")]
    assert written in kept  # copied with its times: the build from before the kill
