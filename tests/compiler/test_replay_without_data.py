"""Replaying a plan that was judged on data which are not here: what it records stands where nothing is new."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from fxopt.cli import main
from fxopt.compiler import lockfile
from fxopt.compiler.ledger import finite_only
from fxopt.compiler.offers import offer
from fxopt.compiler.progress import NULL
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.contracts.candidate import Candidate, Fidelity, Stage
from fxopt.contracts.cost import Budget, Drop
from fxopt.contracts.passes import Pass, View
from fxopt.ir.capture import capture
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.registry import Registry

pytestmark = pytest.mark.usefixtures("few_rounds")

aten = torch.ops.aten
EXAMPLE = (torch.ones(8, 4),)


class Caps(Pass):
    """Cuts what is above all that calibration data have shown: nothing there, and much of made-up inputs."""

    name: ClassVar[str] = "caps"
    stage: ClassVar[Stage] = Stage.PRECISION

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.relu.default:
                name = node.name
                candidate = Candidate(self.name, (name,), frozenset({name}), fidelity=Fidelity.APPROXIMATE)
                fitted = view.fit(candidate, lambda name=name: largest(name, view))
                if fitted is None:
                    view.decline(node, "there are no data")
                else:
                    yield fitted

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        top = edit.constant(candidate.fitted["top"].to(node.meta["val"].dtype), "top")
        edit.replace(node, edit.call(aten.minimum.default, (edit.call(aten.relu.default, node.args), top)))


def largest(name: str, view: View) -> dict[str, torch.Tensor] | None:
    seen = view.observe([name])
    return None if seen is None else {"top": torch.stack([batch[name].value.amax() for batch in seen]).amax()}


def saved(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    torch.export.save(torch.export.export(net, EXAMPLE), str(folder / "net.pt2"))
    return folder / "net.pt2"


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Registry:
    found = Registry.load()
    found.register(type("Plugin", (), {"fxopt_passes": lambda self: [Caps]})(), "caps", "fxopt")
    monkeypatch.setattr(Registry, "load", classmethod(lambda cls, without=(): found))
    return found


@pytest.fixture
def plan(plugins: Registry, tmp_path: Path) -> Path:
    """A plan of one step that was fitted to data and judged on others; the data are here."""
    for role, seed in (("calib", 0), ("eval", 1)):
        values = np.random.default_rng(seed).uniform(-0.1, 0.1, (64, 4)).astype(np.float32)
        np.savez(tmp_path / f"{role}.npz", input=values)
    exported = torch.export.load(saved(tmp_path))
    budget = Budget(max_drop=Drop(5.0, "%"))
    data = {role: str(tmp_path / f"{role}.npz") for role in ("calib", "eval")}
    request = Request("net", tmp_path, engine="eager", threads=1, passes="caps", budget=budget, **data)
    run = Run(request, plugins, capture(exported), exported, "net", NULL)
    run.quality.begin()
    found = run.search()
    offered = offer(found, run.passes, plugins, run.context)
    with run.program.edit(offered.tensors) as edit:
        for step in offered.steps:
            with edit.step(step.candidate):
                Caps().apply(edit, step.candidate)
    (spec,) = run.engines
    build = types.SimpleNamespace(steps={step.id for step in offered.steps}, recipe=None, tunings={})
    ship: Any = types.SimpleNamespace(engine=spec, build=build, program=edit.program)
    drops = run.quality.drop(edit.program.run), run.quality.report(edit.program.run)
    ledger = {
        "machine": dataclasses.asdict(run.target.machine()),
        "result": {"quality": finite_only(run.quality.to_json(*drops))},
    }
    lockfile.write(tmp_path, json.loads(json.dumps(run.plan(ledger, ship, offered))), offered.tensors)
    run.close()
    return tmp_path / "plan.json"


def changed(plan: Path, **changes: Any) -> None:
    plan.write_text(json.dumps({**json.loads(plan.read_text()), **changes}))


def gone(plan: Path, *roles: str) -> None:
    for role in roles or ("calib", "eval"):
        (plan.parent / f"{role}.npz").unlink()


def replayed(plan: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, Any]:
    """Exit status, and the ledger or the line that refuses."""
    out = plan.parent / "out"
    status = main(["replay", str(plan), str(plan.parent / "net.pt2"), "-o", str(out), *flags])
    error = capsys.readouterr().err.strip()
    assert "\n" not in error or status == 0
    assert (out / "ledger.json").exists() == (status == 0)
    return status, json.loads((out / "ledger.json").read_text()) if status == 0 else error


def test_where_nothing_is_new_steps_are_done_with_the_tensors_of_the_plan_and_its_quality_stands(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone(plan)
    status, ledger = replayed(plan, capsys)
    assert status == 0
    assert ledger["replay"]["replayed"] == ledger["replay"]["steps"] == 1
    assert (ledger["replay"]["trusted"], ledger["replay"]["differs"]) == (True, [])
    same, trusted = ledger["notes"]
    assert same == "the model, the machine and the versions are the plan's"
    assert trusted.startswith("the quality is the one that the plan records, and was not measured again")
    assert "calib.npz" in trusted and "eval.npz" in trusted
    assert ledger["result"]["quality"] == json.loads(plan.read_text())["quality"]
    assert (plan.parent / "out" / "plan.json").read_bytes() == plan.read_bytes()
    tensors = [folder / "plan.safetensors" for folder in (plan.parent, plan.parent / "out")]
    assert tensors[0].read_bytes() == tensors[1].read_bytes()


def test_with_the_data_quality_is_measured_again(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, ledger = replayed(plan, capsys)
    assert (status, ledger["replay"]["replayed"], ledger["replay"]["trusted"]) == (0, 1, False)
    assert ledger["notes"] == ["the model, the machine and the versions are the plan's"]
    assert ledger["result"]["quality"]["report"]["samples"] == 32
    assert (plan.parent / "out" / "plan.json").read_bytes() == plan.read_bytes()


def test_without_the_calibration_data_alone_the_tensors_are_those_of_the_plan(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone(plan, "calib")
    status, ledger = replayed(plan, capsys)
    assert (status, ledger["replay"]["replayed"], ledger["replay"]["trusted"]) == (0, 1, False)
    (note,) = [note for note in ledger["notes"] if "calib.npz" in note]
    assert note.endswith("are not here; no step needs them")


def new_weights(plan: Path) -> None:
    saved(plan.parent, seed=1)


def another_machine(plan: Path) -> None:
    changed(plan, machine={**json.loads(plan.read_text())["machine"], "cpu": "Another CPU"})


def of_old(plan: Path) -> None:
    changed(plan, quality=None)


def another_program(plan: Path) -> None:
    changed(plan, result="0" * 16)


def a_recipe(plan: Path) -> None:
    changed(plan, steps=[], recipe="split")


@pytest.mark.parametrize(
    ("change", "flags", "missing", "says", "options"),
    [
        (new_weights, (), ("calib", "eval"), "the weights are new", "give --calib DATA and --eval DATA"),
        (new_weights, (), ("calib",), "caps@relu", "give --calib DATA"),
        (
            another_machine,
            (),
            ("calib", "eval"),
            "another machine: the plan was made on Another CPU",
            "give --eval DATA",
        ),
        (of_old, (), ("calib", "eval"), "the plan does not record its quality", "give --eval DATA"),
        (another_program, (), ("calib", "eval"), "the steps give another program", "give --eval DATA"),
        (a_recipe, (), ("calib",), "the engine's own split", "give --calib DATA"),
        (lambda plan: None, ("--refit",), ("calib", "eval"), "--refit", "give --calib DATA and --eval DATA"),
    ],
)
def test_where_something_is_new_a_plan_that_is_not_exact_is_refused_without_its_data(
    plan: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Path], None],
    flags: tuple[str, ...],
    missing: tuple[str, ...],
    says: str,
    options: str,
) -> None:
    change(plan)
    gone(plan, *missing)
    status, line = replayed(plan, capsys, *flags)
    assert status == 2
    assert says in line
    assert line.endswith(options)
    assert all(f"{role}.npz" in line for role in missing if f"--{role}" in options)


def test_an_exact_plan_under_a_budget_needs_no_data(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed(plan, steps=[], quality=None, metric="mse")
    gone(plan)
    new_weights(plan)
    status, ledger = replayed(plan, capsys)
    assert (status, ledger["replay"]["trusted"], ledger["result"]["quality"]) == (0, False, None)
    assert json.loads((plan.parent / "out" / "plan.json").read_text())["metric"] == "mse"
