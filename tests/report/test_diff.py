"""What differs between two results."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from fxopt.report.diff import diff, diff_markdown, diff_text
from tests.report.ledgers import interval, judged, ledger, rewrite


def changed() -> dict[str, Any]:
    """The sample ledger with one rewrite more and six less, smaller, and faster."""
    after = copy.deepcopy(ledger())
    for entry in after["rewrites"]:
        if entry["pass"] == "merge-branches":
            entry.update(verdict="refused", reason="no measurable gain: a|b")
    after["rewrites"] = [entry for entry in after["rewrites"] if entry["pass"] != "fold-affine"]
    after["rewrites"].append(rewrite("compose-linear", "fc1", "applied", "measured faster"))
    after["result"].update(speedup=interval(1.3), latency_ms=interval(10.0), size_bytes=30_000_000)
    after["checks"]["artifact_error"] = 4e-6
    after["layers"]["after"][0]["ms"] = 0.1
    after["machine"]["versions"]["openvino"] = "2027.0"
    return after


def test_rewrites_gained_and_lost_come_with_what_the_other_ledger_says() -> None:
    found = diff(ledger(), changed())["rewrites"]
    (gained,) = found["gained"]
    assert (gained["id"], gained["otherwise"]) == ("compose-linear@fc1", "reverted: slower in the composite plan")
    assert [item["otherwise"] for item in found["lost"]] == ["refused: no measurable gain: a|b"] * 6 + ["not proposed"]


def test_a_near_miss_with_the_id_of_an_applied_rewrite_hides_it_not() -> None:
    before, after = ledger(), ledger()
    after["rewrites"].append(rewrite("fold-affine", "head_mul", "declined", "the value has 2 users"))
    assert diff(before, after)["rewrites"] == diff(after, before)["rewrites"] == {"gained": [], "lost": []}


def test_quality_is_shown_where_a_ledger_has_it() -> None:
    before, after = ledger(), ledger()
    assert "top1" not in diff_text(diff(before, after))
    after["result"]["quality"] = judged()
    found = diff(before, after)
    assert found["quality"] == {"before": None, "after": after["result"]["quality"]}
    value, drop = (line.split("  ") for line in diff_text(found).splitlines() if "top1" in line)
    assert [cell.strip() for cell in value if cell.strip()] == ["top1", "–", "0.756"]
    assert [cell.strip() for cell in drop if cell.strip()] == ["drop of top1", "–", "0.004 (-0.002 to 0.012)"]


def test_a_table_names_few_sites_and_the_data_all() -> None:
    before, after = ledger(), ledger()
    after["rewrites"] += [rewrite("fold-padding", f"conv_{i}", "applied", "measured faster") for i in range(60)]
    found = diff(before, after)
    assert len(found["rewrites"]["gained"]) == 60
    assert "conv_7 and 52 more" in diff_text(found)
    assert "conv_8" not in diff_text(found)


def test_figures_come_in_pairs_and_intervals_decide_whether_speed_changed() -> None:
    found = diff(ledger(), changed())
    assert found["size_bytes"] == {"before": 33_300_000, "after": 30_000_000}
    assert found["latency_ms"]["after"]["estimate"] == 10.0
    assert found["errors"]["artifact_error"] == {"before": 3.0e-6, "after": 4e-6}
    assert found["apart"]
    near = changed()
    near["result"]["speedup"] = interval(1.15)
    assert not diff(ledger(), near)["apart"]
    assert "do not tell apart" in diff_text(diff(ledger(), near))
    assert json.loads(json.dumps(found)) == found


def test_layers_are_compared_by_name_and_by_kind() -> None:
    found = diff(ledger(), changed())
    assert found["layers"][0] == {"name": "conv0", "before_ms": 0.52, "after_ms": 0.1}
    (kind,) = found["kinds"]
    assert (kind["kind"], kind["before_count"], kind["after_count"]) == ("brgemm_avx512_f32", 22, 22)
    assert kind["before_ms"] - kind["after_ms"] == pytest.approx(0.42)


def test_what_makes_two_results_hard_to_compare_is_noted() -> None:
    after = changed()
    assert diff(ledger(), after)["notes"] == ["openvino was 2026.4.1 and is 2027.0"]
    after["machine"]["cpu"], after["model"]["digest"], after["threads"] = "Another", "0", 4
    after["result"]["engine"] = after["baseline"]["engine"] = "onnxruntime"
    notes = " ".join(diff(ledger(), after)["notes"])
    for part in ("the models differ", "was openvino and is onnxruntime", "different machines", "were 2 and are 4"):
        assert part in notes
    assert "over the unmodified model on different engines: openvino before, onnxruntime after" in notes


def test_options_of_one_engine_that_changed_are_noted() -> None:
    after = ledger()
    after["result"]["engine_options"] = {"threads": 1, "precision": "f32", "versions": {"openvino": "2027.0"}}
    assert diff(ledger(), after)["notes"] == ["threads of openvino was 2 and is 1"]


def test_the_text_has_every_section() -> None:
    lines = diff_text(diff(ledger(), changed())).splitlines()
    assert lines[2] == "1 rewrite gained, 7 lost; speed-up 1.14x, now 1.30x"
    cells = [[cell for cell in line.split("  ") if cell] for line in lines]
    assert ["size", "33.3 MB", "30 MB", "−9.9%"] in [[cell.strip() for cell in row] for row in cells]
    assert any(line.split()[:2] == ["compose-linear", "1"] for line in lines)
    assert any(line.strip().startswith("conv0") and line.endswith("−80.8%") for line in lines)


def test_the_markdown_has_tables_of_equal_width() -> None:
    text = diff_markdown(diff(ledger(), changed()))
    assert text.startswith("**1 rewrite gained, 7 lost; speed-up 1.14x, now 1.30x**\n")
    assert "no measurable gain: a\\|b" in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 5
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_markdown_shows_names_and_reasons_as_they_are() -> None:
    before, after = ledger(), ledger()
    after["rewrites"].append(rewrite("p", "__x__", "applied", ""))
    before["rewrites"].append(rewrite("p", "__x__", "refused", "a <b> *c*\n[d](e) fold_padding `f`"))
    text = diff_markdown(diff(before, after))
    assert r"| p | 1 | refused: a \<b\> \*c\* \[d\](e) fold_padding \`f\` | \_\_x\_\_ |" in text


def test_a_result_compared_with_itself_shows_no_change() -> None:
    found = diff(ledger(), ledger())
    assert found["rewrites"] == {"gained": [], "lost": []}
    assert found["notes"] == []
    assert not found["apart"]
    assert all(row["before_ms"] == row["after_ms"] for row in found["layers"])
    assert "rewrites gained:" not in diff_text(found)
