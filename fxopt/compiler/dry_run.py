"""`--dry-run`: what a run would try, found by the search alone; nothing is built, measured or written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fxopt import __version__
from fxopt.compiler.optimize import prepare
from fxopt.compiler.paper import on_paper, plans_on_paper
from fxopt.compiler.progress import NULL, Progress, Timed
from fxopt.compiler.request import Request
from fxopt.compiler.search import Search, before_precision
from fxopt.ir.threads import one_thread

if TYPE_CHECKING:
    from fxopt.compiler.run import Run
    from fxopt.contracts.engine import Engine

_SECONDS = 15.0  # for plans, of all engines together
_NAME = re.compile(r"\w+_\w+")  # names of nodes without an underscore, like `add`, are words as well


def dry_run(request: Request, progress: Progress = NULL) -> dict[str, Any]:
    """Load and capture the model and search it for rewrites; each exact one is checked in float64.

    Returns:
        Plain data: what was asked; `nodes` and `weight_bytes` before and after all rewrites; by pass, in their order, how
        many `steps`, what they change in bytes of weights, and the reasons of what was `refused` and `declined` with
        their counts and sites; "…" stands for a node's name in a reason; and by engine the latency that is `predicted`
        before and after all rewrites, in ms, with the `plans` of lower precision on top of these that lie on the frontier
        of latency and size, where quality may drop and prices are known.

    Raises:
        InputError: as `fxopt.optimize`.
    """
    listener = Timed(progress)
    run = prepare(request, listener)
    try:
        with one_thread():
            found = run.search()
            plans = {spec: _on_paper(run, found, engine) for spec, engine in run.engines.items()}
        run.tell_of_data(found)
    finally:
        run.close()
    before, after = found.source, found.program
    asked = before_precision(run.passes)
    if run.quality.lossy and not any(plans.values()):
        listener.note(
            "what lower precision brings cannot be foretold, as too little is known of the engines here: fxopt profile"
        )
    return {
        "fxopt": __version__,
        "command": request.command,
        "model": {"source": run.source, "digest": before.digest},
        "target": run.target.spec(),
        "calib": run.calib and run.calib.to_json(),
        "nodes": {"before": len(before), "after": len(after)},
        "weight_bytes": {"before": before.weight_bytes, "after": after.weight_bytes},
        "passes": [_of_pass(found, name) for name in dict.fromkeys(rule.name for rule in asked)],
        "predicted": [
            {
                "engine": engine.name,
                "before": run.target.predict(before, engine).latency_ms.to_json(),
                "after": run.target.predict(after, engine).latency_ms.to_json(),
                "plans": plans[spec],
            }
            for spec, engine in run.engines.items()
        ],
        "faults": [f"left out: {plugin.fault}" for plugin in run.registry.plugins if plugin.fault],
        "notes": listener.notes,
    }


def _on_paper(run: Run, found: Search, engine: Engine) -> list[dict[str, Any]]:
    """What lower precision is foretold to bring on an engine, where quality may drop."""
    if not run.quality.lossy or engine.name == "eager":
        return []
    begun = on_paper(
        found,
        run.passes,
        engine,
        run.registry,
        run.target,
        run.context,
        run.request.budget,
        _SECONDS / len(run.engines),
    )
    return [] if begun is None else plans_on_paper(*begun, run.planner)


def _of_pass(found: Search, name: str) -> dict[str, Any]:
    steps = [step.id for step in found.steps if step.candidate.rule == name]
    changes = [found.size_change.get(step) for step in steps]
    refused = [(r.reason, r.candidate.site[0]) for r in found.refusals if r.candidate.rule == name]
    declined = [(d.reason, d.site) for d in found.declines if d.rule == name]
    return {
        "pass": name,
        "steps": len(steps),
        "size_bytes": None if None in changes else sum(filter(None, changes)),
        "refused": _by_reason(found, refused),
        "declined": _by_reason(found, declined),
        "fault": found.faults.get(name),
    }


def _by_reason(found: Search, entries: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Reasons with their sites, the most frequent first; those that differ only in the node that they name are one."""
    sites: dict[str, list[str]] = {}
    for reason, site in entries:
        sites.setdefault(_NAME.sub(lambda word: _unnamed(found, word[0]), reason), []).append(site)
    grouped = [{"reason": reason, "count": len(where), "sites": where} for reason, where in sites.items()]
    return sorted(grouped, key=lambda group: -group["count"])


def _unnamed(found: Search, word: str) -> str:
    return "…" if word in found.source or word in found.program else word
