"""`fxopt explain`, `fxopt check`, `fxopt diff`, `fxopt list`, and starting fxopt at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import fxopt.compiler.check as checking
from fxopt.registry import Registry
from tests.report.ledgers import ledger


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "ledger.json").write_text(json.dumps(ledger()))
    return tmp_path


def test_explain_tells_the_story_of_one_node(fxopt: Callable[..., Any], out: Path) -> None:
    answer = fxopt("explain", str(out), "stem_bn")
    assert answer.status == 0
    assert answer.out.splitlines() == [
        "refused (1):",
        "  fold-batch-norm at stem_bn; the engine fuses this itself; float64 error 2.0e-16",
    ]


@pytest.mark.parametrize("command", ["explain", "check"])
def test_a_publication_that_was_cut_short_is_finished_before_the_ledger_is_read(
    fxopt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, out: Path, command: str
) -> None:
    monkeypatch.setattr(checking, "check", lambda folder, progress, data: checking.CheckResult(()))
    (out / "journal" / "result").mkdir(parents=True)
    (out / "ledger.json").rename(out / "journal" / "result" / "ledger.json")
    (out / "journal" / "commit").write_text('["ledger.json"]')
    assert fxopt(command, str(out)).status == 0


def test_explain_suggests_the_nearest_node(fxopt: Callable[..., Any], out: Path) -> None:
    answer = fxopt("explain", str(out), "stem_bm")
    assert answer.status == 2
    assert "did you mean 'stem_bn'?" in answer.err


@pytest.mark.parametrize(
    ("text", "says"), [(None, "no ledger.json"), ("{", "damaged"), ('{"version": 99}', "version 99"), ("[]", "version")]
)
def test_a_bad_output_folder_is_one_line(
    fxopt: Callable[..., Any], tmp_path: Path, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / "ledger.json").write_text(text)
    answer = fxopt("explain", str(tmp_path))
    assert answer.status == 2
    assert says in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 3)])
def test_check_exits_3_where_the_ledger_is_not_kept(
    fxopt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, out: Path, ok: bool, status: int
) -> None:
    result = checking.CheckResult((checking.Check("latency", ok, "0.9 of it"),), ("one thing",), {"ratio": 0.9})
    monkeypatch.setattr(checking, "check", lambda folder, progress, data: result)
    answer = fxopt("check", str(out))
    said = f"latency: {'ok' if ok else 'FAILED'}: 0.9 of it\nnote: one thing\n"
    assert (answer.status, answer.out) == (status, said)
    answer = fxopt("check", str(out), "--json")
    assert (answer.status, json.loads(answer.out)) == (status, {"ok": ok, "ratio": 0.9})


def test_check_writes_its_checks_for_ci_systems(
    fxopt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, out: Path
) -> None:
    checks = (checking.Check("size", True, "5 bytes"), checking.Check("latency", False, "1.2 of it"))
    monkeypatch.setattr(checking, "check", lambda folder, progress, data: checking.CheckResult(checks))
    assert fxopt("check", str(out), "--junit", "j.xml", "--sarif", "s.json").status == 3
    suite = ElementTree.parse("j.xml").getroot()[0]
    assert [(case.get("name"), case[0].tag) for case in suite] == [("size", "system-out"), ("latency", "failure")]
    (result,) = json.loads(Path("s.json").read_text())["runs"][0]["results"]
    assert (result["ruleId"], result["message"]) == ("latency", {"text": "1.2 of it"})


@pytest.mark.parametrize("flag", ["--junit", "--sarif"])
def test_check_measures_nothing_where_its_files_cannot_be_written(
    fxopt: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, out: Path, flag: str
) -> None:
    monkeypatch.setattr(checking, "check", lambda folder, progress, data: pytest.fail("something is measured"))
    for file in ("missing/there.xml", str(out)):
        answer = fxopt("check", str(out), flag, file)
        assert answer.status == 2
        assert f"{flag} {file}: cannot be written" in answer.err


def test_check_refuses_eval_where_no_quality_was_recorded(fxopt: Callable[..., Any], out: Path) -> None:
    answer = fxopt("check", str(out), "--eval", "e.npz")
    assert answer.status == 2
    assert "no quality" in answer.err


def test_diff_says_what_differs_as_text_markdown_or_json(fxopt: Callable[..., Any], out: Path) -> None:
    other = out / "other"
    other.mkdir()
    (other / "ledger.json").write_text(json.dumps(ledger(rewrites=[])))
    arguments = ("diff", str(out), str(other))
    text, markdown, data = (fxopt(*arguments, *flags) for flags in ((), ("--markdown",), ("--json",)))
    assert {answer.status for answer in (text, markdown, data)} == {0}
    assert "0 rewrites gained, 7 lost" in text.out
    assert markdown.out.startswith("**0 rewrites gained, 7 lost")
    assert len(json.loads(data.out)["rewrites"]["lost"]) == 7
    answer = fxopt(*arguments, "--json", "--markdown")
    assert (answer.status, answer.err.count("\n")) == (2, 1)


def test_diff_finishes_publications_that_were_cut_short(fxopt: Callable[..., Any], out: Path) -> None:
    (out / "journal" / "result").mkdir(parents=True)
    (out / "ledger.json").rename(out / "journal" / "result" / "ledger.json")
    (out / "journal" / "commit").write_text('["ledger.json"]')
    assert fxopt("diff", str(out), str(out)).status == 0


def test_list_names_every_engine_with_its_availability_and_options(fxopt: Callable[..., Any]) -> None:
    answer = fxopt("list", "engines")
    assert answer.status == 0
    for name in Registry.load().engines:
        assert any(line.startswith(name) for line in answer.out.splitlines())
    assert "available" in answer.out
    assert "threads=0  threads that one call may use" in answer.out
    assert "spinning=true" in answer.out


def test_list_alone_names_every_kind(fxopt: Callable[..., Any]) -> None:
    lines = fxopt("list").out.splitlines()
    for kind in ("passes:", "targets:", "engines:", "planners:", "frontends:", "metrics:", "plugins:"):
        assert kind in lines


def test_list_names_every_metric_with_its_options(fxopt: Callable[..., Any]) -> None:
    answer = fxopt("list", "metrics")
    assert answer.status == 0
    for name in Registry.load().metrics:
        assert any(line.startswith(name) for line in answer.out.splitlines())
    assert "output=none  which output is judged" in answer.out


def test_list_suggests_the_nearest_kind(fxopt: Callable[..., Any]) -> None:
    answer = fxopt("list", "engine")
    assert answer.status == 2
    assert "did you mean 'engines'?" in answer.err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m fxopt list | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert result.stderr == ""


def test_version_is_printed(fxopt: Callable[..., Any]) -> None:
    answer = fxopt("--version")
    assert answer.status == 0
    assert answer.out.startswith("fxopt, version ")
