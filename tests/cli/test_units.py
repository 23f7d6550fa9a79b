"""Quantities on the command line."""

from __future__ import annotations

import re

import pytest

from fxopt.cli import units
from fxopt.contracts.cost import Drop
from fxopt.errors import InputError


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.milliseconds, "10ms", 10.0),
        (units.milliseconds, "0.5s", 500.0),
        (units.milliseconds, "250us", 0.25),
        (units.seconds, "10m", 600.0),
        (units.seconds, "90 s", 90.0),
        (units.size_bytes, "5MB", 5_000_000),
        (units.size_bytes, "1.5MiB", 1_572_864),
        (units.confidence, "95%", 0.95),
        (units.confidence, "0.9", 0.9),
        (units.ratio, "1.2x", 1.2),
        (units.drop, "0.5pt", Drop(0.5, "pt")),
        (units.drop, "1%", Drop(1.0, "%")),
    ],
)
def test_quantities_are_read_with_their_units(parse, text, value) -> None:  # noqa: ANN001
    found = parse(text)
    assert found == (pytest.approx(value) if isinstance(value, float) else value)


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (units.milliseconds, "10", "unit"),
        (units.milliseconds, "10MB", "10ms"),
        (units.milliseconds, "0ms", "more than 0"),
        (units.milliseconds, "-5ms", "10ms"),
        (units.seconds, "soon", "10m"),
        (units.size_bytes, "5 apples", "5MB"),
        (units.size_bytes, "5mb", "5MB"),
        (units.confidence, "100%", "95%"),
        (units.confidence, "95", "95%"),
        (units.ratio, "0", "more than 0"),
        (units.drop, "-1pt", "0.5pt"),
    ],
)
def test_what_is_no_quantity_says_what_to_give(parse, text, says) -> None:  # noqa: ANN001
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert text in str(caught.value)
