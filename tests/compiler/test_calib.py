"""Calibration data in a run: recorded in the plan, part of what an unfinished run is known by, at hand in builds."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fxopt
from fxopt.compiler.context import Context
from fxopt.compiler.lab import EngineLab
from fxopt.compiler.progress import NULL
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.compiler.search import Search
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.cost import Drop
from fxopt.contracts.engine import Artifact
from fxopt.contracts.passes import Pass, View
from fxopt.data import Data
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.ir.statistics import Statistics
from fxopt.ir.twin import double
from fxopt.measure import Plan
from fxopt.registry import Registry
from fxopt.verify.quality import Quality

NOTE = "no installed pass asked for calibration data"


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.Dropout(), nn.ReLU())


def run(calib: object) -> Run:
    exported = export(model(), (torch.ones(2, 4),))
    request = Request("model", Path("out"), engine="eager", threads=1, calib=calib)
    return Run(request, Registry.load(), capture(exported), exported, "model", NULL)


def test_the_plan_records_the_data_and_the_run_notes_that_no_pass_asked() -> None:
    started = run({"input": torch.ones(4, 4)})
    found = started.search()
    started.tell_of_data(found)
    (engine,) = started.engines
    build = types.SimpleNamespace(steps=(), recipe=None, tunings={})
    unmodified: Any = types.SimpleNamespace(engine=engine, build=build, program=started.program)
    assert started.calib is not None
    assert started.plan({"machine": {}, "result": {"quality": None}}, unmodified, found)["data"] == {
        "calib": {"path": None, "digest": started.calib.digest},
        "eval": None,
        "train": None,
    }
    assert NOTE in started.progress.notes
    assert "read the calibration data" in started.progress.seconds


def test_an_unfinished_run_is_gone_on_with_only_on_the_same_data() -> None:
    same, again, other, none = (
        run(data)._identity() for data in (torch.ones(2, 4), [torch.ones(2, 4)], torch.zeros(2, 4), None)
    )
    assert same == again
    assert len({json.dumps(identity) for identity in (same, other, none)}) == 3


def test_data_that_do_not_fit_end_the_run_before_anything_is_built() -> None:
    with pytest.raises(InputError, match=r"calib: input input_1: axis 1 is 5, expected 4 of float32\[2, 4\]"):
        run(torch.ones(2, 5))


class NotNegative(Pass):
    """Takes out a relu whose input was never negative."""

    name = "not_negative"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target == torch.ops.aten.relu.default:
                low = view.statistics(node.all_input_nodes[0], "min")
                if low is not None and low.min() >= 0:
                    yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        edit.replace(node, edit.call(torch.ops.aten.clone.default, (node.args[0],)))


def test_a_build_keeps_a_step_that_rests_on_the_data(tmp_path: Path) -> None:
    class Folders:
        """A workshop whose artifacts are empty."""

        def emit(self, engine: str, program: Program) -> Path:
            folder = tmp_path / program.digest
            folder.mkdir(exist_ok=True)
            Artifact(folder, ()).write_manifest(program.interface.to_json())
            return folder

        def signature(self, engine: str, artifact: Path) -> None:
            return None

    registry = Registry()
    plugin = type("Plugin", (), {"fxopt_passes": staticmethod(fxopt.hookimpl(lambda: [NotNegative]))})()
    registry.register(plugin, "test", "test")
    program = capture(export(nn.Sequential(nn.Sigmoid(), nn.ReLU(), nn.Tanh()), (torch.ones(2, 4),)))
    (relu,) = (node for node in program.calls if node.target == torch.ops.aten.relu.default)
    step = fxopt.Step(Candidate("not_negative", (relu.name,), frozenset({relu.name})), "not_negative", 0)
    data = Statistics(Data.read(torch.randn(4, 4), program.interface, "calib"))
    for statistics, kept in ((data, {step.id}), (None, set())):
        context = Context(statistics=statistics)
        found = Search(program, program, double(program), [step])
        lab = EngineLab(Folders(), registry, "none", found, Plan(), Quality.made_up(program, Drop()), context)  # type: ignore[arg-type]
        build = lab.build([step.id])
        assert build is not None
        assert build.steps == kept
