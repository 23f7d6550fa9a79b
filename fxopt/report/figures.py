"""Figures as text: intervals, sizes, times, ratios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Bounds = Mapping[str, float]
NONE = "–"


def milliseconds(value: float | None) -> str:
    """Three significant digits, like `4.31 ms`."""
    return NONE if value is None else f"{_three(value)} ms"


def latency(value: Bounds | None) -> str:
    """`4.31 ms (4.22 to 4.40)`."""
    if value is None:
        return NONE
    return f"{_three(value['estimate'])} ms ({_three(value['low'])} to {_three(value['high'])})"


def ratio(value: Bounds | None) -> str:
    """`0.886 (0.871 to 0.902)`."""
    return NONE if value is None else f"{value['estimate']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def speedup(value: Bounds | None) -> str:
    """`1.13x (1.11 to 1.15)`."""
    return NONE if value is None else f"{value['estimate']:.2f}x ({value['low']:.2f} to {value['high']:.2f})"


def inverse(value: Bounds | None) -> dict[str, float] | None:
    """The speed-up of a latency ratio, and the other way round."""
    if value is None:
        return None
    return {"estimate": 1 / value["estimate"], "low": 1 / value["high"], "high": 1 / value["low"]}


def drop(value: Mapping[str, float | None]) -> str:
    """`0.004 (-0.001 to 0.009)`; without what is not known."""
    low, high = value["low"], value["high"]
    ends = "" if low is None or high is None else f" ({low:.3g} to {high:.3g})"
    return f"{value['estimate']:.3g}{ends}"


def loss(value: float | None) -> str:
    """`0.004`, in the metric's unit."""
    return NONE if value is None else f"{value:.3g}"


def asked(quality: Mapping[str, Any]) -> str:
    """What the quality was held against, in a sentence."""
    level = f"{quality['confidence']:.0%}"
    rule = "the estimate keeps it" if quality["by"] == "estimate" else f"the drop keeps it with {level} confidence"
    data = (quality["data"] or {"path": "made-up inputs"})["path"] or "the evaluation data"
    return f"--max-drop {quality['budget']} of {quality['metric']} on {data}; {rule}. Intervals at {level}."


def kept(quality: Mapping[str, Any]) -> str:
    """What was lost on what no search has seen, in a line: `top1 92.1% before, 91.9% after, ...`."""
    part, where = parts(quality)[0][1], parts(quality)[0][0]
    what = f"on {part['samples']} {where}" if quality["data"] is not None else f"on {where}"
    values = f"{quality['metric']} {part['original']:.4g} before, {part['candidate']:.4g} after {what}"
    return f"{values}: worse by {drop(part['drop'])}; allowed is {quality['budget']}"


def parts(quality: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What the quality was judged on, in words, with the figures; what is quoted first."""
    if quality["data"] is None:
        return [("made-up inputs", quality["report"])]
    return [("samples that no search has seen", quality["report"]), ("samples of the search", quality["gate"])]


def needed(part: Mapping[str, Any]) -> str:
    """About how many samples would show that the budget is kept."""
    count = part["samples_needed"]
    return NONE if count is None else f"about {count}"


def size(value: int | None) -> str:
    """Bytes in decimal units, like `14.2 MB`."""
    if value is None:
        return NONE
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= step:
            return f"{value / step:.3g} {unit}"
    return f"{value} B"


def change(value: int | None) -> str:
    """A signed size."""
    if value is None:
        return NONE
    return "0" if value == 0 else f"{'+' if value > 0 else '−'}{size(abs(value))}"


def scientific(value: float | None) -> str:
    """`3.1e-16`."""
    if value is None:
        return NONE
    return "0" if value == 0 else f"{value:.1e}"


def options(values: Mapping[str, object]) -> str:
    """`threads=2, precision=f32`; versions stand elsewhere."""
    return ", ".join(f"{name}={value}" for name, value in values.items() if not isinstance(value, Mapping)) or NONE


def plain(value: float) -> str:
    """A label of an axis: no more digits than it needs."""
    return f"{value:.4g}"


def _three(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
