"""Why each rewrite was applied, refused, declined or reverted, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fxopt.contracts.options import suggest
from fxopt.errors import InputError
from fxopt.report import figures
from fxopt.report.digest import ORDER


def explain(ledger: Mapping[str, Any], node: str | None = None) -> list[str]:
    """The story of the rewrites at a node, or everywhere.

    Args:
        ledger: as `read` returns it.
        node: the name of a node, in the model or of one that a rewrite made; a rewrite's id, or the name of a pass; None for
            all rewrites.

    Raises:
        InputError: no rewrite was considered there.
    """
    entries = list(ledger["rewrites"])
    if node is not None:
        entries = [
            entry for entry in entries if node in (entry["site"], entry["id"], entry["pass"], *entry.get("nodes", ()))
        ]
        if not entries:
            told = ((entry["site"], entry["pass"], *entry.get("nodes", ())) for entry in ledger["rewrites"])
            known = {text for texts in told for text in texts}
            raise InputError(
                f"{node}: no rewrite was considered at a node of that name, and no pass has it{_near(node, known)}"
            )
    lines = [] if node is not None else [ledger["result"]["verdict"], ""]
    for verdict in ORDER:
        chosen = [entry for entry in entries if entry["verdict"] == verdict]
        if chosen:
            lines.append(f"{verdict} ({len(chosen)}):")
            lines += [f"  {_line(entry)}" for entry in chosen]
    if node is not None:
        lines += _options(ledger, node)
    if not entries:
        lines.append("no rewrite was considered")
    return lines if node is not None else [*lines, *(f"at fault: {fault}" for fault in ledger["faults"])]


def _options(ledger: Mapping[str, Any], node: str) -> list[str]:
    """What the options at a node were priced at on each engine, the fastest first."""
    there = [
        item for item in ledger.get("options", ()) if node in (item["site"], item["id"], item["pass"], *item["nodes"])
    ]
    there = [item for item in there if item["profiled_ms"] is not None or item["predicted_ms"] is not None]
    there.sort(key=lambda item: (item["engine"], item["profiled_ms"] or item["predicted_ms"]))
    return [f"options ({len(there)}):", *(f"  {_option(item)}" for item in there)] if there else []


def _option(item: Mapping[str, Any]) -> str:
    parts = [f"{item['pass']} at {item['site']} on {item['engine']}"]
    prices = [
        f"{item[key]:.3f} ms {how}"
        for key, how in (("profiled_ms", "by the engine's profile"), ("predicted_ms", "predicted"))
        if item[key] is not None
    ]
    floats = "" if item["floats_ms"] is None else f", {item['floats_ms']:.3f} ms in floats"
    parts.append(" and ".join(prices) + floats)
    parts.append("ships" if item["ships"] else item["reason"])
    return "; ".join(filter(None, parts))


def _near(node: str, known: set[str]) -> str:
    import difflib

    return suggest(node, known) if difflib.get_close_matches(node, known) else "; fxopt explain OUT lists them all"


def _line(entry: Mapping[str, Any]) -> str:
    parts = [f"{entry['pass']} at {entry['site']}"]
    if entry["reason"]:
        parts.append(entry["reason"])
    if (ratio := entry.get("latency_ratio")) is not None:
        parts.append(
            f"latency ratio {figures.ratio(ratio)}" + (f" as part of {entry['group']}" if entry.get("group") else "")
        )
    if (error := entry.get("error")) is not None and entry.get("fidelity") == "exact":
        parts.append(f"float64 error {figures.scientific(error)}")
    if entry.get("sensitivity") is not None:
        parts.append(f"sensitivity {figures.scientific(entry['sensitivity'])}")
    if entry.get("size_bytes"):
        parts.append(f"size {figures.change(entry['size_bytes'])}")
    if entry.get("dtypes"):
        parts.append(f"computed in {', '.join(entry['dtypes'])}")
    if entry.get("needs"):
        parts.append(f"needs {', '.join(entry['needs'])}")
    return "; ".join(parts)
