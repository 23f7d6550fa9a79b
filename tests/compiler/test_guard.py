"""Passes of other distributions run in a process of their own: they lose their own rewrites there, never the run."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from fxopt.cli import main
from fxopt.compiler.context import Context
from fxopt.compiler.guard import PATIENCE, Guard
from fxopt.compiler.search import Search, search
from fxopt.compiler.steps import replay
from fxopt.data import Data
from fxopt.errors import DataError
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.ir.statistics import Statistics
from fxopt.registry import Registry

PLUGIN = '''
"""A plugin of somebody else: some of its passes are sound, others are not."""

import os
import time
from dataclasses import dataclass

import torch

import fxopt

aten = torch.ops.aten


class Swap(fxopt.Pass):
    old, new, fidelity = aten.relu.default, aten.clamp_min.default, fxopt.Fidelity.EXACT

    def propose(self, program, view):
        for node in program.calls:
            if node.target is self.old:
                yield fxopt.Candidate(self.name, (node.name,), frozenset({node.name}), fidelity=self.fidelity)
            elif node.target is aten.tanh.default:
                view.decline(node, "tanh is not relu")

    def apply(self, edit, candidate):
        (node,) = edit.nodes(candidate)
        edit.replace(node, edit.call(self.new, (node.args[0], 0.0)))


class Sound(Swap):
    name = "sound"


class Scales(Swap):
    """Makes a tensor, and prints."""

    name = "scales"
    new = aten.mul.Tensor

    def apply(self, edit, candidate):
        print("to standard output")
        (node,) = edit.nodes(candidate)
        one = edit.constant(torch.ones(1, dtype=node.meta["val"].dtype), "one")
        edit.replace(node, edit.call(aten.mul.Tensor, (edit.call(aten.clamp_min.default, (node.args[0], 0.0)), one)))


class Asks(Swap):
    """Proposes what calibration data say is never negative."""

    name = "asks"

    def propose(self, program, view):
        for candidate in super().propose(program, view):
            low = view.statistics(program.node(candidate.site[0]).args[0], "min")
            if low is not None and bool((low >= 0).all()):
                yield candidate
            else:
                view.decline(candidate.site[0], f"unknown or negative: {view.capabilities.channel_grid}")


class HangsInPropose(Swap):
    name = "hangs_in_propose"

    def propose(self, program, view):
        while True:
            time.sleep(0.01)


class HangsInApply(Swap):
    name = "hangs_in_apply"

    def apply(self, edit, candidate):
        while candidate.site == ("relu_1",):
            time.sleep(0.01)
        super().apply(edit, candidate)


class Crashes(Swap):
    name = "crashes"

    def apply(self, edit, candidate):
        os.abort()


class Raises(Swap):
    name = "raises"

    def apply(self, edit, candidate):
        if candidate.site == ("relu_1",):
            raise ZeroDivisionError("by design")
        super().apply(edit, candidate)


ALL = [Sound, Scales, Asks, HangsInPropose, HangsInApply, Crashes, Raises]


@fxopt.hookimpl
def fxopt_passes():
    return ALL
'''


def install(folder: Path) -> None:
    """What pip leaves behind: the module, and the metadata that say what it is."""
    (folder / "stranger.py").write_text(PLUGIN)
    info = folder / "stranger-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[fxopt]\nstranger = stranger\n")


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(str(folder))
    yield Registry.load()
    sys.modules.pop("stranger", None)


class Net(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.tanh(torch.relu(x))) + 1


def program() -> Program:
    return capture(export(Net(), (torch.linspace(-1, 1, 8).reshape(2, 4),)))


def searched(registry: Registry, passes: str, limit_s: float = 30.0, calib: torch.Tensor | None = None) -> Search:
    statistics = None if calib is None else Statistics(Data.read({"x": calib}, program().interface, "calib"))
    capabilities = registry.make_target("cpu").capabilities()
    with Guard(registry, limit_s) as guard:
        context = Context(capabilities, statistics, guard=guard)
        return search(program(), registry.make_passes(passes), registry, context)


@pytest.mark.parametrize("name", ["sound", "scales"])
def test_a_pass_finds_the_same_in_a_process_of_its_own(registry: Registry, name: str) -> None:
    here = search(program(), registry.make_passes(name), registry)
    there = searched(registry, name)
    assert there.faults == here.faults == {}
    assert [step.to_json() for step in there.steps] == [step.to_json() for step in here.steps]
    assert len(there.steps) == 2
    assert there.declines == here.declines
    assert len(there.declines) == 1
    assert there.program.digest == here.program.digest
    assert there.twin.digest == here.twin.digest
    assert there.evidence.keys() == here.evidence.keys()


def test_own_passes_stay_in_this_process(registry: Registry) -> None:
    with Guard(registry, 30.0) as guard:
        assert guard.minds(registry.make_pass("sound"))
        assert not guard.minds(registry.make_pass("fold_batch_norm"))
        search(program(), registry.make_passes("fold_batch_norm"), registry, Context(guard=guard))
        assert guard._process is None


def test_statistics_are_known_there(registry: Registry) -> None:
    unknown = [decline for decline in searched(registry, "asks").declines if decline.site != "tanh"]
    assert len(unknown) == 2
    assert all(decline.reason.startswith("unknown or negative") for decline in unknown)
    found = searched(registry, "asks", calib=torch.rand(4, 4))
    assert found.faults == {}
    assert len(found.steps) == 2
    assert len(searched(registry, "asks", calib=-torch.rand(4, 4)).steps) == 1


def test_data_that_do_not_fit_are_no_fault_of_the_pass(registry: Registry) -> None:
    data = Data.read({"x": torch.rand(4, 4)}, program().interface, "calib")
    object.__setattr__(data, "batches", lambda: iter([None]))
    with Guard(registry, 30.0) as guard, pytest.raises(DataError):
        search(program(), registry.make_passes("asks"), registry, Context(statistics=Statistics(data), guard=guard))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hangs_in_propose", "propose gave no answer in 4 s"),
        ("hangs_in_apply", "apply gave no answer in 4 s at hangs_in_apply@relu_1"),
        ("crashes", "apply was killed by SIGABRT"),
        ("raises", "apply raised ZeroDivisionError: by design"),
    ],
)
def test_a_pass_that_breaks_costs_its_own_rewrites_only(registry: Registry, name: str, says: str) -> None:
    found = searched(registry, f"{name},sound", limit_s=4.0)
    assert found.faults.keys() == {name}
    assert found.faults[name].startswith(f"stranger: {name} ")
    assert says in found.faults[name]
    assert "sound" in {step.candidate.rule for step in found.steps}
    assert found.broken[name].spec == name
    if "at " in says or name == "raises":
        assert [candidate.site for candidate in found.broken[name].candidates] == [("relu_1",)]


def test_a_pass_that_gives_no_answer_again_and_again_is_given_up(registry: Registry) -> None:
    steps = search(program(), registry.make_passes("sound"), registry).steps
    hanging = [type(step)(step.candidate, "hangs_in_propose", index) for index, step in enumerate(steps * 3)]
    with Guard(registry, 1.0) as guard:
        lost = 0
        ask = guard.ask

        def counted(*arguments: object, **fields: object) -> object:
            nonlocal lost
            lost += arguments[0] == "propose"
            return ask(*arguments, **fields)  # type: ignore[arg-type]

        guard.ask = counted  # type: ignore[method-assign,assignment]
        unchanged, skipped = replay(program(), hanging, registry, Context(guard=guard))
    assert unchanged.digest == program().digest
    assert len(skipped) == len(hanging)
    assert lost <= 2 * PATIENCE  # a call that starts the process anew is made again once the program is known there


@pytest.fixture
def broken(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The output of a run in which one pass raises and one gives no answer."""
    torch.export.save(export(Net(), (torch.ones(2, 4),)), tmp_path / "net.pt2")
    out = tmp_path / "the output"
    flags = ["--engine", "eager", "--threads", "1", "--pass-limit", "5s", "--passes", "raises,hangs_in_propose,sound"]
    assert main(["optimize", str(tmp_path / "net.pt2"), *flags, "-o", str(out)]) == 0
    last = capsys.readouterr().out.splitlines()[-2:]
    assert last == [f"at fault: {fault}" for fault in json.loads((out / "ledger.json").read_text())["faults"]]
    assert all(line.startswith("at fault: stranger: ") for line in last)
    return out


def reproducer(out: Path, name: str) -> Path:
    (folder,) = (out / "reproducers").glob(f"{name}-*")
    return folder


@pytest.mark.usefixtures("few_rounds")
def test_a_broken_call_can_be_made_again_by_one_command(broken: Path, tmp_path: Path) -> None:
    def run(command: str) -> subprocess.CompletedProcess[str]:
        environment = {"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin"}
        words = [sys.executable, "-m", *shlex.split(command)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120, check=False)

    folder = reproducer(broken, "raises")
    assert {file.name for file in folder.iterdir()} == {"before.fx", "weights.safetensors", "call.json"}
    command = json.loads((folder / "call.json").read_text())["command"]
    assert command in json.loads((broken / "ledger.json").read_text())["faults"][0]
    done = run(command)
    assert done.returncode == 1
    assert "now: apply raised ZeroDivisionError: by design" in done.stdout
    assert 'in apply\n    raise ZeroDivisionError("by design")' in done.stderr

    hanging = run(f"fxopt reproduce '{reproducer(broken, 'hangs_in_propose')}'")
    assert hanging.returncode == 1
    assert re.search(r"stranger.py\", line \d+ in propose", hanging.stderr)

    (tmp_path / "site" / "stranger.py").write_text(PLUGIN.replace('raise ZeroDivisionError("by design")', "pass"))
    done = run(command)
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing is wrong" in done.stdout


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "call.json").unlink(), "no reproducer: there is no call.json in it"),
        (lambda folder: (folder / "before.fx").write_text("nonsense"), "damaged"),
    ],
)
def test_a_folder_that_is_no_reproducer_is_one_line(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: object, says: str
) -> None:
    from fxopt.compiler.reproducer import Broken

    found = searched(registry, "raises")
    folder = Broken(found.broken["raises"], "fault", None, None, 5.0).write(tmp_path)
    damage(folder)  # type: ignore[operator]
    assert main(["reproduce", str(folder)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
