"""report.md and the figures in both reports; the page itself is looked at in test_page."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxopt.errors import InputError
from fxopt.report import digest, explain, figures, write
from tests.report.ledgers import interval, judged, ledger, rewrite


@pytest.fixture
def text(tmp_path: Path) -> str:
    write(ledger(), tmp_path)
    return (tmp_path / "report.md").read_text()


def test_the_text_has_every_part(text: str) -> None:
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "Notes",
        "Latency",
        "What the rewrites bring",
        "Time by layer",
        "Rewrites",
        "Does it compute the same?",
        "Machine and command",
    ]
    assert text.startswith("# 1.14x faster")
    assert "    fxopt optimize repvgg_a0.pt2 --threads 2 -o out" in text


def test_quality_is_told_with_its_interval_and_what_it_would_take_to_prove_the_budget(tmp_path: Path) -> None:
    data = ledger()
    data["result"]["quality"] = judged()
    write(data, tmp_path)
    lines = (tmp_path / "report.md").read_text().splitlines()
    assert "--max-drop 0.5pt of top1 on eval.npz; the estimate keeps it. Intervals at 95%." in lines
    (row,) = [line for line in lines if line.startswith("| samples that no search has seen")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:] == ["0.76", "0.756", "0.004 (-0.002 to 0.012)", "0.005", "1000", "12", "about 36000"]
    assert any("about 36000" in line for line in (tmp_path / "report.html").read_text().splitlines())


def point(what: str, ratio: float | None, drop: float | None, reason: str | None = None) -> dict[str, object]:
    timed = ratio and interval(ratio)
    return {"engine": "openvino", "what": what, "latency_ratio": timed, "size_bytes": 9_000_000, "drop": drop} | {
        "kept": reason is None,
        "reason": reason,
    }


def test_plans_that_were_tried_are_told_with_what_is_wrong_with_them(tmp_path: Path) -> None:
    points = [
        point("int8 x 33", 0.41, 0.06, "top1 is worse by 6pt"),
        point("bf16 x 53", 0.65, 0.0),
        point("the unmodified model", None, None),
    ]
    write(ledger(frontier=points), tmp_path)
    text = (tmp_path / "report.md").read_text()
    _, _, rest = text.partition("## What was tried")
    part, _, _ = rest.partition("## ")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if " | openvino | " in line
    ]
    assert rows == [
        ["int8 x 33", "openvino", "0.410 (0.402 to 0.418)", "9 MB", "0.06", "top1 is worse by 6pt"],
        ["bf16 x 53", "openvino", "0.650 (0.637 to 0.663)", "9 MB", "0", ""],
    ]
    assert "top1 is worse by 6pt" in (tmp_path / "report.html").read_text()


def test_quality_on_made_up_inputs_is_told_once_and_as_that(tmp_path: Path) -> None:
    data = ledger()
    data["result"]["quality"] = judged(data=None)
    write(data, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| made-up inputs | 0.76 |" in text
    assert "no search has seen" not in text


def test_the_speed_up_of_a_replay_is_over_the_engine_of_the_plan(tmp_path: Path, text: str) -> None:
    assert "Speed-up is over the best engine on the unmodified model." in text
    write(ledger(replay={}), tmp_path)
    assert "Speed-up is over the unmodified model on the plan's engine." in (tmp_path / "report.md").read_text()


def test_notes_and_the_time_that_phases_took_are_told(text: str) -> None:
    assert "- no installed pass asked for calibration data" in text
    assert "81 s: search for rewrites 2, confirm what ships on fresh measurements 40" in text


def test_the_tables_of_the_text_are_whole(text: str) -> None:
    lines = text.splitlines()
    for index, line in enumerate(lines):
        if line.startswith("|") and lines[index - 1].startswith("|"):
            assert line.count("|") == lines[index - 1].count("|"), line


def test_declines_for_one_reason_are_one_line_with_their_count(text: str) -> None:
    (line,) = [line for line in text.splitlines() if line.startswith("| fold-padding")]
    assert line == "| fold-padding | the value is <not> zero | – | 40 | pad_0, pad_1, pad_2 … |"


def test_a_refusal_shows_the_ratio_that_was_measured(tmp_path: Path) -> None:
    measured = rewrite("merge", "x", "refused", "no gain", latency_ratio=interval(1.0, 0.01))
    write(ledger(rewrites=[measured, measured, rewrite("merge", "y", "refused", "no gain")]), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| merge | no gain | 1.000 (0.990 to 1.010) | 2 | x, x |" in text
    assert "| merge | no gain | – | 1 | y |" in text
    assert "1.000 (0.990 to 1.010)</td><td" in (tmp_path / "report.html").read_text()


def test_errors_of_the_rewritten_program_are_left_out_where_nothing_was_rewritten(tmp_path: Path) -> None:
    write(ledger(rewrites=[]), tmp_path)
    for file in ("report.html", "report.md"):
        text = (tmp_path / file).read_text()
        assert "float32 rounding error" not in text
        assert "against PyTorch in float32" in text


def test_versions_among_the_engines_options_are_left_out() -> None:
    assert figures.options({"threads": 2, "versions": {"torch": "2.13"}}) == "threads=2"


def test_a_pipe_in_a_reason_does_not_break_the_table(tmp_path: Path) -> None:
    write(ledger(rewrites=[rewrite("a", "b", "refused", "x|y")]), tmp_path)
    assert "| a | x\\|y | – | 1 | b |" in (tmp_path / "report.md").read_text()


def test_a_run_that_changed_nothing_is_reported(tmp_path: Path) -> None:
    write(ledger(rewrites=[], layers={"before": [], "after": []}), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "No rewrite is in the plan that ships." in text
    assert "No rewrite was considered." in text
    assert "No engine gave times by layer." in text


def test_the_same_ledger_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(ledger(), tmp_path / name)
    for file in ("report.html", "report.md"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_contributions_come_best_first_with_sizes_summed() -> None:
    first, second = digest.contributions(ledger())
    assert (first.name, first.count, first.size_bytes) == ("merge-branches", 6, -720_000)
    assert (second.name, second.count) == ("fold-affine", 1)


def test_layers_are_summed_by_kind() -> None:
    found = {layer.kind: layer for layer in digest.by_kind(ledger()["layers"])}
    assert found["eltwise"].before_ms == pytest.approx(0.96)
    assert found["eltwise"].after_ms == 0
    assert found["brgemm_avx512_f32"].after_count == 22


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (figures.size(33_400_000), "33.4 MB"),
        (figures.size(999), "999 B"),
        (figures.change(-720_000), "−720 kB"),
        (figures.change(0), "0"),
        (figures.milliseconds(4.312), "4.31 ms"),
        (figures.milliseconds(123.4), "123 ms"),
        (figures.milliseconds(0.0431), "0.0431 ms"),
        (figures.milliseconds(None), "–"),
        (figures.speedup(figures.inverse({"estimate": 0.8, "low": 0.5, "high": 1.0})), "1.25x (1.00 to 2.00)"),
        (figures.ratio(interval(0.5, 0.0)), "0.500 (0.500 to 0.500)"),
    ],
)
def test_figures_are_short(text: str, expected: str) -> None:
    assert text == expected


def test_explain_everything_begins_with_the_verdict_and_groups_by_what_became_of_it() -> None:
    lines = explain(ledger())
    assert lines[0].startswith("1.14x faster")
    assert [line for line in lines if not line.startswith(" ")][2:] == [
        "applied (7):",
        "reverted (1):",
        "refused (1):",
        "declined (40):",
    ]


def test_explain_shows_what_the_options_at_a_node_were_priced_at_on_each_engine() -> None:
    there = {"id": "int8@r", "site": "r", "nodes": ["conv2d_2"], "floats_ms": 0.31, "predicted_ms": 0.12}
    options = [
        {
            **there,
            "pass": "bf16",
            "engine": "openvino",
            "profiled_ms": None,
            "ships": False,
            "reason": "int8 is better",
        },
        {**there, "pass": "int8", "engine": "openvino", "profiled_ms": 0.1, "ships": True, "reason": ""},
        {
            **there,
            "pass": "int8",
            "engine": "onnxruntime",
            "profiled_ms": 0.4,
            "predicted_ms": None,
            "ships": False,
            "reason": "slow",
        },
        {
            **there,
            "pass": "fp16",
            "engine": "onnxruntime",
            "profiled_ms": None,
            "predicted_ms": None,
            "ships": False,
            "reason": "",
        },
    ]
    found = {**ledger(), "options": options, "rewrites": [rewrite("int8", "r", "applied", "fast", nodes=["conv2d_2"])]}
    assert explain(found, "conv2d_2")[-4:] == [
        "options (3):",
        "  int8 at r on onnxruntime; 0.400 ms by the engine's profile, 0.310 ms in floats; slow",
        "  int8 at r on openvino; 0.100 ms by the engine's profile and 0.120 ms predicted, 0.310 ms in floats; ships",
        "  bf16 at r on openvino; 0.120 ms predicted, 0.310 ms in floats; int8 is better",
    ]
    assert not any("options" in line for line in explain({**found, "options": []}, "conv2d_2"))


def test_explain_tells_of_a_node_that_lies_inside_a_rewrite() -> None:
    inside = rewrite("int8", "batch_norm_2__conv2d_06c5", "applied", "it pays", nodes=["conv2d_2", "batch_norm_2"])
    found = ledger(rewrites=[inside])
    assert explain(found, "conv2d_2") == explain(found, "int8")
    with pytest.raises(InputError, match=r"^conv2d_9: no rewrite was considered at a node of that name.*conv2d_2"):
        explain(found, "conv2d_9")
