"""Replaying a plan: on its own model, with new weights, elsewhere, and on another graph."""

from __future__ import annotations

import dataclasses
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fxopt
from fxopt.cli import main
from fxopt.compiler import lockfile
from fxopt.compiler.context import Context
from fxopt.compiler.lockfile import Lockfile, first_difference
from fxopt.compiler.optimize import prepare
from fxopt.compiler.progress import NULL
from fxopt.compiler.replay import Replay, planned, replay_plan
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.compiler.search import follow, search
from fxopt.contracts.candidate import Candidate, Fidelity
from fxopt.contracts.cost import Budget
from fxopt.contracts.passes import Pass, View
from fxopt.errors import BudgetError, InputError
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.registry import Registry

pytestmark = pytest.mark.usefixtures("few_rounds")

aten = torch.ops.aten
ROOT = Path(__file__).parents[2]
EXAMPLE = (torch.ones(2, 3, 8, 8),)


class Net(nn.Module):
    """Two batch norms to fold, and a sum to merge."""

    def __init__(self, seed: int = 0, last: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.second, self.other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.last = last()
        for value in (self.norm.running_mean, self.norm.running_var):
            value.uniform_(0.5, 2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.first(x)).relu()
        return self.last(self.second(y) + self.other(y))


def batches() -> Iterator[torch.Tensor]:
    yield EXAMPLE[0]


def saved(folder: Path, name: str = "net.pt2", **options: Any) -> Path:
    torch.export.save(torch.export.export(Net(**options).eval(), EXAMPLE), str(folder / name))
    return folder / name


def write_plan(folder: Path, budget: Budget | None = None, **changes: Any) -> Path:
    """A plan of all that a search finds, as a run would write it."""
    exported = torch.export.export(Net().eval(), EXAMPLE)
    request = Request("net", folder, engine="eager", threads=1, budget=budget or Budget())
    run = Run(request, Registry.load(), capture(exported), exported, "net", NULL)
    found = run.search()
    (spec,) = run.engines
    build = types.SimpleNamespace(steps={step.id for step in found.steps}, recipe=None, tunings={})
    ship: Any = types.SimpleNamespace(engine=spec, build=build, program=found.program)
    plan = run.plan({"machine": dataclasses.asdict(run.target.machine()), "result": {"quality": None}}, ship, found)
    plan = json.loads(json.dumps(plan))
    for path, value in changes.items():
        *parents, last = path.split("__")
        part: Any = plan
        for key in parents:
            part = part[key]
        part[last] = value
    lockfile.write(folder, plan, found.tensors)
    return folder / "plan.json"


def replay(plan: Path, model: Path, out: Path, **options: Any) -> fxopt.Result:
    return replay_plan(Request(str(model), out), Lockfile.read(plan), **options)


@pytest.fixture(scope="module")
def first(few_rounds: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a replay of the plan on its own model has written."""
    folder = tmp_path_factory.mktemp("plan")
    return replay(write_plan(folder), saved(folder), folder / "out").out


# -- the same --------------------------------------------------------------------------------------------------------


def test_the_same_model_machine_and_versions_give_the_same_plan_and_equal_outputs(first: Path, tmp_path: Path) -> None:
    again = replay(first, saved(tmp_path), tmp_path / "out")
    plan = (first / "plan.json").read_bytes()
    assert plan == (again.out / "plan.json").read_bytes() == (first.parent / "plan.json").read_bytes()
    image = torch.randn(2, 3, 8, 8)
    assert torch.equal(fxopt.load(first)(image), again.load()(image))
    assert again.ledger["notes"] == ["the model, the machine and the versions are the plan's"]
    assert again.ledger["faults"] == []
    assert not (again.out / "plan.safetensors").exists()  # exact steps compute theirs


def test_the_ledger_says_what_was_replayed_and_how_it_was_checked(first: Path) -> None:
    ledger = json.loads((first / "ledger.json").read_text())
    steps = json.loads((first / "plan.json").read_text())["steps"]
    assert ledger["replay"] == {
        "plan": str(first.parent / "plan.json"),
        "steps": len(steps),
        "replayed": len(steps),
        "new_weights": False,
        "moved": [],
        "refitted": False,
        "trusted": False,
        "differs": [],
    }
    assert len(steps) > 1
    assert ledger["result"]["verdict"].startswith(f"{len(steps)} of {len(steps)} steps replayed on eager: ")
    assert {entry["verdict"] for entry in ledger["rewrites"]} == {"applied"}
    assert all(entry["error"] is not None for entry in ledger["rewrites"])
    assert ledger["checks"]["float64_error"] < 1e-9
    assert [row["name"] for row in ledger["variants"]] == ["PyTorch eager", "fxopt"]


# -- what is new -----------------------------------------------------------------------------------------------------


def retrained() -> tuple[nn.Module, tuple[torch.Tensor]]:
    return Net(seed=1), EXAMPLE


def test_new_weights_are_said_and_every_step_is_done_anew_and_checked(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = "tests.compiler.test_replay:retrained", tmp_path / "out"
    assert main(["replay", str(first), model, "-o", str(out), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    steps = json.loads((first / "plan.json").read_text())["steps"]
    assert data["notes"][0] == (
        f"new weights: the graph is the plan's; {len(steps)} exact steps were done anew and checked"
    )
    assert data["replay"]["new_weights"]
    assert data["rewrites"] == {"applied": len(steps)}
    image = torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(fxopt.load(out)(image), Net(seed=1).eval()(image), rtol=1e-4, atol=1e-5)
    new = json.loads((out / "plan.json").read_text())["steps"]
    assert [step["candidate"] for step in steps] == [step["candidate"] for step in new]
    assert [step["tensors"] for step in steps] != [step["tensors"] for step in new]


def test_another_machine_other_versions_and_data_that_are_not_here_are_said(tmp_path: Path) -> None:
    recorded = {"path": "gone.npz", "digest": "0" * 16}
    plan = write_plan(tmp_path, machine__cpu="Another CPU", machine__versions__torch="1.0", data__calib=recorded)
    result = replay(forge(plan), saved(tmp_path), tmp_path / "out", refit=True)
    machine, versions, refit, data, rounding = result.ledger["notes"]
    assert machine.startswith("another machine: the plan was made on Another CPU, this is ")
    assert f"torch 1.0 is now {torch.__version__.split('+')[0]}" in versions
    assert all("rebuilt, checked and measured here" in note for note in (machine, versions))
    assert refit == "0 steps that rest on data were fitted anew"
    assert "gone.npz" in data and data.endswith("no step needs them")
    assert "rounded otherwise here" in rounding
    assert len(result.ledger["replay"]["moved"]) == 2
    assert result.ledger["faults"] == []
    assert json.loads((result.out / "plan.json").read_text())["data"]["calib"] == recorded


def forge(plan: Path) -> Path:
    """Give one step other tensors than it makes."""
    data = json.loads(plan.read_text())
    step = next(step for step in data["steps"] if step["tensors"])
    step["tensors"] = dict.fromkeys(step["tensors"], "0" * 16)
    plan.write_text(json.dumps(data))
    return plan


def test_limits_on_size_stop_a_replay_those_on_time_and_other_tensors_on_the_same_model_are_said(
    tmp_path: Path,
) -> None:
    plan = forge(write_plan(tmp_path, budget=Budget(max_latency_ms=1e-6, max_size_bytes=1)))
    with pytest.raises(BudgetError, match="--max-size 1 bytes cannot be met"):
        replay(plan, saved(tmp_path), tmp_path / "out")
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())
    assert any("this stops no replay: --max-latency 1e-06 ms cannot be met" in note for note in ledger["notes"])
    (fault,) = ledger["faults"]
    assert fault.startswith("fxopt: ")
    assert "gives other tensors than the plan says, on the same model" in fault


# -- what differs although nothing is new ----------------------------------------------------------------------------


def with_a_step_that_nothing_offers(plan: Path) -> Path:
    data = json.loads(plan.read_text())
    step = json.loads(json.dumps(data["steps"][0]))
    step["candidate"]["site"] = ["nowhere"]
    data["steps"].append(step)
    plan.write_text(json.dumps(data))
    return plan


def replayed(plan: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, dict[str, Any]]:
    """Exit status, last line and ledger of a replay on the plan's own model."""
    status = main(["replay", str(plan), str(saved(folder)), "-o", str(folder / "out")])
    last = capsys.readouterr().out.splitlines()[-1]
    assert fxopt.load(folder / "out")(EXAMPLE[0]).shape == (2, 4, 6, 6)
    return status, last, json.loads((folder / "out" / "ledger.json").read_text())


def test_steps_left_out_or_with_other_tensors_though_nothing_is_new_are_written_and_exit_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, last, ledger = replayed(with_a_step_that_nothing_offers(forge(write_plan(tmp_path))), tmp_path, capsys)
    tensors, left_out = ledger["replay"]["differs"]
    assert tensors.endswith(" gave other tensors")
    assert re.fullmatch(r"fold_batch_norm@nowhere\.\w+ was left out", left_out)
    assert (status, last) == (3, f"differs from the plan, though nothing is new: {tensors}, and 1 more")


def test_another_rewritten_program_though_nothing_is_new_is_written_and_exits_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, last, ledger = replayed(write_plan(tmp_path, result="0" * 16), tmp_path, capsys)
    assert ledger["replay"]["differs"] == ["the steps gave another program"]
    assert (status, last) == (3, "differs from the plan, though nothing is new: the steps gave another program")


def test_where_something_is_new_a_step_that_is_left_out_is_said_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = with_a_step_that_nothing_offers(write_plan(tmp_path, plugins={"outside": "1.0"}, engine_version="1.0"))
    status, _, ledger = replayed(plan, tmp_path, capsys)
    assert (status, ledger["replay"]["differs"]) == (0, [])
    (moved,) = ledger["replay"]["moved"]
    assert "outside 1.0 is now not installed" in moved
    assert "eager 1.0 is now " in moved
    assert any("its pass does not offer it here" in note for note in ledger["notes"] if "@nowhere" in note)


@pytest.mark.parametrize(
    ("changes", "refit", "new"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"model": "0" * 16}, False, True),
        ({"plugins": {"outside": "1.0"}}, False, True),
        ({"engine_version": "1.0"}, False, True),
        ({"machine__cpu": "Another CPU"}, False, True),
        ({"data__calib": {"path": "gone.npz", "digest": "0" * 16}}, False, False),
        ({"data__eval": {"path": "gone.npz", "digest": "0" * 16}}, False, False),
        ({"data__calib": {"path": "tests.compiler.test_replay:batches", "digest": "0" * 16}}, False, True),
    ],
)
def test_weights_machine_versions_and_data_are_what_may_be_new(
    tmp_path: Path, changes: dict[str, Any], refit: bool, new: bool
) -> None:
    lock = Lockfile.read(write_plan(tmp_path, **changes))
    request = planned(Request(str(saved(tmp_path)), tmp_path / "out"), lock)
    run = prepare(request, NULL, lambda *parts: Replay(lock, refit, *parts))
    assert isinstance(run, Replay)
    assert run.nothing_is_new != new
    run.close()


# -- what is refused -------------------------------------------------------------------------------------------------


def test_a_different_graph_is_refused_naming_the_first_node_that_differs(
    first: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(tmp_path, last=nn.Sigmoid)
    assert main(["replay", str(first), str(model), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "the first node that differs is sigmoid: " in error
    assert "aten.relu.default(add)" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("planned", "found", "says"),
    [
        (
            ["a : f32[1] = relu(x)", "return [a]"],
            ["a : f32[1] = relu(x)", "b : f32[1] = relu(a)", "return [b]"],
            "is b:",
        ),
        (["input x : f32[2]", "return [x]"], ["input x : f32[3]", "return [x]"], "is x: input x : f32[3]"),
        (["tensor w : f32[2]", "a : f32[1] = mm(w)"], ["tensor w : f32[3]", "a : f32[3] = mm(w)"], "is a: a : f32[3]"),
        (["a : f32[1] = relu(x)"], [], "node a is not in this model"),
    ],
)
def test_the_first_difference_is_that_in_order_of_execution(planned: list[str], found: list[str], says: str) -> None:
    assert says in first_difference(planned, found)


def test_a_plan_of_a_pass_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    plan.write_text(plan.read_text().replace('": "fold_batch_norm"', '": "fold_batch_morm"'))
    with pytest.raises(InputError, match="unknown pass 'fold_batch_morm'; did you mean 'fold_batch_norm'"):
        replay(plan, saved(tmp_path), tmp_path / "out")


# -- steps: checks, and tensors that rest on data --------------------------------------------------------------------


class Forgets(Pass):
    """Forgets a factor, which is right where it is 1."""

    name = "forgets"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.mul.Tensor:
                yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        edit.replace(node, edit.call(aten.clone.default, (node.args[0],)))


class Fits(Pass):
    """Puts a tensor in place of a factor that is another one each time."""

    name = "fits"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == aten.mul.Tensor:
                site = (node.name,)
                yield Candidate(self.name, site, frozenset(site), fidelity=Fidelity.APPROXIMATE)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        noise = edit.constant(torch.rand(4, dtype=node.meta["val"].dtype))
        edit.replace(node, edit.call(aten.sub.Tensor, (node.args[0], noise)))


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.full((4,), factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x * self.factor)


def scale(factor: float) -> Program:
    return capture(export(Scale(factor), (torch.ones(2, 4),)))


def registry(*passes: type[Pass]) -> Registry:
    found = Registry()
    found.register(type("Plugin", (), {"fxopt_passes": lambda self: list(passes)})(), "test", "test-distribution")
    return found


def test_a_step_that_is_not_exact_with_the_new_weights_is_left_out() -> None:
    plugins = registry(Forgets)
    steps = search(scale(1.0), plugins.make_passes(None), plugins).steps
    assert [step.id for step in follow(scale(1.0), steps, plugins).steps] == [step.id for step in steps] != []
    found = follow(scale(2.0), steps, plugins)
    assert found.steps == []
    (refusal,) = found.refusals
    assert "differs from the original" in refusal.reason


def test_following_all_steps_of_a_search_gives_the_same_steps_and_program() -> None:
    plugins = Registry.load()
    program = capture(export(Net(), EXAMPLE))
    found = search(program, plugins.make_passes(None), plugins)
    again = follow(program, found.steps, plugins)
    assert again.steps == found.steps
    assert again.program.digest == found.program.digest
    assert set(again.evidence) == set(found.evidence)


def test_tensors_that_rest_on_data_are_written_beside_the_plan_and_taken_from_there(tmp_path: Path) -> None:
    plugins = registry(Fits)
    found = search(scale(2.0), plugins.make_passes(None), plugins)
    plan = json.loads(write_plan(tmp_path).read_text())
    plan["steps"] = [step.to_json() for step in found.steps]
    lockfile.write(tmp_path, plan, found.tensors)
    lock = Lockfile.read(tmp_path)
    (name,) = found.steps[0].tensors
    taken = follow(scale(2.0), lock.steps, plugins, Context(fitted=lock.tensors()))
    assert torch.equal(taken.program.attributes[name], found.program.attributes[name])
    assert taken.twin.attributes[name].dtype == torch.float64
    fitted = follow(scale(2.0), lock.steps, plugins)
    assert not torch.equal(fitted.program.attributes[name], found.program.attributes[name])
    (tmp_path / "plan.safetensors").unlink()
    with pytest.raises(InputError, match=r"plan.safetensors: missing or damaged .*; give --refit"):
        lock.tensors()


# -- the documentation -----------------------------------------------------------------------------------------------


def test_every_key_of_a_plan_is_documented(first: Path) -> None:
    text = (ROOT / "docs" / "pipelines.md").read_text()
    section = text.partition("## plan.json")[2].partition("\n## ")[0]
    keys = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
    assert keys == set(json.loads((first / "plan.json").read_text()))


def test_every_key_of_a_replay_is_documented(first: Path) -> None:
    text = (ROOT / "docs" / "ledger.md").read_text()
    section = text.partition("## Replay")[2].partition("\n## ")[0]
    keys = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))
    assert keys == set(json.loads((first / "ledger.json").read_text())["replay"])
