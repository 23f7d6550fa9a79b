"""What becomes of each rewrite on each engine: applied, refused with the ratio measured, or the engine's own work.

Run: `python -m benchmarks.bench_rewrites [SITE ...] [--engine NAME ...] [--out FILE] [--smoke]`. Each site of
`benchmarks/sites.py` on each engine is a run of `fxopt.optimize` in a process of its own, at 2 threads, with the pass
alone where it finds something alone, else with all passes. Prints a line a run and merges it into
`benchmarks/results/rewrites.json` at once: a run that was stopped goes on where it was, as only the sites that are named
are measured, or without names those not there yet.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.apart import apart
from benchmarks.sites import SITES, Site
from fxopt.errors import FxoptError
from fxopt_plugins.planners.by_pass import SAME

RESULT = Path(__file__).parent / "results" / "rewrites.json"
THREADS = 2
ENGINES = ("eager", "onnxruntime", "openvino")
_TINY = Site("a net that takes seconds", "fold_batch_norm", lambda: [nn.Linear(8, 8), nn.BatchNorm1d(8)], (4, 8), 2)
_ALL = {name: site for name, site in SITES.items() if site.rule} | {"tiny": _TINY}


def optimize(name: str, engine: str) -> dict[str, Any]:
    """The ledger of one run, in this process."""
    import fxopt
    from benchmarks.smoke import few_rounds
    from fxopt.compiler.search import search
    from fxopt.ir.capture import capture, export
    from fxopt.registry import Registry

    module, inputs = _ALL[name].build()
    registry, rule = Registry.load(), _ALL[name].rule
    alone = search(capture(export(module, inputs)), registry.make_passes(rule), registry).steps
    with tempfile.TemporaryDirectory() as folder, few_rounds() if name == "tiny" else nullcontext():
        return fxopt.optimize(
            module, inputs, engine=engine, threads=THREADS, passes=rule if alone else None, out=Path(folder) / "out"
        ).ledger


def run(name: str, engine: str) -> dict[str, Any]:
    """One site on one engine in a process of its own, summed up."""
    started = time.perf_counter()
    try:
        with apart() as pool:
            result = summary(pool.submit(optimize, name, engine).result(), _ALL[name].rule)
    except (FxoptError, BrokenProcessPool) as error:
        result = {"verdict": "failed", "reason": str(error), "ratio": None}
    return result | {"seconds": round(time.perf_counter() - started, 1)}


def summary(ledger: dict[str, Any], rule: str) -> dict[str, Any]:
    """What the benchmark keeps of a ledger: what became of the rewrites of one pass.

    Where they did not all end alike, `verdict` is that of those that were applied, else of most. `ratio` is latency with
    them over latency without; where they were applied though they showed no gain by themselves, as part of a plan that
    did, it is that plan's (`whole_plan`).
    """
    mine = [item for item in ledger["rewrites"] if item["pass"] == rule]
    tried = [item for item in mine if item["verdict"] != "declined"]
    verdicts = Counter(item["verdict"] for item in tried)
    verdict = "applied" if verdicts["applied"] else max(verdicts, key=lambda key: verdicts[key], default="none")
    reason = next((item["reason"] for item in tried if item["verdict"] == verdict), "no candidate")
    ratio = next((item["latency_ratio"] for item in tried if item["verdict"] == verdict), None)
    whole_plan = verdict == "applied" and (ratio is None or ratio["high"] >= 1)
    return {
        "date": ledger["created"],
        "machine": ledger["machine"],
        "threads": ledger["threads"],
        "fxopt": ledger["fxopt"],
        "noise": ledger["noise"],
        "unmodified_ms": ledger["baseline"]["latency_ms"]["estimate"],
        "verdict": verdict,
        "reason": reason,
        "same_kernels": reason == SAME,
        "ratio": ledger["result"]["ratio"] if whole_plan else ratio,
        "whole_plan": whole_plan,
        "verdicts": dict(verdicts),
        "float64_error": max((item["error"] for item in tried if item["error"] is not None), default=None),
        "size_bytes": sum(item["size_bytes"] or 0 for item in tried),
        "declines": sorted({item["reason"] for item in mine if item["verdict"] == "declined"}),
    }


def outcome(result: dict[str, Any]) -> str:
    """What became of the rewrites, in a few words: `applied 0.81 (0.79 to 0.83)`."""
    if result.get("same_kernels"):
        return "same kernels"
    ratio = result["ratio"]
    if ratio is None:
        return f"{result['verdict']}: {result['reason']}"
    plan = " in the whole plan" if result["whole_plan"] else ""
    return f"{result['verdict']} {ratio['estimate']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}){plan}"


def read(file: Path) -> dict[str, Any]:
    """The results so far."""
    return json.loads(file.read_text()) if file.exists() else {"benchmark": "rewrites", "sites": {}}


def keep(file: Path, name: str, engine: str, result: dict[str, Any]) -> None:
    """Merge one result into the file, which is whole at any time."""
    report = read(file)
    sites = report["sites"]
    sites.setdefault(name, {})[engine] = result
    report["sites"] = {key: sites[key] for key in _ALL if key in sites}
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(report, indent=1) + "\n")
    draft.replace(file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    measurable = [name for name in _ALL if name != "tiny"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "sites", nargs="*", metavar="SITE", help=f"of {', '.join(measurable)}; by default those not there yet"
    )
    parser.add_argument(
        "--engine", action="append", choices=[*ENGINES, "inductor"], help=f"default: {', '.join(ENGINES)}"
    )
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file; what is not run stays as it is")
    parser.add_argument("--smoke", action="store_true", help="only a tiny net, to see that it runs")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.sites if name not in measurable]
    if unknown:
        parser.error(f"unknown site {unknown[0]!r}; choose from {', '.join(measurable)}")
    named = ["tiny"] if options.smoke else options.sites
    there = {} if named else read(options.out)["sites"]
    for name in named or measurable:
        for engine in options.engine or ENGINES:
            if there.get(name, {}).get(engine, {"verdict": "failed"})["verdict"] == "failed":
                result = run(name, engine)
                keep(options.out, name, engine, result)
                print(f"{name:<34} {engine:<12} {outcome(result)}; {result['seconds']:.0f} s", flush=True)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
