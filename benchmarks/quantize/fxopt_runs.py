"""Runs of fxopt, each in a process of its own, with what it took."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.apart import apart
from benchmarks.bench_exact import sample_memory
from benchmarks.quantize.models import task
from benchmarks.quantize.peers import THREADS


def run(
    name: str, budget: str, out: Path, *, recipes: bool, planner: str | None = None, engine: str = "auto"
) -> dict[str, Any]:
    """What `fxopt.optimize` made of a model.

    Args:
        name: of the model.
        budget: as `--max-drop` takes it.
        out: the output folder.
        recipes: whether the engines' own recipes are among the plans.
        planner: what chooses; None for the default.
        engine: as `--engine` takes it.

    Returns:
        `ledger`, the spec of the `engine` and the `recipe`, if one ships; or `error`, one line. Beside these `seconds`
        and `peak_rss_bytes`.
    """
    stop, peak = threading.Event(), [0]
    sampler = threading.Thread(target=sample_memory, args=(stop, peak), daemon=True)
    started = time.perf_counter()
    sampler.start()
    try:
        with apart() as pool:
            found = pool.submit(_optimize, name, budget, out, recipes, planner, engine).result()
    finally:
        stop.set()
        sampler.join()
    return found | {"seconds": round(time.perf_counter() - started, 1), "peak_rss_bytes": peak[0]}


def _optimize(name: str, budget: str, out: Path, recipes: bool, planner: str | None, engine: str) -> dict[str, Any]:
    import fxopt
    from benchmarks.smoke import few_rounds
    from fxopt.contracts.cost import Budget, Drop
    from fxopt.errors import FxoptError

    model = task(name)
    (module, inputs), split = model.build(), model.data()
    try:
        with few_rounds() if name == "tiny" else nullcontext():
            ledger = fxopt.optimize(
                module,
                inputs,
                calib=split.calib,
                eval=split.search,
                metric=model.metric,
                budget=Budget(max_drop=Drop.parse(budget)),
                threads=THREADS,
                recipes=recipes,
                planner=planner,
                engine=engine,
                out=out,
            ).ledger
    except FxoptError as error:
        return {"error": str(error)}
    plan = json.loads((out / "plan.json").read_text())
    return {"ledger": ledger, "engine": plan["engine"], "recipe": plan["recipe"]}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """What the benchmark keeps of a run: what it did, and what it left as it was and why, site by site."""
    import fxopt_passes.quantize

    kept = {key: found[key] for key in ("seconds", "peak_rss_bytes")}
    if "error" in found:
        return kept | {"error": found["error"]}
    ledger = found["ledger"]
    lowering = {rule.name for rule in fxopt_passes.quantize.fxopt_passes()}
    left: dict[tuple[str, str, str], list[str]] = {}
    for item in ledger["rewrites"]:
        if item["verdict"] != "applied" and item["pass"] in lowering:
            left.setdefault((item["pass"], item["verdict"], item["reason"]), []).append(item["site"])
    return kept | {
        "verdict": ledger["result"]["verdict"],
        "quality": ledger["result"]["quality"],
        "recipe": found["recipe"],
        "applied": dict(Counter(item["pass"] for item in ledger["rewrites"] if item["verdict"] == "applied")),
        "not_lowered": [
            {"pass": rule, "verdict": verdict, "reason": reason, "sites": sites}
            for (rule, verdict, reason), sites in left.items()
        ],
        "phases": ledger["phases"],
        "notes": ledger["notes"],
    }
