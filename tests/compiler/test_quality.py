"""Rewrites that are not exact are kept as far as the error of the outputs allows, and that is checked again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from fxopt.compiler.check import check
from fxopt.compiler.lab import EngineLab
from fxopt.compiler.lockfile import Lockfile
from fxopt.compiler.progress import NULL
from fxopt.compiler.replay import Replay
from fxopt.compiler.request import Request
from fxopt.compiler.rewrite import Context, search
from fxopt.compiler.run import Run
from fxopt.contracts.candidate import Candidate, Fidelity
from fxopt.contracts.cost import Budget, Drop
from fxopt.contracts.passes import Pass, View
from fxopt.data import Data
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.measure import Plan
from fxopt.registry import Registry
from fxopt.verify.quality import Quality
from tests.compiler.test_lab import NoEngines

aten = torch.ops.aten


@dataclass(frozen=True)
class LowRank(Pass):
    """Splits a linear in two by its singular values."""

    name = "low_rank"
    fidelity = Fidelity.APPROXIMATE
    rank: int = dataclasses.field(default=8, metadata={"help": "singular values that are kept"})

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            weight = program.tensor(node.args[1]) if node.target == aten.linear.default else None
            if weight is not None and min(weight.shape) > self.rank:
                yield Candidate(self.name, (node.name,), frozenset({node.name}), fidelity=self.fidelity)

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        x, weight = node.args[:2]
        value = edit.tensor(weight)
        assert value is not None
        u, s, v = torch.linalg.svd(value, full_matrices=False)
        inner = edit.constant((s[: self.rank, None] * v[: self.rank]).contiguous(), "inner")
        outer = edit.constant(u[:, : self.rank].contiguous(), "outer")
        edit.replace(node, edit.call(aten.linear.default, (edit.call(aten.linear.default, (x, inner)), outer)))


class Untrained(LowRank):
    name = "untrained"
    fidelity = Fidelity.NEEDS_RECOVERY


def registry() -> Registry:
    found = Registry.load()
    plugin = type("Plugin", (), {"fxopt_passes": lambda self: [LowRank, Untrained]})()
    found.register(plugin, "tests", "tests")
    return found


def net(noise: tuple[float, ...], size: int = 64) -> nn.Module:
    """A chain of linears of rank 8, each with some noise on top."""
    torch.manual_seed(0)
    layers = [nn.Linear(size, size, bias=False) for _ in noise]
    for layer, amount in zip(layers, noise, strict=True):
        low = torch.randn(size, 8) @ torch.randn(8, size) / size
        layer.weight = nn.Parameter(low + amount * torch.randn(size, size) / size)
    return nn.Sequential(*layers)


def lab(folder: Path, noise: tuple[float, ...], limit: float, data: Data | None = None) -> EngineLab:
    plugins = registry()
    program = capture(export(net(noise), (torch.randn(3, 64),)))
    found = search(program, plugins.make_passes("low_rank"), plugins)
    assert len(found.steps) == len(noise)
    assert all(not evidence.exact for evidence in found.evidence.values())
    quality = Quality(program, limit, data)
    return EngineLab(cast(Any, NoEngines(folder)), plugins, "none", program, found.steps, Plan(), quality)


def kept(tested: EngineLab) -> list[bool]:
    """Which of the steps are in the largest sound plan."""
    plugins = registry()
    evidence = search(tested.program, plugins.make_passes("low_rank"), plugins).evidence
    everything = tested.build([step.id for step in tested.steps])
    assert everything is not None
    build = tested.sound(everything, evidence)
    steps = build.steps if build is not None else frozenset()
    return [step.id in steps for step in tested.steps]


def test_all_steps_within_the_limit_are_kept(tmp_path: Path) -> None:
    assert kept(lab(tmp_path, (0.001, 0.001, 0.001), 0.1)) == [True, True, True]


def test_the_steps_that_are_furthest_off_are_given_back_until_the_limit_holds(tmp_path: Path) -> None:
    tested = lab(tmp_path, (0.001, 3.0, 0.001), 0.1)
    assert kept(tested) == [True, False, True]
    (refused,) = tested.verdicts.values()
    assert "differs from the original by" in refused.reason
    assert "--max-drop allows 0.1" in refused.reason


def test_nothing_is_left_where_nothing_keeps_the_limit(tmp_path: Path) -> None:
    assert kept(lab(tmp_path, (3.0, 3.0), 1e-6)) == [False, False]


def test_the_error_is_measured_on_the_data_that_are_given(tmp_path: Path) -> None:
    program = capture(export(nn.Sequential(nn.ReLU()), (torch.randn(3, 64),)))
    negative = Data.read({"input": -torch.rand(6, 64)}, program.interface, "eval")
    wrong = capture(export(nn.Sequential(nn.LeakyReLU(0.5)), (torch.randn(3, 64),)))
    positive = Data.read({"input": torch.rand(6, 64)}, program.interface, "eval")
    assert Quality(program, 0.0, negative).error(wrong.run) > 0.1
    assert Quality(program, 0.0, positive).error(wrong.run) == 0.0
    assert Quality(program, 0.0).error(wrong.run) > 0.1


def test_what_needs_recovery_is_skipped_and_said(tmp_path: Path) -> None:
    plugins = registry()
    program = capture(export(net((0.0,)), (torch.randn(3, 64),)))
    found = search(program, plugins.make_passes("untrained"), plugins, Context(lossy=True))
    assert found.steps == []
    (entry,) = found.refusals
    assert entry.verdict == "skipped"
    assert "recovery" in entry.reason


@pytest.mark.parametrize(
    ("budget", "fields", "says"),
    [
        (Budget(max_drop=Drop(0.5, "pt")), {}, "--max-drop 0.5pt: what is limited is the relative output error"),
        (Budget(), {"eval": "e.npz"}, "--eval: without --max-drop"),
        (Budget(max_drop=Drop(1, "%")), {"metric": "top1"}, "--metric top1: the one metric there is"),
        (Budget(), {"train": "t.npz"}, "--train"),
        (Budget(confidence=0.95), {}, "--confidence"),
    ],
)
def test_what_cannot_be_asked_for_yet_is_one_line(budget: Budget, fields: dict[str, Any], says: str) -> None:
    from fxopt.compiler.limits import check_supported

    with pytest.raises(InputError, match=says):
        check_supported(Request("m", Path("out"), budget=budget, **fields))


# -- a whole run -------------------------------------------------------------------------------------------------------


def run(out: Path, drop: Drop, data: Path | None, kind: Any = Run) -> dict[str, Any]:
    torch.manual_seed(0)
    exported = export(net((0.001, 0.001), 1024), (torch.randn(8, 1024),))
    budget = Budget(max_drop=drop)
    request = Request("net", out, engine="eager", threads=1, passes="low_rank", budget=budget, eval=data)
    ledger: dict[str, Any] = kind(request, registry(), capture(exported), exported, "net", NULL).go()
    return ledger


@pytest.mark.serial
def test_a_lossy_plan_ships_with_its_error_and_is_checked_and_replayed_under_the_limit(tmp_path: Path) -> None:
    data, out = tmp_path / "eval.npz", tmp_path / "out"
    np.savez(data, input=np.random.default_rng(0).standard_normal((16, 1024)).astype(np.float32))
    ledger = run(out, Drop(1.0, "%"), data)
    assert {entry["verdict"] for entry in ledger["rewrites"]} == {"applied"}
    quality = ledger["result"]["quality"]
    assert (quality["metric"], quality["limit"], quality["data"]["path"]) == ("error", 0.01, str(data))
    assert 0 < quality["value"] < 0.01
    again = {item.name: item for item in check(out).checks}
    assert again.keys() == {"latency", "size", "quality"}
    assert again["quality"].ok, again["quality"].text
    plan = json.loads((out / "plan.json").read_text())
    assert plan["data"]["eval"]["path"] == str(data)

    replayed = run(
        tmp_path / "replayed", Drop(1.0, "%"), data, lambda *parts: Replay(Lockfile.read(out), False, *parts)
    )
    assert replayed["result"]["quality"] == quality
    assert (tmp_path / "replayed" / "plan.json").read_bytes() == (out / "plan.json").read_bytes()
    assert (tmp_path / "replayed" / "plan.safetensors").read_bytes() == (out / "plan.safetensors").read_bytes()

    worse = json.loads((out / "ledger.json").read_text())
    worse["result"]["quality"]["limit"] = quality["value"] / 100
    worse["checks"]["artifact_error"] = 0.0
    (out / "ledger.json").write_text(json.dumps(worse))
    failed = {item.name: item for item in check(out).checks}["quality"]
    assert not failed.ok
    assert str(data) in failed.text


def test_without_a_budget_lossy_rewrites_are_refused(tmp_path: Path) -> None:
    ledger = run(tmp_path / "out", Drop(), None)
    assert {(entry["verdict"], entry["reason"]) for entry in ledger["rewrites"]} == {
        ("refused", "it is approximate, and no drop of quality is allowed: see --max-drop")
    }
    assert ledger["result"]["quality"] is None
