"""The ledger: of each rewrite, what became of it and why. Its schema is documented in docs/ledger.md."""

from __future__ import annotations

import dataclasses
import datetime
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fxopt import __version__
from fxopt.compiler import foretold, limits
from fxopt.compiler.faults import faults
from fxopt.compiler.frontier import content, describe, points
from fxopt.compiler.lab import Verdict
from fxopt.compiler.options_told import options_told
from fxopt.compiler.origins import Origins
from fxopt.compiler.planning_told import planning_told, unfinished
from fxopt.compiler.search import Search
from fxopt.compiler.session import Measured
from fxopt.contracts.candidate import Candidate, Fidelity, Step
from fxopt.contracts.cost import Interval
from fxopt.contracts.engine import Artifact
from fxopt.measure import Limits, Worker
from fxopt.verify.fidelity import Evidence

if TYPE_CHECKING:
    from fxopt.compiler.contest import Contender, Outcome
    from fxopt.compiler.lab import EngineLab
    from fxopt.compiler.run import Run
    from fxopt.contracts.planner import Build, Ratio

VERSION = 2
PREDICTED = "predicted, not measured: "  # before a verdict


def compose(run: Run, outcome: Outcome) -> dict[str, Any]:
    """The ledger of a run whose outcome is known; the per-layer times and the artifact's error are taken here."""
    session, found = outcome.session, outcome.found
    ship, base = outcome.contenders[outcome.shipped], outcome.contenders[outcome.base]
    result, reference = session.variants[outcome.shipped], session.variants[outcome.base]
    steps = [step for step in found.steps if step.id in ship.build.steps]
    ratio = result.ratio.interval if result.ratio is not None and outcome.shipped != outcome.base else None
    speedup = {"estimate": 1.0, "low": 1.0, "high": 1.0}
    if ratio is not None:
        speedup = {"estimate": 1 / ratio.estimate, "low": 1 / ratio.high, "high": 1 / ratio.low}
    key, lab = ship.build.key, ship.lab
    quality = run.quality.to_json(lab.drops[key], lab.reports[key]) if key in lab.reports else None
    with run.progress.phase("look into what ships"):
        checks = _checks(run, ship)
        layers = {name: item.lab.kernels(item.build) for name, item in (("before", base), ("after", ship))}
    dtypes = ship.lab.dtypes(ship.build) if ship.lab.lossy(ship.build) else {}
    told = rewrites(found, steps, _verdicts(run, ship, found), dtypes)
    names = {spec: engine.name for spec, engine in run.engines.items()}
    data = {
        "version": VERSION,
        "fxopt": __version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": run.request.command,
        "model": {"source": run.source, "digest": run.program.digest, "nodes": len(run.program)},
        "machine": dataclasses.asdict(run.target.machine()),
        "target": run.target.spec(),
        "threads": run.engines[ship.engine].threads,
        "seed": run.request.seed,
        "baseline": {**_figures(run, base, reference), "source": session.source},
        "result": {
            **_figures(run, ship, result),
            "source": session.source,
            "quality": quality,
            "speedup": speedup,
            "ratio": None if ratio is None else ratio.to_json(),
            "verdict": _verdict(run, outcome, ratio),
            "unmet": None,
        },
        "variants": _variants(run, outcome),
        "noise": {
            "floor": session.floor.to_json(),
            "rounds": session.rounds,
            "confidence": session.confidence,
            "comparisons": run.workshop.comparisons,
            "expected_error": None if session.source == "measured" else foretold.spread(result.latency_ms),
        },
        "checks": checks,
        "rewrites": [*_of_the_whole(run, outcome), *told, *of_other_searches(run.labs, ship.lab, told)],
        "frontier": points(run, outcome.contenders, ship),
        "planning": planning_told(run.labs, names, run.planner.spec()),
        "options": options_told(run.labs, names, ship.lab, ship.build.steps, session.source),
        "layers": layers,
        "engines": {
            name: run.failures.get(name) or engine.available() or _where(run)
            for name, engine in run.registry.engines.items()
            if name in limits.engines_of(run.registry, run.target)
        },
        "integers": {run.engines[spec].name: bits for spec, bits in run.workshop.weight_bits.items()},
        "faults": faults(run, found),
        "notes": [
            *run.progress.notes,
            *unfinished(run.labs, names, "bytes" if run.request.budget.minimize == "size" else "ms"),
            *(_silent(told, run.engines[ship.engine].name) if ship.build.recipe is None else ()),
        ],
        "seconds": round(time.monotonic() - run.started, 1),
        "phases": {name: round(seconds, 1) for name, seconds in run.progress.seconds.items()},
    }
    finite: dict[str, Any] = finite_only(data)
    return finite


def _where(run: Run) -> str:
    return "available" if run.target.here else "not here: what is emitted for it runs on this CPU, to be checked"


def unmet(ledger: dict[str, Any], fault: str) -> None:
    """Let a ledger say that no model was written, as a limit is not kept, and that what was applied is taken back."""
    result = ledger["result"]
    result["unmet"] = fault
    result["verdict"] = f"no model was written: {fault}. What came nearest was {result['verdict']}"
    for entry in ledger["rewrites"]:
        if entry["verdict"] == "applied":
            entry["verdict"], entry["reason"] = "reverted", f"no model was written; it was {entry['reason']}"


def _verdict(run: Run, outcome: Outcome, ratio: Interval | None) -> str:
    """What came out, in a sentence; `ratio` is the latency of what ships over the best engine's on the unmodified model."""
    said = _said(run, outcome, ratio)
    return said if outcome.session.source == "measured" else f"{PREDICTED}{said}"


def _said(run: Run, outcome: Outcome, ratio: Interval | None) -> str:
    ship, base = outcome.contenders[outcome.shipped], outcome.contenders[outcome.base]
    engine, what = run.engines[ship.engine].name, describe(run, ship.lab, ship.build)
    reference = f"the best engine ({outcome.base}) on the unmodified model"
    if ratio is not None and run.request.budget.minimize == "size":
        share = base.build.size_bytes / ship.build.size_bytes
        return f"{share:.2f}x smaller ({what}), at {ratio.estimate:.2f} of the latency of the unmodified model"
    verdict = f"{1.0 if ratio is None else 1 / ratio.estimate:.2f}x faster than {reference}"
    if ratio is not None and ratio.estimate > 1:
        verdict = f"{ratio.estimate:.2f} times the latency of {reference}, which breaks a limit"
    if ship.lab.lossy(ship.build) or (ship.build.tunings and ship.build.steps):
        return f"{verdict}: {what} on {engine}"
    if ship.build.steps:
        return verdict
    lost = any(fault is not None for lab in run.labs for key, fault in lab.faults.items() if key in lab.drops)
    none = "no rewrite pays within the quality budget" if lost else "no rewrite pays"
    if ship.build.tunings:
        faster = f"{1.0 if ratio is None else 1 / ratio.estimate:.2f}x as fast as the best engine ({outcome.base}) is without"
        return f"{none}; with {ship.build.tunings_text} the unmodified model on {engine} is {faster}"
    return f"{none}: the unmodified model on {engine}, its best engine"


def _silent(told: Iterable[Mapping[str, Any]], engine: str) -> list[str]:
    """A line where an engine has put on integers what the plan leaves in floats."""
    sites = {
        entry["site"]
        for entry in told
        if entry["verdict"] != "applied" and {"int8", "uint8"} & {*entry.get("dtypes", ())}
    }
    if not sites:
        return []
    return [f"{engine} computes on integers what was left in floats, on its own account: {', '.join(sorted(sites))}"]


def finite_only(value: Any) -> Any:
    """The same data with None for infinities and nan, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite_only(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_only(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _checks(run: Run, ship: Contender) -> dict[str, float | None]:
    whole = ship.lab.whole.get(ship.build.key)
    with Worker(Limits()) as worker:
        worker.load(ship.engine, ship.artifact)
        artifact_error = run.workshop.error(ship.program, worker.run(run.workshop.inputs))
    return {
        "float64_error": whole.float64_error if whole else None,
        "float32_error": whole.native_error if whole else None,
        "float32_error_original": whole.original_error if whole else None,
        "artifact_error": artifact_error,
    }


def _verdicts(run: Run, ship: Contender, found: Search) -> dict[str, Verdict]:
    """What the planner of the engine that ships said of each step; of a pass that failed meanwhile, that it did."""
    verdicts = dict(ship.lab.verdicts)
    for step in found.steps:
        if (failed := run.context.failed.get(step.candidate.rule)) is not None and step.id not in ship.build.steps:
            verdicts[step.id] = Verdict("refused", f"its pass failed when plans were built: {failed[0]}")
    for step in found.steps:
        verdicts.setdefault(step.id, Verdict("refused", "no plan with it was confirmed faster"))
    return verdicts


def _of_the_whole(run: Run, outcome: Outcome) -> list[dict[str, Any]]:
    """What was tried on the model as a whole: an entry for each recipe of the engine that ships, and for each tuning."""
    ship, entries = outcome.contenders[outcome.shipped], list[dict[str, Any]]()
    engine = run.engines[ship.engine]
    for lab in (lab for lab in run.labs if lab.engine == ship.engine):
        tried = {build.recipe: build for build in lab.tried.values() if build.recipe and not build.tunings}
        for recipe in engine.recipes:
            if recipe in {*tried, *lab.failures, *lab.untried}:
                entries.append(_recipe(engine.name, recipe, lab, tried.get(recipe), ship.build))
        for build in (build for build in lab.tried.values() if build.tunings):
            entries.append(_tuning(run, engine.name, lab, build, ship.build))
    return [*{entry["id"]: entry for entry in entries}.values()]


def _recipe(engine: str, recipe: str, lab: EngineLab, build: Build | None, shipped: Build) -> dict[str, Any]:
    verdict, reason, ratio = "refused", lab.failures.get(recipe, ""), None
    if recipe in lab.untried:
        verdict, reason = "skipped", lab.untried[recipe]
    if build is not None:
        ratio = lab.ratios.get(build.key)
        verdict, reason = _why_not(lab, build, ratio)
    if shipped.recipe == recipe:
        verdict, reason = "applied", "the engine's own recipe, on the unmodified model"
    entry = _entry_of_the_whole(f"{engine}.{recipe}", verdict, reason, ratio)
    return {**entry, "size_bytes": build and build.size_bytes - lab.baseline.size_bytes}


def _tuning(run: Run, engine: str, lab: EngineLab, build: Build, shipped: Build) -> dict[str, Any]:
    gain = lab.gains.get(build.key)
    verdict, reason = _why_not(lab, build, gain)
    if build.key == shipped.key:
        verdict, reason = "applied", "the plan is faster with it" if gain else "replayed from the plan"
    entry = _entry_of_the_whole(f"{engine}{{{build.tunings_text}}}", verdict, reason, gain)
    exact = build.recipe is not None or not build.rounded
    fidelity = Fidelity.EXACT if exact else Fidelity.APPROXIMATE
    site = content(run, lab, build)
    return {**entry, "id": f"{entry['pass']}@{site}.{build.key[:6]}", "site": site, "fidelity": fidelity.value}


def _why_not(lab: EngineLab, build: Build, ratio: Ratio | None) -> tuple[str, str]:
    """The verdict on what was tried on the model as a whole and does not ship, and why."""
    if (fault := lab.faults.get(build.key)) is not None:
        return "refused", fault
    if ratio is None:
        return "refused", lab.why(build)
    if ratio.interval.high < 1:
        return "reverted", "another plan is better"
    return "refused", "it takes longer with it" if ratio.interval.low > 1 else "no gain beyond the noise"


def _entry_of_the_whole(name: str, verdict: str, reason: str, ratio: Ratio | None) -> dict[str, Any]:
    return {
        "id": name,
        "pass": name,
        "site": "the whole model",
        "verdict": verdict,
        "reason": reason,
        "fidelity": Fidelity.APPROXIMATE.value,
        "error": None,
        "float32_error_ratio": None,
        "nodes": [],
        "needs": [],
        "group": None,
        "latency_ratio": ratio and ratio.interval.to_json(),
        "size_bytes": None,
        "sensitivity": None,
        "dtypes": [],
    }


def rewrites(
    search: Search,
    plan: Sequence[Step],
    verdicts: Mapping[str, Verdict],
    dtypes: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """One entry for each candidate and each near miss.

    Args:
        search: what was found.
        plan: the steps of what ships.
        verdicts: what was said of each step, by id.
        dtypes: what the engine computes with where steps are, or would be, by id.
    """
    applied = {step.id for step in plan}
    origins = Origins(search)
    entries = []
    for step in search.steps:
        verdict = verdicts.get(step.id, Verdict("refused", "not in the plan that won"))
        kind, reason = verdict.verdict, verdict.reason
        if step.id in applied and kind != "applied":
            users = [other.id for other in plan if step.id in other.needs]
            kind, reason = "applied", "part of the plan that was looked at as a whole"
            if users:  # what they brought, they brought together
                reason = f"needed by {users[0]}"
                verdict = dataclasses.replace(verdicts.get(users[0], verdict), reason=reason)
        elif step.id not in applied and kind == "applied":
            kind, reason = "reverted", f"{reason}; the plan as a whole was not confirmed, or another is better"
        entry = _entry(step.candidate, kind, reason, search.evidence.get(step.id))
        entry["nodes"] = origins.of(step.candidate.writes)
        entry["needs"] = list(step.needs)
        entry["group"] = verdict.group
        entry["latency_ratio"] = verdict.ratio.interval.to_json() if verdict.ratio is not None else None
        entry["size_bytes"] = search.size_change.get(step.id)
        entry["sensitivity"] = search.sensitivity.get(step.id)
        entry["dtypes"] = list(dtypes.get(step.id, ()))
        entries.append(entry)
    entries += [
        {**_entry(r.candidate, r.verdict, r.reason, r.evidence), "nodes": origins.of(r.candidate.writes)}
        for r in search.refusals
    ]
    for decline in search.declines:
        entries.append(
            {
                "id": f"{decline.rule}@{decline.site}",
                "pass": decline.rule,
                "site": decline.site,
                "nodes": origins.of([decline.site]),
                "verdict": "declined",
                "reason": decline.reason,
            }
        )
    return entries


def of_other_searches(
    labs: Iterable[EngineLab], ship: EngineLab, told: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What is to be said of passes that the search did not ask which found what ships, and another for its engine did.

    On top of preparations only those are asked again that are fitted to data; without, no preparations.

    Args:
        labs: all of the run.
        ship: that of what ships.
        told: the entries of its search.
    """
    known = {entry["pass"] for entry in told}
    others = [lab for lab in labs if lab is not ship and lab.engine == ship.engine]
    entries = [entry for lab in others for entry in rewrites(lab.search, (), lab.verdicts)]
    return [entry for entry in entries if entry["pass"] not in known]


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
        "nodes": [],
        "needs": [],
        "group": None,
        "latency_ratio": None,
        "size_bytes": None,
        "sensitivity": None,
        "dtypes": [],
    }


def _figures(run: Run, contender: Contender, measured: Measured) -> dict[str, Any]:
    """The `baseline` and `result` parts."""
    engine = run.engines[contender.engine]
    return {
        "engine": engine.name,
        "engine_options": dict(Artifact.read(contender.artifact).options),
        "latency_ms": measured.latency_ms.to_json(),
        "p99_ms": measured.p99_ms,
        "size_bytes": contender.build.size_bytes,
        "peak_bytes": run.peak_bytes(contender),
        "energy": run.energy(contender),
        "quality": None,
    }


def _variants(run: Run, outcome: Outcome) -> list[dict[str, Any]]:
    """The latency table: the unmodified model on each engine, and what ships; ratios are latency over the reference's."""
    session, contenders = outcome.session, outcome.contenders

    def row(name: str, shown: str, note: str | None) -> dict[str, Any]:
        measured = session.variants.get(name)
        return {
            "name": shown,
            "engine": run.engines[contenders[name].engine].name,
            "latency_ms": measured.latency_ms.to_json() if measured else None,
            "p99_ms": measured.p99_ms if measured else None,
            "ratio": measured.ratio.interval.to_json() if measured and measured.ratio else None,
            "note": note,
        }

    rows = [row(name, name, session.failures.get(name)) for name, item in contenders.items() if item.unmodified]
    note = "the unmodified model" if contenders[outcome.shipped].unmodified else None
    return [*rows, row(outcome.shipped, "fxopt", note)]
