"""Each pass finds the site made for it; the benchmark keeps what a ledger says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_rewrites
from benchmarks.sites import SITES
from fxopt.compiler.search import search
from fxopt.ir.capture import capture, export
from fxopt.registry import Registry
from fxopt_plugins.planners.by_pass import SAME


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load()


@pytest.mark.parametrize("name", [name for name, site in SITES.items() if site.rule])
def test_the_pass_finds_its_site_and_its_rewrites_are_exact(name: str, registry: Registry) -> None:
    site = SITES[name]
    found = search(capture(export(*site.build())), registry.make_passes(None), registry)
    steps = [step for step in found.steps if step.candidate.rule == site.rule]
    assert steps
    assert all(found.evidence[step.id].fault is None for step in steps)
    assert not [item.reason for item in found.refusals if item.candidate.rule == site.rule]
    reasons = [item.reason for item in found.declines if item.rule == site.rule]
    assert bool(reasons) == bool(site.declines)
    assert all(site.declines in reason for reason in reasons)


def test_dead_code_is_gone_before_any_pass() -> None:
    program = capture(export(*SITES["dead_code"].build()))
    assert [node.args[1].name for node in program.calls] == ["n0_b_weight"]


def test_a_site_is_the_same_each_time() -> None:
    (first, (x,)), (second, (again,)) = SITES["repvgg"].build(), SITES["repvgg"].build()
    assert x.equal(again)
    assert first(x).equal(second(again))


def ledger(*rewrites: dict[str, Any], ratio: dict[str, float] | None = None) -> dict[str, Any]:
    return {
        "created": "2026-01-02T03:04:05+00:00",
        "machine": {},
        "threads": 2,
        "fxopt": "0.1.0",
        "noise": {"confidence": 0.995},
        "baseline": {"latency_ms": {"estimate": 2.0, "low": 1.9, "high": 2.1}},
        "result": {"ratio": ratio},
        "rewrites": [
            {"pass": "fold", "reason": "why", "latency_ratio": None, "size_bytes": 8} | item for item in rewrites
        ],
    }


def interval(low: float, high: float) -> dict[str, float]:
    return {"estimate": (low + high) / 2, "low": low, "high": high}


def outcome(*rewrites: dict[str, Any], ratio: dict[str, float] | None = None) -> str:
    return bench_rewrites.outcome(bench_rewrites.summary(ledger(*rewrites, ratio=ratio), "fold"))


def test_what_was_applied_has_the_ratio_of_its_group() -> None:
    applied = {"verdict": "applied", "error": 1e-15, "latency_ratio": interval(0.79, 0.83)}
    kept = bench_rewrites.summary(ledger(applied, applied | {"error": 3e-15}, ratio=interval(0.5, 0.6)), "fold")
    assert bench_rewrites.outcome(kept) == "applied 0.81 (0.79 to 0.83)"
    assert (kept["float64_error"], kept["size_bytes"], kept["verdicts"]) == (3e-15, 16, {"applied": 2})


def test_what_gained_only_with_others_has_the_ratio_of_the_plan() -> None:
    applied = {"verdict": "applied", "error": 1e-15, "latency_ratio": interval(0.98, 1.01)}
    assert outcome(applied, ratio=interval(0.5, 0.6)) == "applied 0.55 (0.50 to 0.60) in the whole plan"


def test_what_was_refused_says_by_how_much_or_why() -> None:
    refused = {"verdict": "refused", "error": 1e-15}
    assert outcome(refused | {"latency_ratio": interval(0.99, 1.01)}) == "refused 1.00 (0.99 to 1.01)"
    assert outcome(refused | {"reason": SAME}) == "same kernels"
    assert outcome(refused) == "refused: why"


def test_one_applied_among_others_decides_and_other_passes_do_not() -> None:
    refused = {"verdict": "refused", "error": None, "latency_ratio": interval(0.99, 1.01)}
    applied = {"verdict": "applied", "error": None, "latency_ratio": interval(0.7, 0.9)}
    assert outcome(refused, refused, applied) == "applied 0.80 (0.70 to 0.90)"
    assert outcome(refused, applied | {"pass": "other"}) == "refused 1.00 (0.99 to 1.01)"
    assert outcome({"verdict": "declined", "error": None}) == "none: no candidate"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What would have been measured, in place of measuring it."""
    calls: list[tuple[str, str]] = []

    def run(name: str, engine: str) -> dict[str, Any]:
        calls.append((name, engine))
        return {"verdict": "refused", "reason": "why", "ratio": None, "seconds": 0.0}

    monkeypatch.setattr(bench_rewrites, "run", run)
    return calls


def test_goes_on_with_what_is_missing_or_failed(runs: list[tuple[str, str]], tmp_path: Path) -> None:
    out = tmp_path / "rewrites.json"
    bench_rewrites.main(["gelu", "--out", str(out)])
    bench_rewrites.keep(out, "silu", "eager", {"verdict": "failed"})
    runs.clear()
    bench_rewrites.main(["--engine", "eager", "--out", str(out)])
    measurable = [name for name, site in SITES.items() if site.rule]
    assert runs == [(name, "eager") for name in measurable if name != "gelu"]
    sites = json.loads(out.read_text())["sites"]
    assert list(sites) == measurable
    assert list(sites["gelu"]) == list(bench_rewrites.ENGINES)


def test_measures_named_sites_again(runs: list[tuple[str, str]], tmp_path: Path) -> None:
    for _ in range(2):
        bench_rewrites.main(["gelu", "--engine", "eager", "--out", str(tmp_path / "rewrites.json")])
    assert runs == [("gelu", "eager")] * 2


@pytest.mark.parametrize("name", ["gelo", "dead_code"])
def test_a_site_that_it_cannot_measure_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_rewrites.main([name])
    assert f"unknown site {name!r}" in capsys.readouterr().err


@pytest.mark.slow
def test_smoke_measures_a_tiny_net(tmp_path: Path) -> None:
    out = tmp_path / "rewrites.json"
    bench_rewrites.main(["--smoke", "--engine", "eager", "--out", str(out)])
    result = json.loads(out.read_text())["sites"]["tiny"]["eager"]
    assert result["verdicts"].keys() <= {"applied", "refused", "reverted"}
    assert sum(result["verdicts"].values()) == 2
    assert result["ratio"]["estimate"] > 0
    assert result["float64_error"] < 1e-9
