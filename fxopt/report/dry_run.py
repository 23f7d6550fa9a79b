"""What `fxopt optimize --dry-run` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fxopt.report import figures

if TYPE_CHECKING:
    from rich.table import Table


def dry_run_table(found: Mapping[str, Any]) -> Table:
    """One row a pass that had something to say, and one for each of its reasons.

    Args:
        found: as `fxopt.compiler.dry_run.dry_run` returns it.
    """
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for title in ("pass", "rewrites", "refused", "declined", "weights"):
        table.add_column(title, justify="left" if title == "pass" else "right", no_wrap=True)
    table.add_column("reason")
    for item in found["passes"]:
        reasons = [*(("refused", group) for group in item["refused"]), *(("declined", g) for g in item["declined"])]
        if not (item["steps"] or reasons or item["fault"]):
            continue
        weights = figures.change(item["size_bytes"]) if item["steps"] else ""
        table.add_row(
            item["pass"], str(item["steps"]), _total(item["refused"]), _total(item["declined"]), weights, item["fault"]
        )
        for verdict, group in reasons:
            count = str(group["count"])
            table.add_row(
                "", "", *((count, "") if verdict == "refused" else ("", count)), "", group["reason"], style="dim"
            )
    return table


def dry_run_summary(found: Mapping[str, Any]) -> list[str]:
    """The lines below the table: notes, sizes before and after, and what was not done."""
    nodes, weights = found["nodes"], found["weight_bytes"]
    steps = sum(item["steps"] for item in found["passes"])
    silent = [
        item["pass"] for item in found["passes"] if not any(item[key] for key in ("steps", "refused", "declined"))
    ]
    silent = [name for name in silent if name not in {item["pass"] for item in found["passes"] if item["fault"]}]
    return [
        *found["notes"],
        *found["faults"],
        *([f"no site: {', '.join(silent)}"] if silent else []),
        *(line for item in found["predicted"] for line in _prices(item)),
        f"{steps} rewrite{'' if steps == 1 else 's'} would be tried: {nodes['before']} nodes become {nodes['after']},"
        f" {figures.size(weights['before'])} of weights {figures.size(weights['after'])}",
        "dry run: nothing was built, measured or written",
    ]


def _prices(item: Mapping[str, Any]) -> list[str]:
    before, after = item["before"], item["after"]
    line = f"predicted on {item['engine']}: {figures.latency(before)}"
    if before != after:
        line += f", after all rewrites {figures.latency(after)}"
    return [
        line,
        *(
            f"  {plan['what']}: {figures.latency(plan['latency_ms'])}, {figures.size(plan['weight_bytes'])} of weights"
            for plan in item["plans"]
        ),
    ]


def _total(groups: Sequence[Mapping[str, Any]]) -> str:
    return str(sum(group["count"] for group in groups))
