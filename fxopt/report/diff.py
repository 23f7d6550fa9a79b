"""What differs between two results, from their ledgers: rewrites gained and lost, latency, size, errors, layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fxopt.report import figures
from fxopt.report.digest import by_kind

Ledger = Mapping[str, Any]

_LAYERS, _SITES = 10, 8  # that are shown, those that changed most and the first; the data hold all
_ERRORS = {
    "float64_error": "float64 error",
    "float32_error": "float32 error",
    "artifact_error": "error of the artifact",
}


def diff(before: Ledger, after: Ledger) -> dict[str, Any]:
    """The differences as plain data.

    Args:
        before: a ledger, as `read` returns it.
        after: another.

    Returns:
        `before` and `after`: what each result is; `notes`: what makes the two hard to compare; `latency_ms`, `p99_ms`,
        `speedup`, `size_bytes`, `peak_bytes`, `quality`, `errors`: a pair each; `apart`: whether the intervals of the two
        speed-ups have nothing in common; `rewrites`: those `gained` and `lost`, with what the other ledger says of
        each; `kinds` and `layers`: milliseconds of what ships, by kind of kernel and by layer, what changed most first.
    """
    first, second = before["result"], after["result"]
    return {
        "before": _identity(before),
        "after": _identity(after),
        "notes": list(_notes(before, after)),
        **{
            key: _pair(first[key], second[key])
            for key in ("latency_ms", "p99_ms", "speedup", "size_bytes", "peak_bytes", "quality")
        },
        "apart": first["speedup"]["high"] < second["speedup"]["low"]
        or second["speedup"]["high"] < first["speedup"]["low"],
        "errors": {key: _pair(before["checks"][key], after["checks"][key]) for key in _ERRORS},
        "rewrites": {"gained": _missing(after, before), "lost": _missing(before, after)},
        "kinds": [asdict(layer) for layer in by_kind(_shipped(before, after))],
        "layers": _layers(before["layers"]["after"], after["layers"]["after"]),
    }


def _pair(before: Any, after: Any) -> dict[str, Any]:
    return {"before": before, "after": after}


def _identity(ledger: Ledger) -> dict[str, Any]:
    result = ledger["result"]
    return {
        "model": ledger["model"]["source"],
        "digest": ledger["model"]["digest"],
        "engine": result["engine"],
        "created": ledger["created"],
        "verdict": result["verdict"],
    }


def _notes(before: Ledger, after: Ledger) -> Iterator[str]:
    if before["model"]["digest"] != after["model"]["digest"]:
        yield "the models differ in graph or weights"
    if before["result"]["engine"] != after["result"]["engine"]:
        yield f"the engine was {before['result']['engine']} and is {after['result']['engine']}"
    else:
        yield from _options(before["result"], after["result"])
    if before["baseline"]["engine"] != after["baseline"]["engine"]:
        engines = f"{before['baseline']['engine']} before, {after['baseline']['engine']} after"
        yield f"speed-ups are over the unmodified model on different engines: {engines}"
    sources = [ledger["result"].get("source", "measured") for ledger in (before, after)]
    if sources[0] != sources[1]:
        yield f"latencies were {sources[0]} before and are {sources[1]} after: they cannot be compared"
    elif before["machine"]["cpu"] != after["machine"]["cpu"]:
        yield f"{sources[0]} on different machines: compare speed-ups, not latencies"
    for name in dict.fromkeys((*before["machine"]["versions"], *after["machine"]["versions"])):
        old, new = (ledger["machine"]["versions"].get(name, "none") for ledger in (before, after))
        if old != new:
            yield f"{name} was {old} and is {new}"
    if before["threads"] != after["threads"]:
        yield f"threads were {before['threads']} and are {after['threads']}"


def _options(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What the engine runs under otherwise; its versions are noted for the machine."""
    old, new = before["engine_options"], after["engine_options"]
    for name in dict.fromkeys((*old, *new)):
        if name != "versions" and old.get(name) != new.get(name):
            yield f"{name} of {after['engine']} was {old.get(name)} and is {new.get(name)}"


def _missing(ledger: Ledger, other: Ledger) -> list[dict[str, str]]:
    """Rewrites applied in one ledger and not in the other, with what the other says of them."""
    # A near miss, which names no choice, may have the id of a rewrite that was made there: what was made counts.
    there: dict[str, Mapping[str, Any]] = {}
    for entry in sorted(other["rewrites"], key=lambda entry: entry["verdict"] == "declined"):
        there.setdefault(entry["id"], entry)
    found = []
    for entry in ledger["rewrites"]:
        match = there.get(entry["id"])
        if entry["verdict"] == "applied" and (match is None or match["verdict"] != "applied"):
            why = "not proposed" if match is None else f"{match['verdict']}: {match['reason']}"
            found.append({"id": entry["id"], "pass": entry["pass"], "site": entry["site"], "otherwise": why})
    return found


def _shipped(before: Ledger, after: Ledger) -> dict[str, Sequence[Mapping[str, Any]]]:
    return {"before": before["layers"]["after"], "after": after["layers"]["after"]}


def _layers(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    layers: dict[str, dict[str, Any]] = {}
    for key, side in (("before_ms", before), ("after_ms", after)):
        for item in side:
            layer = layers.setdefault(item["name"], {"name": item["name"], "before_ms": None, "after_ms": None})
            layer[key] = (layer[key] or 0.0) + (item["ms"] or 0.0)
    return sorted(layers.values(), key=lambda item: -abs((item["after_ms"] or 0.0) - (item["before_ms"] or 0.0)))


# -- for people ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def diff_text(data: Mapping[str, Any]) -> str:
    """The differences as aligned columns.

    Args:
        data: as `diff` returns it.
    """
    lines = [f"before: {_about(data['before'])}", f"after:  {_about(data['after'])}", _summary(data), *data["notes"]]
    for table in _tables(data):
        rows = [table.header, *table.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(table.header))]
        lines += ["", f"{table.title}:"]
        lines += [
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
    return "\n".join(lines)


def diff_markdown(data: Mapping[str, Any]) -> str:
    """The differences as Markdown, for a comment on a pull request.

    Args:
        data: as `diff` returns it.
    """
    lines = [
        f"**{_summary(data)}**",
        "",
        f"- before: {_escaped(_about(data['before']))}",
        f"- after: {_escaped(_about(data['after']))}",
        *(f"- {_escaped(note)}" for note in data["notes"]),
    ]
    for table in _tables(data):
        lines += ["", f"#### {table.title[0].upper()}{table.title[1:]}", "", _row(table.header)]
        lines += ["|" + "---|" * len(table.header), *map(_row, table.rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, in a cell of a table too."""
    return re.sub(r"([\\`*<>\[\]|]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", " ".join(text.split()))


def _about(side: Mapping[str, Any]) -> str:
    return f"{side['model']} on {side['engine']}, {side['created']}: {side['verdict']}"


def _summary(data: Mapping[str, Any]) -> str:
    rewrites, speedup = data["rewrites"], data["speedup"]
    gained, lost = len(rewrites["gained"]), len(rewrites["lost"])
    counts = f"{gained} {'rewrite' if gained == 1 else 'rewrites'} gained, {lost} lost"
    old, new = (f"{speedup[side]['estimate']:.2f}x" for side in ("before", "after"))
    noise = "" if data["apart"] else ", which their intervals do not tell apart"
    return f"{counts}; speed-up {old}, now {new}{noise}"


def _tables(data: Mapping[str, Any]) -> Iterator[_Table]:
    yield _Table("figures", ("", "before", "after", "change"), list(_figures(data)))
    for key, other in (("gained", "before"), ("lost", "now")):
        rewrites = data["rewrites"][key]
        if rewrites:
            yield _Table(f"rewrites {key}", ("pass", "count", other, "sites"), _by_reason(rewrites))
    kinds = [kind for kind in data["kinds"] if kind["before_ms"] or kind["after_ms"]]
    if kinds:
        rows = [_times(f"{k['kind']} ({k['before_count']}, {k['after_count']})", k) for k in kinds]
        yield _Table("time by kind of kernel (count before, after)", ("", "before", "after", "change"), rows)
    layers = [layer for layer in data["layers"] if layer["before_ms"] != layer["after_ms"]]
    if layers:
        rows = [_times(layer["name"], layer) for layer in layers[:_LAYERS]]
        more = f" (the first {_LAYERS} of {len(layers)})" if len(layers) > _LAYERS else ""
        yield _Table(f"layers that changed most{more}", ("", "before", "after", "change"), rows)


def _figures(data: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    latency, speedup, p99, size, peak = (
        data[key] for key in ("latency_ms", "speedup", "p99_ms", "size_bytes", "peak_bytes")
    )
    yield ("latency", *map(figures.latency, latency.values()), _percent(*(v["estimate"] for v in latency.values())))
    yield ("speed-up", *map(figures.speedup, speedup.values()), _percent(*(v["estimate"] for v in speedup.values())))
    yield ("p99", *map(figures.milliseconds, p99.values()), _percent(*p99.values()))
    yield ("size", *map(figures.size, size.values()), _percent(*size.values()))
    yield ("peak memory", *map(figures.size, peak.values()), _percent(*peak.values()))
    quality = data["quality"]
    if metric := " and ".join(dict.fromkeys(side["metric"] for side in quality.values() if side)):
        parts = [side["report"] if side else None for side in quality.values()]
        yield (metric, *(figures.plain(part["candidate"]) if part else figures.NONE for part in parts), "")
        yield (f"drop of {metric}", *(figures.drop(part["drop"]) if part else figures.NONE for part in parts), "")
    for key, name in _ERRORS.items():
        yield (name, *map(figures.scientific, data["errors"][key].values()), "")


def _by_reason(rewrites: Sequence[Mapping[str, str]]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for item in rewrites:
        groups.setdefault((item["pass"], item["otherwise"]), []).append(item["site"])
    return [(rule, str(len(sites)), why, _few(sites)) for (rule, why), sites in groups.items()]


def _few(sites: Sequence[str]) -> str:
    more = f" and {len(sites) - _SITES} more" if len(sites) > _SITES else ""
    return ", ".join(sites[:_SITES]) + more


def _times(name: str, item: Mapping[str, Any]) -> tuple[str, ...]:
    before, after = item["before_ms"], item["after_ms"]
    return (name, figures.milliseconds(before), figures.milliseconds(after), _percent(before, after))


def _percent(before: float | None, after: float | None) -> str:
    if not before or after is None:
        return ""
    change = 100 * (after / before - 1)
    return "0" if abs(change) < 0.05 else f"{'+' if change > 0 else '−'}{abs(change):.1f}%"
