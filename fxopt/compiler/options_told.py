"""What each engine's options of lower precision were priced at, and what became of them, for the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fxopt.compiler.origins import Origins
from fxopt.contracts.candidate import Fidelity

if TYPE_CHECKING:
    from fxopt.compiler.lab import EngineLab, Verdict
    from fxopt.contracts.cost import Source


def options_told(
    labs: Iterable[EngineLab], names: Mapping[str, str], ship: EngineLab, shipped: frozenset[str], source: Source
) -> list[dict[str, Any]]:
    """One entry for each option that an engine had; of two searches for one engine, that which found what ships tells.

    Args:
        labs: all of the run.
        names: of engines, by spec.
        ship: that of what ships.
        shipped: ids of its steps.
        source: of the figures; where nothing is measured there is no profile.
    """
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for lab in sorted(labs, key=lambda lab: lab is not ship):
        origins = Origins(lab.search)
        for step in lab.search.steps:
            key = names[lab.engine], step.id
            if step.candidate.fidelity is Fidelity.EXACT or key in entries:
                continue
            verdict = lab.verdicts.get(step.id)
            here = lab is ship and step.id in shipped
            entries[key] = {
                "engine": names[lab.engine],
                "pass": step.candidate.rule,
                "id": step.id,
                "site": step.candidate.site[0],
                "nodes": origins.of(step.candidate.writes),
                "floats_ms": lab.times.of_floats(step.candidate.writes),
                "profiled_ms": lab.times.profiled.get(step.id) if source == "measured" else None,
                "predicted_ms": lab.times.foretold.get(step.id, lab.times.profiled.get(step.id))
                if source == "predicted"
                else lab.times.foretold.get(step.id),
                "ships": here,
                "reason": "" if here or verdict is None else _why_not(verdict),
            }
    return [*entries.values()]


def _why_not(verdict: Verdict) -> str:
    """Why an option does not ship, also where it was said to be worth it."""
    return f"{verdict.reason}; another plan is better" if verdict.verdict == "applied" else verdict.reason
