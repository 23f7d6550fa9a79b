"""The benchmark of the target `gpu`, on a few models, and its figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_gpu
from benchmarks.gpu.describe import CARDS, DATA, at_batch, from_json, read, rows, to_json
from benchmarks.gpu.fit import coefficients, figures, fit
from fxopt_plugins.targets.gpu_kernels import Kernel
from fxopt_plugins.targets.gpu_times import coefficients as written

LINEAR = Kernel("linear", "float16", 2e6, 1e3, 4e3, 2e3, 10, 100, 1000, 1)


def test_smoke_foretells_published_rows_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "gpu.json"
    bench_gpu.main(["--smoke", "--out", str(out)])
    report = json.loads(out.read_text())
    assert set(report["cards"]) == set(CARDS)
    for card in report["cards"].values():
        assert card["held out"]["models"] == card["two coefficients"]["models"] == len(card["models"])
        assert all(item["ms"] > 0 and item["predicted"] > 0 for item in card["models"].values())
    assert {row["precision"] for row in report["published"]} == {"fp32", "fp16", "int8"}
    assert "two coefficients" in capsys.readouterr().out


def test_the_rows_are_those_of_the_cards() -> None:
    found = rows("rtx3090")["resnet50", 160]
    assert found["gmacs"] == pytest.approx(2.1)
    assert 50 < found["ms"] < 1000
    assert all(row["source"] for row in json.loads((DATA / "published.json").read_text()))


def test_kernels_are_counted_and_read_back() -> None:
    assert from_json(to_json([LINEAR, LINEAR])) == [(LINEAR, 2)]
    grown = at_batch(LINEAR, 8)
    assert (grown.rows, grown.read, grown.weights, grown.flops) == (80, 8e3, 4e3, 1.6e7)


def test_figures_of_predictions() -> None:
    found = figures(np.array([1.1, 2.0, 2.0]), np.array([1.0, 2.0, 4.0]))
    assert found["mape"] == pytest.approx((0.1 + 0 + 0.5) / 3)
    assert 0 < found["tau"] <= 1


def test_coefficients_that_made_latencies_are_found_again() -> None:
    described = {name: item for name, item in list(read().items())[:60] if "inductor" in item}
    given = bench_gpu.Rows.of("rtx4090", "inductor", described)
    made = given.predict(written()["inductor"])
    fresh = type(given)(**{**vars(given), "milliseconds": made})
    again = fresh.predict(coefficients(fit(fresh)))
    assert figures(again, made)["mape"] < 0.03
