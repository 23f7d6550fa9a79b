"""The ledger: of each rewrite, what became of it and why. Its schema is documented in docs/ledger.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fxopt.compiler.lab import Measured, Session, Verdict
from fxopt.compiler.rewrite import Search
from fxopt.contracts.candidate import Candidate, Step
from fxopt.verify.fidelity import Evidence

VERSION = 1


def rewrites(search: Search, plan: Sequence[Step], verdicts: Mapping[str, Verdict]) -> list[dict[str, Any]]:
    """One entry for each candidate and each near miss."""
    applied = {step.id for step in plan}
    entries = []
    for step in search.steps:
        verdict = verdicts.get(step.id, Verdict("refused", "not in the plan that won"))
        kind, reason = verdict.verdict, verdict.reason
        if step.id in applied and kind != "applied":
            users = [other.id for other in plan if step.id in other.needs]
            kind, reason = (
                "applied",
                f"needed by {users[0]}" if users else "part of the plan that was measured as a whole",
            )
        elif step.id not in applied and kind == "applied":
            kind, reason = "reverted", f"{reason}; the composite plan was not confirmed, or another was faster"
        entry = _entry(step.candidate, kind, reason, search.evidence.get(step.id))
        entry["needs"] = list(step.needs)
        entry["group"] = verdict.group
        entry["latency_ratio"] = verdict.ratio.interval.to_json() if verdict.ratio is not None else None
        entry["size_bytes"] = search.size_change.get(step.id)
        entries.append(entry)
    entries += [_entry(r.candidate, "refused", r.reason, r.evidence) for r in search.refusals]
    for decline in search.declines:
        entries.append(
            {
                "id": f"{decline.rule}@{decline.site}",
                "pass": decline.rule,
                "site": decline.site,
                "verdict": "declined",
                "reason": decline.reason,
            }
        )
    return entries


def _entry(candidate: Candidate, verdict: str, reason: str, evidence: Evidence | None) -> dict[str, Any]:
    ratio = None
    if evidence is not None and evidence.original_error > 0:
        ratio = evidence.native_error / evidence.original_error
    return {
        "id": candidate.id,
        "pass": candidate.rule,
        "site": candidate.site[0],
        "verdict": verdict,
        "reason": reason,
        "fidelity": candidate.fidelity.value,
        "error": None if evidence is None else evidence.float64_error,
        "float32_error_ratio": ratio,
        "needs": [],
        "group": None,
        "latency_ratio": None,
        "size_bytes": None,
    }


def figures(
    engine: str, options: Mapping[str, Any], measured: Measured, size_bytes: int, peak_bytes: int | None
) -> dict[str, Any]:
    """The `baseline` and `result` parts."""
    return {
        "engine": engine,
        "engine_options": dict(options),
        "latency_ms": measured.latency_ms.to_json(),
        "p99_ms": measured.p99_ms,
        "size_bytes": size_bytes,
        "peak_bytes": peak_bytes,
        "quality": None,
    }


def variants(session: Session, engines: Mapping[str, str]) -> list[dict[str, Any]]:
    """The latency table: each variant of the confirming session; ratios are latency over the reference's."""
    rows = []
    for name, engine in engines.items():
        measured = session.variants.get(name)
        rows.append(
            {
                "name": name,
                "engine": engine,
                "latency_ms": measured.latency_ms.to_json() if measured else None,
                "p99_ms": measured.p99_ms if measured else None,
                "ratio": measured.ratio.interval.to_json() if measured and measured.ratio else None,
                "note": session.failures.get(name),
            }
        )
    return rows
