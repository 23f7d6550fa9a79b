"""The benchmark of growth, on small graphs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import bench_scale
from benchmarks.synthetic import program


def test_a_program_has_the_size_that_it_is_said_to_have() -> None:
    for stages in (1, 2):
        graph = program(stages)
        assert sum(1 for _ in graph.calls) == 1 + 250 * stages
        assert bench_scale.batch_norms(graph) == 25 * stages


def test_exponents_are_those_of_a_power_law() -> None:
    sizes = [{"nodes": nodes, "seconds": 3e-4 * nodes**1.3} for nodes in (500, 1000, 5000)]
    assert bench_scale.exponents(sizes) == {"least_squares": pytest.approx(1.3), "two_points": pytest.approx(1.3)}


def test_no_run_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_scale.main(["--runs", "0"])
    assert "--runs must be at least 1" in capsys.readouterr().err


def test_smoke_folds_every_batch_norm_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scale.json"
    bench_scale.main(["--smoke", "--out", str(out)])
    report = json.loads(out.read_text())
    assert report["machine"]["cpu"]
    assert set(report["exponents"]) == {"least_squares", "two_points"}
    assert [size["batch_norms"] for size in report["sizes"]] == [25, 50]
    for size in report["sizes"]:
        assert size["batch_norms_left"] == 0
        assert size["faults"] == {}
        assert size["checked"] == size["steps"] > size["batch_norms"]
        assert size["nodes_left"] < size["nodes"]
    assert "time grows with nodes" in capsys.readouterr().out
