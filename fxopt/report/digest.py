"""What the reports show of a ledger, as plain data: contributions, and reasons with their counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ORDER = ("applied", "reverted", "refused", "skipped", "declined")  # of verdicts, from what matters most


@dataclass(frozen=True)
class Contribution:
    """What the rewrites that were measured together bring.

    Attributes:
        name: the group's name, or the pass's.
        count: rewrites in it.
        ratio: latency with it over latency without, with its interval; None where it was not measured.
        size_bytes: change of the artifact's size, summed; None where unknown.
        passes: the passes in it.
    """

    name: str
    count: int
    ratio: Mapping[str, float] | None
    size_bytes: int | None
    passes: tuple[str, ...]


@dataclass(frozen=True)
class Reason:
    """One pass's verdicts with the same reason, and the same ratio where they were measured."""

    rule: str
    reason: str
    ratio: Mapping[str, float] | None
    sites: tuple[str, ...]


def contributions(ledger: Mapping[str, Any]) -> list[Contribution]:
    """Applied rewrites by the group that they were measured in, best first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for entry in ledger["rewrites"]:
        if entry["verdict"] == "applied":
            groups.setdefault(entry.get("group") or entry["pass"], []).append(entry)
    found = []
    for name, entries in groups.items():
        ratios = [entry["latency_ratio"] for entry in entries if entry.get("latency_ratio")]
        sizes = [entry["size_bytes"] for entry in entries if entry.get("size_bytes") is not None]
        passes = tuple(dict.fromkeys(entry["pass"] for entry in entries))
        found.append(
            Contribution(name, len(entries), ratios[0] if ratios else None, sum(sizes) if sizes else None, passes)
        )
    return sorted(found, key=lambda item: item.ratio["estimate"] if item.ratio else 2.0)


def reasons(ledger: Mapping[str, Any], verdict: str) -> list[Reason]:
    """Rewrites with that verdict, those of one pass, one reason and one measurement together, most frequent first."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for entry in ledger["rewrites"]:
        if entry["verdict"] == verdict:
            key = (entry["pass"], entry["reason"], str(entry.get("latency_ratio")))
            groups.setdefault(key, []).append(entry)
    found = [
        Reason(rule, reason, entries[0].get("latency_ratio"), tuple(entry["site"] for entry in entries))
        for (rule, reason, _), entries in groups.items()
    ]
    return sorted(found, key=lambda item: -len(item.sites))


def counts(ledger: Mapping[str, Any]) -> dict[str, int]:
    """How many rewrites had which verdict, in `ORDER`."""
    counted = Counter(entry["verdict"] for entry in ledger["rewrites"])
    return {verdict: counted[verdict] for verdict in ORDER if counted[verdict]}


def tried(ledger: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Points of the frontier, without the unmodified models."""
    points = ({"shipped": False, **point} for point in ledger.get("frontier", ()))
    return [point for point in points if point["what"] != "the unmodified model"]


@dataclass(frozen=True)
class Layer:
    """The time of one kind of kernel, before and after."""

    kind: str
    before_ms: float
    after_ms: float
    before_count: int
    after_count: int


def by_kind(layers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Layer]:
    """Kernel times summed by kind, dearest first."""
    kinds: dict[str, list[float]] = {}
    for side, key in enumerate(("before", "after")):
        for item in layers[key]:
            sums = kinds.setdefault(item["kind"], [0.0, 0.0, 0, 0])
            sums[side] += item["ms"] or 0.0
            sums[2 + side] += 1
    found = [Layer(kind, s[0], s[1], int(s[2]), int(s[3])) for kind, s in kinds.items()]
    return sorted(found, key=lambda item: -max(item.before_ms, item.after_ms))
