"""The charts of report.html: SVG without scripts, whose colors follow the page's light or dark scheme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pygal
from pygal.style import Style

from fxopt.report import figures
from fxopt.report.digest import Contribution, Layer

_SVG = "http://www.w3.org/2000/svg"
_ROW = 34  # pixels a row of bars
_KINDS = 12  # of kernels are drawn; the table has all
# As many colors as pygal asks for; the third is that of what got slower, the fourth hides the feet of a waterfall.
_COLORS = ("var(--bar)", "var(--accent)", "var(--worse)", "transparent") * 4


def latency(ledger: Mapping[str, Any]) -> str:
    """Bars with their confidence intervals, one a measured variant."""
    rows = [row for row in ledger["variants"] if row["latency_ms"] is not None]
    chart = _chart(pygal.HorizontalBar, "Latency of one call in ms", len(rows))
    chart.x_labels = [row["name"] for row in rows]
    bars = []
    for row in rows:
        value = row["latency_ms"]
        color = "var(--accent)" if row["name"] == "fxopt" else "var(--bar)"
        bars.append({"value": value["estimate"], "ci": {"low": value["low"], "high": value["high"]}, "color": color})
    chart.add("latency", bars)
    chart.range = (0, 1.02 * max((row["latency_ms"]["high"] for row in rows), default=1))  # whiskers included
    return _draw(chart, "latency")


def waterfall(ledger: Mapping[str, Any], contributions: Sequence[Contribution]) -> str:
    """From the baseline's latency to the result's, step by step; empty where nothing measured was applied.

    Each step was measured alone. What is left between their product and the result as measured is a step of its own.
    """
    measured = [item for item in contributions if item.ratio is not None]
    if not measured:
        return ""
    start, end = (ledger[key]["latency_ms"]["estimate"] for key in ("baseline", "result"))
    steps, now = [], start
    for item in measured:
        assert item.ratio is not None
        after = now * item.ratio["estimate"]
        steps.append((item.name, now, after))
        now = after
    steps.append(("interplay and noise", now, end))
    labels = ["baseline", *(name for name, _, _ in steps), "result"]
    chart = _chart(pygal.HorizontalStackedBar, "Latency of one call in ms", len(labels))
    chart.x_labels = labels
    better = [{"value": max(a - b, 0), "color": "var(--accent)"} for _, a, b in steps]
    worse = [{"value": max(b - a, 0), "color": "var(--worse)"} for _, a, b in steps]
    feet = [{"value": min(a, b), "color": "transparent"} for _, a, b in steps]
    ends = [{"value": value, "color": "var(--bar)"} for value in (start, end)]
    chart.add("", [ends[0], *feet, ends[1]])
    chart.add("", [0, *better, 0])
    chart.add("", [0, *worse, 0])
    return _draw(chart, "waterfall")


def layers(kinds: Sequence[Layer]) -> str:
    """Time by kind of kernel, before and after; empty where no engine told."""
    shown = kinds[:_KINDS]
    if not shown:
        return ""
    chart = _chart(pygal.HorizontalBar, "Time in ms", 1.5 * len(shown) + 1, legend=True)
    chart.x_labels = [item.kind for item in shown]
    chart.add("before", [item.before_ms for item in shown])
    chart.add("after", [item.after_ms for item in shown])
    return _draw(chart, "layers")


def _chart(kind: type[Any], title: str, rows: float, legend: bool = False) -> Any:
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--muted)",
        foreground_strong="var(--ink)",
        foreground_subtle="var(--line)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        guide_stroke_dasharray="none",
        major_guide_stroke_dasharray="none",
        font_family="inherit",
        label_font_size=13,
        major_label_font_size=13,
        title_font_size=13,
        legend_font_size=13,
        opacity="1",
        opacity_hover="1",
        transition="0s",
        colors=_COLORS,
    )
    return kind(
        style=style,
        x_title=title,
        js=[],
        width=860,
        height=int(_ROW * rows) + 70 + (30 if legend else 0),
        margin=8,
        spacing=12,
        rounded_bars=2,
        show_legend=legend,
        legend_at_bottom=True,
        legend_box_size=11,
        truncate_label=-1,
        range=None,
        include_x_axis=True,
        order_min=None,
        value_formatter=lambda value: figures.plain(value),
    )


def _draw(chart: Any, name: str) -> str:
    """The chart as an element of a page: without scripts and comments, and the same for the same figures."""
    chart.uuid = name
    # pygal counts rows from the bottom; a reader starts at the top.
    chart.x_labels = list(reversed(chart.x_labels))
    for series in chart.raw_series:
        series[0].reverse()
    root = ElementTree.fromstring(chart.render())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}script", f"{{{_SVG}}}desc", f"{{{_SVG}}}title"):
                parent.remove(child)
    for element in root.iter():
        for key in [key for key in element.attrib if "href" in key or key.startswith("on")]:
            del element.attrib[key]
    root.set("role", "img")
    ElementTree.register_namespace("", _SVG)
    return ElementTree.tostring(root, encoding="unicode")
