"""The ledger is JSON that any reader takes."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

from fxopt.compiler.lab import Verdict
from fxopt.compiler.ledger import finite_only, of_other_searches, rewrites, unmet
from fxopt.compiler.search import Search
from fxopt.testing.planners import nothing, scripted_step


def test_infinities_and_nan_become_null_and_all_else_stays() -> None:
    data = {"error": math.inf, "ratio": {"low": -math.inf, "high": 2.0}, "list": [math.nan, 1, "x", None, True]}
    text = json.dumps(finite_only(data), allow_nan=False)
    assert json.loads(text) == {"error": None, "ratio": {"low": None, "high": 2.0}, "list": [None, 1, "x", None, True]}


def lab(engine: str, *identities: str, **verdicts: str) -> Any:
    """A laboratory with what was found for it, and verdicts by pass."""
    steps = [scripted_step(identity) for identity in identities]
    said = {step.id: Verdict(verdicts[step.spec], "why") for step in steps if step.spec in verdicts}
    return SimpleNamespace(engine=engine, search=Search(nothing(), nothing(), nothing(), steps), verdicts=said)


def test_passes_that_were_asked_without_preparations_alone_are_told_of_as_well() -> None:
    plain = lab("a", "fold@x", "int8@y", "fp16@y", fp16="skipped")
    prepared = lab("a", "fold@x", "equalize@y", "int8@z")
    other = lab("b", "bf16@y")
    entries = of_other_searches([plain, prepared, other], prepared, rewrites(prepared.search, (), {}))
    assert [(entry["id"], entry["verdict"], entry["reason"]) for entry in entries] == [("fp16@y", "skipped", "why")]


def test_a_rewrite_names_the_models_own_nodes_behind_those_it_replaces() -> None:
    first, second = (scripted_step(identity) for identity in ("fold@conv", "int8@conv_folded"))
    found = Search(nothing(), nothing(), nothing(), [first, second])
    made = next(iter(second.candidate.writes))
    found.maker[made] = first.id
    entries = {entry["id"]: entry for entry in rewrites(found, (), {})}
    assert entries[first.id]["nodes"] == entries[second.id]["nodes"] == sorted(first.candidate.writes)


def test_where_a_limit_is_not_kept_nothing_counts_as_applied() -> None:
    applied = {"verdict": "applied", "reason": "it pays"}
    data = {"result": {"verdict": "2.00x faster", "unmet": None}, "rewrites": [applied, {"verdict": "declined"}]}
    unmet(data, "--max-size 1 bytes cannot be met")
    assert data["result"]["unmet"] == "--max-size 1 bytes cannot be met"
    assert data["result"]["verdict"].startswith("no model was written: --max-size 1 bytes cannot be met")
    assert [entry["verdict"] for entry in data["rewrites"]] == ["reverted", "declined"]
    assert applied["reason"].startswith("no model was written")
