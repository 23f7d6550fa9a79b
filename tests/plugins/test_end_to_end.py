"""The outside plugin as its user meets it: installed, and fxopt run as a command."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Fxopt = Callable[..., subprocess.CompletedProcess[str]]

ENTRIES = {
    "example_exact": "passes: log_softmax",
    "example_approximate": "passes: low_rank",
    "example_target": "targets: rated_cpu",
    "example_engine": "engines: ncnn",
    "example_events": "hooks: fxopt_event",
}


def passes(fxopt: Fxopt, *arguments: str) -> dict[str, Any]:
    """What `--dry-run` says of each pass."""
    answer = fxopt("optimize", "net:classifier", "--dry-run", "--json", *arguments)
    return {item["pass"]: item for item in json.loads(answer.stdout)["passes"]}


def test_list_plugins_says_where_each_is_from_and_what_it_brings(fxopt: Fxopt) -> None:
    lines = fxopt("list", "plugins").stdout.splitlines()
    for name, brings in ENTRIES.items():
        at = next(index for index, line in enumerate(lines) if line.split()[0] == name)
        assert lines[at].split()[1:] == ["fxopt-example", "0.1.0"]
        assert lines[at + 1].strip() == brings


def test_list_shows_what_the_plugin_brings_with_its_options(fxopt: Fxopt) -> None:
    assert "rank=0.25  rank of the factors" in fxopt("list", "passes").stdout
    assert "gflops=40.0" in fxopt("list", "targets").stdout
    engines = fxopt("list", "engines").stdout
    state = "available, version" if importlib.util.find_spec("ncnn") else "ncnn is not installed: pip install"
    assert state in engines[engines.index("\nncnn") :]


def test_each_plugin_is_switched_off_by_its_name_and_built_ins_too(fxopt: Fxopt) -> None:
    assert {"log_softmax", "low_rank", "fold_batch_norm", "remove_identities"} <= passes(fxopt).keys()
    left = passes(fxopt, "-p", "no:example_exact", "-p", "no:fusion")
    assert {"low_rank", "remove_identities"} <= left.keys()
    assert not {"log_softmax", "fold_batch_norm"} & left.keys()
    refused = fxopt("optimize", "net:classifier", "--target", "rated_cpu", "-p", "no:example_target", status=2)
    assert "unknown target 'rated_cpu'" in refused.stderr


def test_the_exact_pass_is_applied(fxopt: Fxopt) -> None:
    assert passes(fxopt)["log_softmax"]["steps"] == 1


def test_the_approximate_pass_is_refused_without_a_budget_and_considered_with_one(fxopt: Fxopt) -> None:
    without = passes(fxopt)["low_rank"]
    assert without["steps"] == 0
    assert "no drop of quality is allowed: see --max-drop" in without["refused"][0]["reason"]
    assert passes(fxopt, "--max-drop", "5%")["low_rank"]["steps"] == 1


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ncnn") is None, reason="ncnn is not installed")
def test_engine_auto_considers_ncnn_and_the_listener_writes_what_happened(fxopt: Fxopt, tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    arguments = ("--target", "cpu", "--engine", "auto", "--threads", "1", "--passes", "log_softmax", "-o", "out")
    fxopt("optimize", "net:image", *arguments, FXOPT_EXAMPLE_EVENTS=str(events))
    ledger = json.loads((tmp_path / "out" / "ledger.json").read_text())
    assert not ledger["faults"]
    measured = {row["engine"] for row in ledger["variants"] if row["latency_ms"]}
    assert {"ncnn", "onnxruntime", "openvino"} <= measured
    rows = list(csv.DictReader(events.open()))
    assert [row["kind"] for row in rows][-1] == "finished"
    assert rows[-1]["verdict"] == ledger["result"]["verdict"]


def test_the_listener_is_told_of_each_rewrite(fxopt: Fxopt, tmp_path: Path) -> None:
    events = tmp_path / "events.csv"
    fxopt("optimize", "net:classifier", "--dry-run", "--passes", "log_softmax", FXOPT_EXAMPLE_EVENTS=str(events))
    (row,) = csv.DictReader(events.open())
    assert (row["kind"], row["rule"]) == ("candidate", "log_softmax")
