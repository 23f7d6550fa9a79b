"""Quantization under a quality budget: fxopt beside the engines in floats and their own tools for int8.

Run: `python -m benchmarks.bench_quantize [MODEL ...] [--out FILE] [--peers-only] [--quick | --smoke]`. For each model every peer is
built from the same module and calibrated on the same samples; fxopt optimizes it twice, with the engines' own recipes
among its plans and without; then all are judged on samples that none of them has seen, and measured interleaved in one
session at 2 threads and batch 1. Ratios are to the fastest peer that keeps the quality budget. Prints a table and merges
the models into `benchmarks/results/quantize.json`. What peers make and lose is kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.bench_exact import sample_memory
from benchmarks.quantize.models import TASKS, Task, tiny
from benchmarks.quantize.peers import THREADS, build, peers, versions
from benchmarks.quantize.quality import Judge, originals
from benchmarks.quantize.store import Store
from benchmarks.quantize.training import cache_folder

RESULT = Path(__file__).parent / "results" / "quantize.json"
FXOPT = {"fxopt": True, "fxopt, no recipes": False}  # whether engines' own recipes are among its plans
ROUNDS, EPOCHS = 15, 3
WORST_OF_PEERS = 100.0  # percentage points


@dataclass(frozen=True)
class Entry:
    """A variant: its artifact, and the spec of the engine that runs it."""

    engine: str
    artifact: Path


def optimize(name: str, budget: str, out: Path, recipes: bool) -> dict[str, Any]:
    """What a run of fxopt says, in this process: its ledger and the spec of the engine; or `error`."""
    import fxopt
    from benchmarks.smoke import few_rounds
    from fxopt.compiler.lab import EngineLab
    from fxopt.contracts.cost import Budget, Drop
    from fxopt.errors import FxoptError

    task = _task(name)
    (module, inputs), split = task.build(), task.data()
    with ExitStack() as stack:
        if not recipes:
            stack.enter_context(mock.patch.object(EngineLab, "recipes", return_value=[]))
        if name == "tiny":
            stack.enter_context(few_rounds())
        try:
            ledger = fxopt.optimize(
                module,
                inputs,
                calib=split.calib,
                eval=split.search,
                metric=task.metric,
                budget=Budget(max_drop=Drop.parse(budget)),
                threads=THREADS,
                out=out,
            ).ledger
        except FxoptError as error:
            return {"error": str(error)}
    plan = json.loads((out / "plan.json").read_text())
    return {"ledger": ledger, "engine": plan["engine"], "recipe": plan["recipe"]}


def run_fxopt(name: str, budget: str, out: Path, recipes: bool) -> dict[str, Any]:
    """One run of fxopt in a process of its own, with its time and memory."""
    stop, peak = threading.Event(), [0]
    sampler = threading.Thread(target=sample_memory, args=(stop, peak), daemon=True)
    started = time.perf_counter()
    sampler.start()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(optimize, name, budget, out, recipes).result()
    seconds = time.perf_counter() - started
    stop.set()
    sampler.join()
    return found | {"seconds": round(seconds, 1), "peak_rss_bytes": peak[0]}


def run(name: str, store: Store, *, peers_only: bool = False, quick: bool = False) -> dict[str, Any]:
    """One model."""
    from fxopt import Registry
    from fxopt.contracts.cost import Drop
    from fxopt.data import Data
    from fxopt.ir.capture import capture, export, positional_names

    task, registry = _task(name), Registry.load()
    machine = registry.make_target("cpu").machine()
    (module, inputs), split = task.build(), task.data()
    program = capture(export(module, inputs), names=positional_names(module))
    calib, search, report = (Data.read(getattr(split, r), program.interface, r) for r in ("calib", "search", "report"))
    metrics = {spec: registry.make_metric(spec) for spec in (task.metric, *task.others)}
    labelled = metrics[task.metric].needs == "labels"

    known = peers(machine)
    artifacts, failures = build(known, program, calib, machine, store)
    entries = {peer.name: Entry(peer.spec(), artifacts[peer.name]) for peer in known if peer.name in artifacts}

    def judge(data: Data, samples: Any, entries: dict[str, Entry]) -> dict[str, dict[str, Any]]:
        outputs = originals(module, samples, labelled, (program.digest, data.digest, machine.cpu), store)
        judged = Judge(metrics, data, outputs, machine, store)
        return {name: judged.drops(entry.engine, entry.artifact) for name, entry in entries.items()}

    int8 = [peer.name for peer in known if peer.recipe and peer.name in entries]

    def least_loss(drops: dict[str, dict[str, Any]]) -> str:
        """The budget where it is what the best int8 peer loses."""
        least = min((100 * drops[name][task.metric].drop for name in int8), default=WORST_OF_PEERS)
        return f"{max(least, 0.0):.6g}pt"

    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if not peers_only:
            budget = task.budget or least_loss(judge(search, split.search, {n: entries[n] for n in int8}))
            for label, recipes in FXOPT.items():
                out = Path(folder) / label
                runs[label] = run_fxopt(name, budget, out, recipes)
                if "error" in runs[label]:
                    failures[label] = runs[label]["error"]
                else:
                    entries[label] = Entry(runs[label]["engine"], out / "model")
        drops = judge(report, split.report, entries)
        limit = Drop.parse(task.budget or least_loss(drops))
        kept = {label: found[task.metric].keeps(limit) for label, found in drops.items()}
        first = [peer.name for peer in known if kept.get(peer.name)]
        session = measure_all(first, entries, next(iter(calib.batches())).inputs, 1 if quick else EPOCHS)
        sizes = {label: _size(entry.artifact) for label, entry in entries.items()}
    failures |= session.failures
    recipe_of = {peer.name: peer.recipe for peer in known} | {n: found.get("recipe") for n, found in runs.items()}
    rows = []
    for label in [*(peer.name for peer in known), *runs]:
        timing, drop = session.timings.get(label), drops.get(label)
        rows.append(
            {
                "name": label,
                "engine": entries[label].engine if label in entries else None,
                "recipe": recipe_of[label],
                "latency_ms": timing and timing.latency_ms.to_json(),
                "p99_ms": timing and timing.p99_ms,
                "ratio": timing and timing.ratio and timing.ratio.interval.to_json(),
                "quality": drop and {spec: found.to_json() for spec, found in drop.items()},
                "kept": kept.get(label),
                "size_bytes": sizes.get(label),
                "note": failures.get(label),
            }
        )
    return {
        "title": task.title,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": asdict(machine) | {"versions": versions(machine)},
        "threads": THREADS,
        "trained": task.trained,
        "metric": task.metric,
        "budget": str(limit),
        "samples": {"calib": calib.samples, "search": search.samples, "report": report.samples},
        "base": session.base,
        "rounds": session.rounds,
        "floor": session.floor.interval.to_json(),
        "peers": sum(peer.recipe is not None for peer in known),
        "peers_kept": sum(bool(peer.recipe and kept.get(peer.name)) for peer in known),
        "variants": rows,
        "runs": {label: summary(found) for label, found in runs.items()},
    }


def measure_all(first: Sequence[str], entries: dict[str, Entry], inputs: Sequence[Any], epochs: int) -> Any:
    """One session of all; ratios are to the fastest of `first`."""
    from fxopt.measure import Plan, Variant, measure

    order = [*first, *(label for label in entries if label not in first)]
    variants = [Variant(label, entries[label].engine, entries[label].artifact) for label in order]
    plan = Plan(rounds=ROUNDS, epochs=epochs, together=True)
    return measure(variants, [value.numpy() for value in inputs], plan=plan, bases=max(1, len(first)))


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """What the benchmark keeps of a run of fxopt: what it did, and what stayed as it was and why."""
    kept = {key: found[key] for key in ("seconds", "peak_rss_bytes")}
    if "error" in found:
        return kept | {"error": found["error"]}
    ledger = found["ledger"]
    in_float = [item for item in ledger["rewrites"] if item["verdict"] != "applied" and _lowers(item)]
    return kept | {
        "verdict": ledger["result"]["verdict"],
        "quality": ledger["result"]["quality"],
        "recipe": found["recipe"],
        "applied": dict(Counter(item["pass"] for item in ledger["rewrites"] if item["verdict"] == "applied")),
        "not_lowered": [
            {"pass": item["pass"], "site": item["site"], "verdict": item["verdict"], "reason": item["reason"]}
            for item in in_float
        ],
        "phases": ledger["phases"],
        "notes": ledger["notes"],
    }


def _lowers(item: dict[str, Any]) -> bool:
    """Whether an entry of the ledger is about lower precision."""
    import fxopt_passes.quantize

    return item["pass"] in {rule.name for rule in fxopt_passes.quantize.fxopt_passes()}


def _size(artifact: Path) -> int:
    from fxopt.contracts.engine import Artifact

    return Artifact.read(artifact).size_bytes()


def _task(name: str) -> Task:
    return tiny() if name == "tiny" else TASKS[name]


def table(model: dict[str, Any]) -> str:
    """One model as text."""
    peers = f"{model['peers_kept']} of {model['peers']} int8 peers keep it"
    lines = [f"{model['title']}: {model['metric']}, budget {model['budget']}; {peers}; ratios to {model['base']}"]
    for row in model["variants"]:
        if row["latency_ms"] is None:
            lines.append(f"  {row['name']:<26} failed: {row['note']}")
            continue
        quality, ratio = row["quality"][model["metric"]], row["ratio"]
        drop = {key: float("inf") if value is None else value for key, value in quality["drop"].items()}
        figures = f"{row['latency_ms']['estimate']:8.3f} ms"
        figures += f" {ratio['estimate']:6.3f} ({ratio['low']:.3f}..{ratio['high']:.3f})" if ratio else " " * 22
        figures += f"  loses {drop['estimate']:8.4f} ({drop['low']:.4f}..{drop['high']:.4f})"
        others = "".join(f", {spec} {row['quality'][spec]['candidate']:.4f}" for spec in list(row["quality"])[1:])
        kept = "kept" if row["kept"] else "LOST"
        lines.append(f"  {row['name']:<26} {figures}{others}  {kept}  {row['size_bytes'] / 1e6:7.2f} MB")
    for label, found in model["runs"].items():
        told = found.get("error") or f"{found['verdict']}; applied {found['applied']}, recipe {found['recipe']}"
        lines.append(f"  {label}: {found['seconds']:.0f} s, {found['peak_rss_bytes'] / 2**30:.2f} GiB; {told}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(TASKS)}; all by default")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file; models that are not run stay as they are")
    parser.add_argument("--peers-only", action="store_true", help="without fxopt's own runs")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "made", help="where is kept what peers make")
    parser.add_argument("--quick", action="store_true", help="few rounds: for qualities, not for times")
    parser.add_argument("--smoke", action="store_true", help="only a tiny net, to see that it runs")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.models if name not in TASKS]
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}; choose from {', '.join(TASKS)}")
    for name in ["tiny"] if options.smoke else options.models or TASKS:
        quick = options.quick or options.smoke
        measured = {name: run(name, Store(options.cache), peers_only=options.peers_only, quick=quick)}
        print(table(measured[name]), flush=True)
        report = json.loads(options.out.read_text()) if options.out.exists() else {"benchmark": "quantize"}
        models = report.get("models", {}) | measured
        report["models"] = {key: models[key] for key in [*TASKS, "tiny"] if key in models}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
