"""The ledger is JSON that any reader takes."""

from __future__ import annotations

import json
import math

from fxopt.compiler.ledger import finite_only


def test_infinities_and_nan_become_null_and_all_else_stays() -> None:
    data = {"error": math.inf, "ratio": {"low": -math.inf, "high": 2.0}, "list": [math.nan, 1, "x", None, True]}
    text = json.dumps(finite_only(data), allow_nan=False)
    assert json.loads(text) == {"error": None, "ratio": {"low": None, "high": 2.0}, "list": [None, 1, "x", None, True]}
