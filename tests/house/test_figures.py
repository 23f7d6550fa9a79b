"""Every figure in README and the pages comes from a file that a benchmark wrote."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.sites import SITES
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


def rewrite(verdict: str, ratio: float | None = None, same_kernels: bool = False) -> dict[str, object]:
    """What `bench_rewrites.summary` keeps of a run, with made-up figures."""
    conditions = model("eager", 1, 1, {})
    return {name: conditions[name] for name in ("date", "threads", "noise", "machine")} | {
        "verdict": verdict,
        "reason": "why",
        "same_kernels": same_kernels,
        "ratio": ratio and {"estimate": ratio, "low": ratio, "high": ratio},
        "whole_plan": False,
        "float64_error": 2e-15,
    }


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_a_page_says_what_the_results_say(page: Path) -> None:
    text = page.read_text()
    assert figures.filled(text) == text, "run: make docs"


def test_each_result_stands_on_a_page() -> None:
    texts = [page.read_text() for page in figures.PAGES]
    assert all(any(f"<!-- figures: {name} -->" in text for text in texts) for name in figures.BLOCKS)


def test_check_names_the_pages_that_are_out_of_date(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page, stale = tmp_path / "page.md", "<!-- figures: honesty.json -->\n0 times\n<!-- end of figures -->\n"
    page.write_text(stale)
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    monkeypatch.setattr(figures, "PAGES", (page,))
    monkeypatch.setattr(sys, "argv", ["figures", "--check"])
    with pytest.raises(SystemExit, match=r"page\.md: figures are not those"):
        figures.main()
    assert page.read_text() == stale
    monkeypatch.setattr(sys, "argv", ["figures"])
    figures.main()
    assert page.read_text() == figures.filled(stale) != stale


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
    assert "Not measured yet: MobileNetV2, trained, " in table
    assert "Geometric mean" not in table


def test_the_table_of_rewrites_has_a_row_for_each_and_says_what_is_missing() -> None:
    results = {"gelu": {"openvino": rewrite("refused", same_kernels=True), "eager": rewrite("applied", ratio=0.5)}}
    table = figures.rewrites({"sites": results})
    assert "| rewrite | pass | PyTorch eager | OpenVINO |" in table
    link = "[`recognise_activation`](reference/passes.md#recognise_activation)"
    assert f"| recognise GELU | {link} | applied 0.50 (0.50 to 0.50) | same kernels |" in table
    assert f"| recognise SiLU | {link} | not measured yet | not measured yet |" in table
    assert "| remove dead code | the capture | none is left | none is left |" in table
    assert all(site.title in table for site in SITES.values())
    assert table.endswith("Largest float64 error of a rewrite: 2.0e-15.")


def test_a_reason_does_not_break_the_table() -> None:
    failed = {"verdict": "failed", "reason": "a | b", "ratio": None}
    table = figures.rewrites({"sites": {"gelu": {"eager": failed}, "silu": {"eager": rewrite("applied", ratio=0.5)}}})
    assert "| failed: a \\| b |" in table


def test_without_a_measured_site_there_is_no_table() -> None:
    assert figures.rewrites({"sites": {"tiny": {"eager": rewrite("applied", ratio=0.5)}}}) == figures.NOT_YET
