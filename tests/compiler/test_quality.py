"""Rewrites that are not exact are kept as far as the budget on a metric allows, and that is checked again."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from fxopt.bisect.search import bisect
from fxopt.compiler.check import CheckResult, check
from fxopt.compiler.context import Context
from fxopt.compiler.lab import EngineLab
from fxopt.compiler.lockfile import Lockfile
from fxopt.compiler.progress import NULL
from fxopt.compiler.replay import Replay, planned
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.compiler.search import search
from fxopt.contracts.candidate import Candidate, Fidelity
from fxopt.contracts.cost import Budget, Drop
from fxopt.contracts.passes import Pass, View
from fxopt.data import Data
from fxopt.errors import InputError, MetricError
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.measure import Plan
from fxopt.registry import Registry
from fxopt.report import figures, read
from fxopt.verify.quality import MadeUp, Quality, WorstError
from fxopt_plugins.metrics.vectors import OutputError
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
    budget = Drop(limit)
    quality = Quality.made_up(program, budget) if data is None else Quality.on(data, OutputError(), program, budget)
    return EngineLab(cast(Any, NoEngines(folder)), plugins, "none", found, Plan(), quality)


def kept(tested: EngineLab) -> list[bool]:
    """Which of the steps are in the largest sound plan."""
    everything = tested.build([step.id for step in tested.steps])
    assert everything is not None
    build = tested.keep(everything)
    steps = build.steps if build is not None else frozenset()
    return [step.id in steps for step in tested.steps]


def test_all_steps_within_the_limit_are_kept(tmp_path: Path) -> None:
    assert kept(lab(tmp_path, (0.001, 0.001, 0.001), 0.1)) == [True, True, True]


def test_the_steps_that_are_furthest_off_are_given_back_until_the_limit_holds(tmp_path: Path) -> None:
    tested = lab(tmp_path, (0.001, 3.0, 0.001), 0.1)
    assert kept(tested) == [True, False, True]
    (refused,) = tested.verdicts.values()
    assert "error is worse by" in refused.reason
    assert "--max-drop allows 0.1" in refused.reason


def test_nothing_is_left_where_nothing_keeps_the_limit(tmp_path: Path) -> None:
    assert kept(lab(tmp_path, (3.0, 3.0), 1e-6)) == [False, False]


def test_the_metric_is_judged_on_the_data_that_are_given() -> None:
    program = capture(export(nn.Sequential(nn.ReLU()), (torch.randn(3, 64),)))
    wrong = capture(export(nn.Sequential(nn.LeakyReLU(0.5)), (torch.randn(3, 64),)))
    negative = Data.read({"input": torch.rand(6, 64) - 0.9}, program.interface, "eval")
    positive = Data.read({"input": torch.rand(6, 64)}, program.interface, "eval")
    assert Quality.on(negative, OutputError(), program, Drop()).drop(wrong.run).drop > 0.1
    assert Quality.on(positive, OutputError(), program, Drop()).drop(wrong.run).drop == 0.0
    assert Quality.made_up(program, Drop()).drop(wrong.run).drop > 0.1


def test_a_plan_for_which_the_metric_has_no_value_is_refused_with_its_line(tmp_path: Path) -> None:
    tested = lab(tmp_path, (0.001,), 0.1)
    tested.quality = dataclasses.replace(tested.quality, gate=NoValue())
    assert kept(tested) == [False]
    (refused,) = tested.verdicts.values()
    assert refused.reason.endswith("error is nan (sample 3)")


def test_what_keeps_the_budget_for_the_search_has_to_keep_it_on_the_other_samples_too(tmp_path: Path) -> None:
    tested = lab(tmp_path, (0.001,), 0.1)
    build = tested.build([step.id for step in tested.steps])
    assert build is not None
    assert tested.keep(build) is build
    assert tested.unproven(build) is None
    tested.quality = dataclasses.replace(tested.quality, rest=NoValue())
    assert tested.unproven(build) == "on the samples kept from the search, error is nan (sample 3)"
    assert [verdict.verdict for verdict in tested.verdicts.values()] == ["refused"]


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
        (Budget(), {"eval": "e.npz"}, "--eval: without --max-drop"),
        (Budget(), {"metric": "top1"}, "--metric: without --max-drop"),
        (Budget(confidence=0.95), {}, "--confidence: without --max-drop"),
        (Budget(max_drop=Drop(1, "%")), {"train": "t.npz"}, "--train"),
    ],
)
def test_what_would_not_be_used_is_one_line(budget: Budget, fields: dict[str, Any], says: str) -> None:
    from fxopt.compiler.limits import check_supported

    with pytest.raises(InputError, match=says):
        check_supported(Request("m", Path("out"), budget=budget, **fields))


class NoValue(MadeUp):
    """No candidate has a value."""

    def __init__(self) -> None:
        self.metric = WorstError()

    def of(self, run: Any) -> torch.Tensor:
        raise MetricError("error is nan (sample 3)")


# -- a whole run -------------------------------------------------------------------------------------------------------


def run(out: Path, drop: Drop, kind: Any = Run, **data: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    exported = export(net((0.001, 0.001), 1024), (torch.randn(8, 1024),))
    budget = Budget(max_drop=drop)
    request = Request("net", out, engine="eager", threads=1, passes="low_rank", budget=budget, **data)
    ledger: dict[str, Any] = kind(request, registry(), capture(exported), exported, "net", NULL).go()
    return ledger


@pytest.fixture(scope="module")
def shipped(few_rounds: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of two steps that are not exact, judged on data in a file."""
    folder = tmp_path_factory.mktemp("lossy")
    random = np.random.default_rng(0)
    for name, scale in (("eval", 1.0), ("other", 1.0)):
        np.savez(folder / f"{name}.npz", input=scale * random.standard_normal((32, 1024)).astype(np.float32))
    run(folder / "out", Drop(1.0, "%"), eval=str(folder / "eval.npz"))
    return folder


def test_a_lossy_plan_ships_with_its_drop_on_both_halves(shipped: Path) -> None:
    ledger = read(shipped / "out")
    assert {entry["verdict"] for entry in ledger["rewrites"]} == {"applied"}
    quality = ledger["result"]["quality"]
    assert (quality["metric"], quality["budget"], quality["data"]["path"]) == (
        "error",
        "1%",
        str(shipped / "eval.npz"),
    )
    for part in (quality["gate"], quality["report"]):
        assert part["samples"] == 16
        assert 0 < part["drop"]["low"] <= part["drop"]["estimate"] <= part["drop"]["high"] < 0.01
    assert quality["gate"] != quality["report"]
    plan = json.loads((shipped / "out" / "plan.json").read_text())
    assert (plan["metric"], plan["data"]["eval"]["path"]) == ("error", str(shipped / "eval.npz"))


def test_the_reports_show_the_drop_its_interval_and_what_would_prove_the_budget(shipped: Path) -> None:
    part = read(shipped / "out")["result"]["quality"]["report"]
    for name in ("report.md", "report.html"):
        text = (shipped / "out" / name).read_text()
        assert figures.drop(part["drop"]) in text
        assert "--max-drop 1%" in text
        assert "samples that no search has seen" in text


def test_a_lossy_plan_is_replayed_under_its_budget_and_gives_the_same(shipped: Path, tmp_path: Path) -> None:
    out = shipped / "out"

    def replaying(request: Request, *rest: Any) -> Replay:
        lock = Lockfile.read(out)
        return Replay(lock, False, planned(request, lock), *rest)

    replayed = run(tmp_path / "replayed", Drop(), replaying)
    assert replayed["result"]["quality"] == read(out)["result"]["quality"]
    for name in ("plan.json", "plan.safetensors"):
        assert (tmp_path / "replayed" / name).read_bytes() == (out / name).read_bytes()


def quality_of(out: Path, **options: Any) -> tuple[Any, CheckResult]:
    result = check(out, **options)
    found = {item.name: item for item in result.checks}
    assert found.keys() == {"latency", "size", "quality"}
    return found["quality"], result


def copied(shipped: Path, tmp_path: Path, change: Any) -> Path:
    """The output with another ledger and plan."""
    out = tmp_path / "copy"
    shutil.copytree(shipped / "out", out)
    ledger, plan = (json.loads((out / name).read_text()) for name in ("ledger.json", "plan.json"))
    change(ledger["result"]["quality"], plan)
    (out / "ledger.json").write_text(json.dumps(ledger))
    (out / "plan.json").write_text(json.dumps(plan))
    return out


def test_check_judges_the_artifact_again(shipped: Path) -> None:
    quality, result = quality_of(shipped / "out")
    assert quality.ok, quality.text
    recorded = read(shipped / "out")["result"]["quality"]["report"]
    assert result.data["quality"]["samples"] == recorded["samples"]
    assert result.data["quality"]["drop"]["estimate"] == pytest.approx(recorded["drop"]["estimate"], rel=1e-3)


def test_check_fails_where_the_drop_has_left_the_ledgers_interval(shipped: Path, tmp_path: Path) -> None:
    def change(quality: dict[str, Any], plan: dict[str, Any]) -> None:
        quality["report"]["drop"] = dict.fromkeys(("estimate", "low", "high"), 1e-07)

    quality, _ = quality_of(copied(shipped, tmp_path, change))
    assert not quality.ok
    assert quality.text.startswith("it left the ledger's interval: error worse by")


def test_check_fails_where_the_budget_is_not_kept(shipped: Path, tmp_path: Path) -> None:
    def change(quality: dict[str, Any], plan: dict[str, Any]) -> None:
        plan["budget"]["max_drop"] = "1e-6"

    out = copied(shipped, tmp_path, change)
    for data in (None, str(shipped / "other.npz")):
        quality, _ = quality_of(out, evaluation=data)
        assert not quality.ok
        assert "--max-drop" in quality.text


def test_check_judges_on_all_of_other_data(shipped: Path) -> None:
    quality, result = quality_of(shipped / "out", evaluation=str(shipped / "other.npz"))
    assert quality.ok, quality.text
    assert result.data["quality"]["samples"] == 32
    assert "the evaluation data are others than the ledger's" in result.notes


def test_check_wants_data_where_the_recorded_ones_are_not_here(shipped: Path, tmp_path: Path) -> None:
    def change(quality: dict[str, Any], plan: dict[str, Any]) -> None:
        plan["data"]["eval"]["path"] = "gone.npz"

    with pytest.raises(InputError, match="is not here: give --eval DATA"):
        check(copied(shipped, tmp_path, change))


def test_bisect_judges_by_the_metric_and_its_budget(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = registry()
    monkeypatch.setattr(Registry, "load", classmethod(lambda cls, without=(): plugins))
    found = bisect(shipped / "out", "quality")
    assert not found.regression
    assert "error is worse by" in found.notes[-1]

    def change(quality: dict[str, Any], plan: dict[str, Any]) -> None:
        plan["budget"]["max_drop"] = "1e-6"

    found = bisect(copied(shipped, tmp_path, change), "quality")
    assert found.regression
    assert (
        found.metric
        == "error on 16 samples of " + str(shipped / "eval.npz") + ", as PyTorch runs the rewritten program"
    )
    assert len(found.culprits) == 1
    assert found.whole is not None
    assert found.whole.interval is not None
    assert found.reproducer is not None


@pytest.mark.usefixtures("few_rounds")
def test_without_a_budget_lossy_rewrites_are_refused_and_a_note_says_what_unlocks_them(tmp_path: Path) -> None:
    ledger = run(tmp_path / "out", Drop())
    assert {(entry["verdict"], entry["reason"]) for entry in ledger["rewrites"]} == {
        ("refused", "it is approximate, and no drop of quality is allowed: see --max-drop")
    }
    assert ledger["result"]["quality"] is None
    assert any("--calib DATA --max-drop 0.5pt unlocks" in note for note in ledger["notes"])
