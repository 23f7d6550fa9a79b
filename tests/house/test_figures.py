"""Every figure in README comes from a file that a benchmark wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import bench_exact
from docs import figures


def model(engine: str, low: float, high: float, applied: dict[str, int]) -> dict[str, object]:
    """What `bench_exact.summary` keeps of a run, with made-up figures."""

    def row(name: str, engine: str, ms: float | None) -> dict[str, object]:
        return {"name": name, "engine": engine, "latency_ms": ms and {"estimate": ms, "low": ms, "high": ms}}

    return {
        "date": "2026-01-02T03:04:05+00:00",
        "threads": 2,
        "noise": {"confidence": 0.995},
        "machine": {"cpu": "A CPU", "cores": 2, "isa": ["avx2"], "versions": {"torch": "2.13.0"}},
        "variants": [
            row("onnxruntime", "onnxruntime", 11),
            row("openvino", "openvino", None),
            row("fxopt", engine, 10),
        ],
        "engine": engine,
        "speedup": 1.1,
        "interval": {"estimate": 1.1, "low": low, "high": high},
        "applied": applied,
    }


def test_readme_says_what_the_results_say() -> None:
    text = figures.README.read_text()
    assert figures.filled(text) == text, "run: python docs/figures.py"


def test_readme_has_a_block_for_each_result() -> None:
    assert all(f"<!-- figures: {name} -->" in figures.README.read_text() for name in figures.BLOCKS)


def test_without_results_it_says_that_nothing_was_measured(tmp_path: Path) -> None:
    text = "<!-- figures: exact.json -->\n| old |\n<!-- end of figures -->\n"
    assert (
        figures.filled(text, tmp_path)
        == f"<!-- figures: exact.json -->\n\n{figures.NOT_YET}\n\n<!-- end of figures -->\n"
    )


def test_a_marker_of_unknown_results_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match=r"other\.json"):
        figures.filled("<!-- figures: other.json -->\n<!-- end of figures -->", tmp_path)


def test_the_table_shows_failures_and_what_shipped_unchanged() -> None:
    models = {"bert": model("onnxruntime", 1.08, 1.12, {"merge_parallel": 4}), "resnet50": model("openvino", 1, 1, {})}
    table = figures.exact({"models": models, "geomean": {"speedup": None}})
    assert (
        "| small BERT, separate Q/K/V | failed | failed | 11 | failed | 10 | ONNX Runtime | 1.10 (1.08 to 1.12) |"
        in table
    )
    assert "| OpenVINO | 1.10, unmodified |" in table
    assert "Not measured yet: MobileNetV2 (trained), " in table
    assert "Geometric mean" not in table


def test_the_table_knows_every_model_of_the_benchmark() -> None:
    assert figures._MODELS.keys() == bench_exact.NAMES.keys()
