"""Drops and budgets: texts that are read, and texts that read back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt.contracts.cost import Budget, Drop
from fxopt.errors import InputError

NUMBERS = st.floats(min_value=0, max_value=1e308)
UNITS = st.sampled_from(["", "pt", "%"])


@given(NUMBERS, UNITS, st.sampled_from(["{!r}", "{:.17e}", "{:.17E}", "{:.17g}", " {:.1e} ", "{:f}"]))
def test_every_finite_number_is_read_in_decimal_and_exponent_form(value: float, unit: str, form: str) -> None:
    text = form.format(value)
    assert Drop.parse(text.rstrip() + unit) == Drop(float(text), unit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"), [(".1", 0.1), ("1.", 1.0), ("1e-3", 1e-3), ("1.0e-03", 1e-3), (".5E+1", 5.0)]
)
def test_numbers_are_read_as_people_and_programs_write_them(text: str, value: float) -> None:
    assert Drop.parse(text) == Drop(value)
    assert Drop.parse(f"{text} pt") == Drop(value, "pt")


@pytest.mark.parametrize(
    "text", ["", ".", "-1", "1e", "e3", "1e999", "inf", "nan", "0x1", "1 2", "1,5", "1_0", "1 pts", "١"]
)
def test_what_is_no_such_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--max-drop"):
        Drop.parse(text)


@given(NUMBERS, UNITS)
def test_a_budget_reads_back_from_its_json(value: float, unit: str) -> None:
    budget = Budget(max_drop=Drop(value, unit), max_latency_ms=value, max_size_bytes=3)  # type: ignore[arg-type]
    assert Budget.from_json(json.loads(json.dumps(budget.to_json()))) == budget
