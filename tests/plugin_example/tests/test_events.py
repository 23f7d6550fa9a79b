"""The listener writes a row an event, and nothing unless a file is named."""

import csv

from fxopt_example import events


def test_each_event_is_a_row(tmp_path, monkeypatch):
    file = tmp_path / "events.csv"
    monkeypatch.setenv(events.VARIABLE, str(file))
    events.fxopt_event("candidate", {"id": "log_softmax@log", "rule": "log_softmax", "of a later fxopt": 1})
    events.fxopt_event("finished", {"out": "out", "verdict": "1.2x faster"})
    first, second = csv.DictReader(file.open())
    assert (first["kind"], first["id"], first["rule"]) == ("candidate", "log_softmax@log", "log_softmax")
    assert (second["kind"], second["verdict"]) == ("finished", "1.2x faster")
    assert first["time"] <= second["time"]


def test_nothing_is_written_unless_a_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(events.VARIABLE, raising=False)
    events.fxopt_event("finished", {"out": "out", "verdict": "1.2x faster"})
    assert not list(tmp_path.iterdir())
