"""`--dry-run`: what a run would try, found by the search alone; nothing is built, measured or written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fxopt import __version__
from fxopt.compiler.optimize import prepare
from fxopt.compiler.progress import NULL, Progress, Timed
from fxopt.compiler.request import Request
from fxopt.compiler.search import Search, before_precision
from fxopt.ir.threads import one_thread

_NAME = re.compile(r"\w+_\w+")  # names of nodes without an underscore, like `add`, are words as well


def dry_run(request: Request, progress: Progress = NULL) -> dict[str, Any]:
    """Load and capture the model and search it for rewrites; each exact one is checked in float64.

    Returns:
        Plain data: what was asked; `nodes` and `weight_bytes` before and after all rewrites; by pass, in their order, how
        many `steps`, what they change in bytes of weights, and the reasons of what was `refused` and `declined` with
        their counts and sites; "…" stands for a node's name in a reason; and by engine the latency that is `predicted`
        before and after all rewrites, in ms.

    Raises:
        InputError: as `fxopt.optimize`.
    """
    listener = Timed(progress)
    run = prepare(request, listener)
    try:
        with one_thread():
            found = run.search()
        run.tell_of_data(found)
    finally:
        run.close()
    before, after = found.source, found.program
    asked = before_precision(run.passes)
    if run.quality.lossy and len(asked) < len(run.passes):
        listener.note("lower precision depends on the engine, and is not looked for in a dry run")
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
            }
            for engine in run.engines.values()
        ],
        "faults": [f"left out: {plugin.fault}" for plugin in run.registry.plugins if plugin.fault],
        "notes": listener.notes,
    }


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
