"""Planners: how near the best choices are, how long large problems take, and what whole runs cost and bring.

Run: `python -m benchmarks.bench_planner [MODEL ...] [--out FILE] [--smoke]`. Random problems that are small enough are solved by
`milp` and `greedy` and by trying all sets; a chain of 300 regions in 12 kinds each, whose neighbours share boundaries, by
`milp`. Then each model is optimized on all engines by `milp` and by `by_region`, with the budget and data of `bench_quantize`
and without the engines' own recipes, and what ships is measured in one interleaved session. Prints a table and merges the
models into `benchmarks/results/planner.json`.
"""

from __future__ import annotations

import datetime
import itertools
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import by_model
from benchmarks.quantize import fxopt_runs
from benchmarks.quantize.models import task
from fxopt_plugins.planners.selection import Option, Selection, Solution, exhaustive, greedy, milp

RESULT = Path(__file__).parent / "results" / "planner.json"
MODELS = ("mobilenet_v2", "resnet50")
PLANNERS = ("milp", "by_region")
BUDGET = "5pt"  # where a task has none
SMALL, REGIONS, KINDS = 200, 300, 12


def chain(seed: int, regions: int, kinds: int) -> Selection:
    """A chain of regions, each in floats or one of some kinds; a kind pays more where its neighbours are of it too."""
    choose = random.Random(seed)
    options = {
        f"{r} {k}": Option(choose.uniform(-1, 0.3), choose.uniform(-10, 0), choose.uniform(0, 1) * 2 ** (k / 3))
        for r, k in itertools.product(range(regions), range(kinds))
    }
    exclusive = [frozenset(f"{r} {k}" for k in range(kinds)) for r in range(regions)] if kinds > 1 else []
    shared = {
        (f"{r} {k}", f"{r + 1} {k}"): choose.uniform(0, 0.4)
        for r, k in itertools.product(range(regions - 1), range(kinds))
    }
    return Selection(options, exclusive, {}, shared, most_loss=regions * choose.uniform(0.05, 0.5))


def small(count: int) -> dict[str, Any]:
    """How far solvers are from the best of all sets, over random problems: shares of what the best brings."""
    gaps: dict[str, list[float]] = {"milp": [], "greedy": []}
    solvers: dict[str, Callable[[Selection], Solution]] = {"milp": milp, "greedy": greedy}
    for seed in range(count):
        problem = chain(seed, 2 + seed % 4, 1 + seed % 3)
        best = exhaustive(problem).objective
        for name, solve in solvers.items():
            gaps[name].append((solve(problem).objective - best) / (abs(best) or 1.0))
    return {
        "problems": count,
        "gaps": {name: {"mean": statistics.fmean(found), "worst": max(found)} for name, found in gaps.items()},
    }


def large(seeds: Sequence[int], regions: int, kinds: int) -> dict[str, Any]:
    """Seconds that `milp` takes for large problems, and the gaps that it proves."""
    seconds, gaps = [], []
    for seed in seeds:
        problem = chain(seed, regions, kinds)
        started = time.perf_counter()
        found = milp(problem, seconds=60.0)
        seconds.append(round(time.perf_counter() - started, 3))
        gaps.append(found.gap / (abs(found.objective) or 1.0))
    return {"regions": regions, "kinds": kinds, "seconds": seconds, "gaps": gaps}


def runs(name: str, folder: Path) -> dict[str, Any]:
    """What planners make of a model: time, builds, and their plans in one session."""
    from fxopt import Registry
    from fxopt.data import Data
    from fxopt.ir.capture import capture, export, positional_names
    from fxopt.measure import Plan, Variant, measure

    model = task(name)
    budget, engine = model.budget or BUDGET, "onnxruntime" if name == by_model.TINY else "auto"
    found = {
        planner: fxopt_runs.run(name, budget, folder / planner, recipes=False, planner=planner, engine=engine)
        for planner in PLANNERS
    }
    if failed := [f"{planner}: {run['error']}" for planner, run in found.items() if "error" in run]:
        raise SystemExit("; ".join(failed))
    module, inputs = model.build()
    interface = capture(export(module, inputs), names=positional_names(module)).interface
    calib = Data.read(model.data().calib, interface, "calib")
    values = [value.numpy() for value in next(iter(calib.batches())).inputs]
    variants = [Variant(planner, run["engine"], folder / planner / "model") for planner, run in found.items()]
    session = measure(variants, values, plan=Plan(rounds=30, epochs=3, together=True))
    return {
        "title": model.title,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": asdict(Registry.load().make_target("cpu").machine()),
        "floor": session.floor.interval.to_json(),
        "planners": {planner: _of_run(run, session.timings.get(planner)) for planner, run in found.items()},
    }


def _of_run(run: dict[str, Any], timing: Any) -> dict[str, Any]:
    ledger = run["ledger"]
    plans = ledger["planning"]
    regions = {(item["engine"], item["site"]) for item in ledger["options"]}
    return {
        "seconds": run["seconds"],
        "peak_rss_bytes": run["peak_rss_bytes"],
        "builds": sum(item["builds"] for item in plans),
        "regions": len(regions),
        "options": len(ledger["options"]),
        "looks": sum(len(item["looks"]) for item in plans),
        "solver_seconds": sum(look["seconds"] for item in plans for look in item["looks"]),
        "verdict": ledger["result"]["verdict"],
        "latency_ms": timing and timing.latency_ms.to_json(),
        "ratio": timing.ratio.interval.to_json() if timing and timing.ratio else None,
        "phases": ledger["phases"],
    }


def table(report: dict[str, Any]) -> str:
    """The results as text."""
    lines = []
    if "small" in report:
        for name, gap in report["small"]["gaps"].items():
            lines.append(f"{name}: {gap['mean']:.2%} from the best of all on average, {gap['worst']:.2%} at worst")
        found = report["large"]
        lines.append(
            f"milp, {found['regions']} regions in {found['kinds']} kinds: at most {max(found['seconds']):.1f} s,"
            f" gap at most {max(found['gaps']):.2%}"
        )
    for model in report.get("models", {}).values():
        lines.append(model["title"])
        for name, run in model["planners"].items():
            ratio = run["ratio"]
            against = f" {ratio['estimate']:.3f} ({ratio['low']:.3f}..{ratio['high']:.3f})" if ratio else ""
            lines.append(
                f"  {name:<10} {run['seconds']:6.0f} s {run['builds']:4} builds for {run['regions']} regions in"
                f" {run['options']} options  {run['latency_ms']['estimate'] if run['latency_ms'] else math.nan:8.3f} ms{against}"
                f"  {run['verdict']}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = by_model.parser(__doc__, MODELS, RESULT)
    parser.add_argument("--only-solvers", action="store_true", help="no model is optimized")
    options = parser.parse_args(arguments)
    names = by_model.chosen(parser, options, MODELS)
    count, seeds, regions = (40, (0,), 20) if options.smoke else (SMALL, range(5), REGIONS)
    solvers = {"small": small(count), "large": large(seeds, regions, KINDS)}
    by_model.keep(options.out, "planner", MODELS, {}, lambda _: solvers)
    for name in [] if options.only_solvers else names:
        with tempfile.TemporaryDirectory() as folder:
            measured = {name: runs(name, Path(folder))}
        by_model.keep(options.out, "planner", MODELS, measured, lambda _: solvers)
    print(table(by_model.read(options.out)))
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
