"""The table at the end of `fxopt optimize`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fxopt.report import figures

if TYPE_CHECKING:
    from rich.table import Table


def summary_table(ledger: Mapping[str, Any]) -> Table:
    """One row a variant of the confirming measurement: latency and speed-up over the baseline, with intervals."""
    from rich import box
    from rich.table import Table

    percent = f"{ledger['noise']['confidence'] * 100:g}%"
    of = " of PREDICTIONS, nothing was measured" if ledger.get("result", {}).get("source") == "predicted" else ""
    table = Table(
        box=box.SIMPLE_HEAD, caption=f"{percent} intervals{of}; speed-up over the best engine on the unmodified model"
    )
    for title, justify in (
        ("", "left"),
        ("engine", "left"),
        ("latency", "right"),
        ("p99", "right"),
        ("speed-up", "right"),
        ("", "left"),
    ):
        table.add_column(title, justify=justify, no_wrap=title != "")  # type: ignore[arg-type]
    for row in ledger["variants"]:
        table.add_row(
            row["name"],
            row["engine"],
            figures.latency(row["latency_ms"]),
            figures.milliseconds(row["p99_ms"]),
            figures.speedup(figures.inverse(row["ratio"])),
            row["note"] or "",
            style="bold" if row["name"] == "fxopt" else None,
        )
    return table
