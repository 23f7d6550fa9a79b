"""How the time to search a graph grows with its size: all core passes with their float64 checks, and no engine.

Run: `python -m benchmarks.bench_scale [--runs 5] [--out FILE] [--smoke]`. Searches synthetic Programs of about 500 to
5,000 calls, one in ten a batch norm, in turn, on one thread. Prints a table and writes `benchmarks/results/scale.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import gc
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.synthetic import program
from fxopt.compiler.search import Search, search
from fxopt.ir.program import Program
from fxopt.registry import Registry

RESULT = Path(__file__).parent / "results" / "scale.json"
THREADS = 1  # the tensors are tiny
STAGES = (2, 4, 8, 20)  # of about 250 calls each


def batch_norms(program: Program) -> int:
    """How many calls of batch norm there are."""
    return sum(node.target is torch.ops.aten.batch_norm.default for node in program.calls)


def timed(stages: int, registry: Registry) -> tuple[Search, float]:
    """The search of a new Program, and the seconds that it took."""
    graph, passes = program(stages), registry.make_passes(None)
    gc.collect()
    started = time.perf_counter()
    found = search(graph, passes, registry)
    return found, time.perf_counter() - started


def summary(found: Search, seconds: list[float]) -> dict[str, Any]:
    """What the benchmark keeps of one size; `seconds` is the median of the runs, each of which is in `runs`."""
    return {
        "nodes": sum(1 for _ in found.source.calls),
        "batch_norms": batch_norms(found.source),
        "seconds": statistics.median(seconds),
        "runs": seconds,
        "steps": len(found.steps),
        "checked": len(found.evidence),
        "refused": len(found.refusals),
        "faults": found.faults,
        "nodes_left": sum(1 for _ in found.program.calls),
        "batch_norms_left": batch_norms(found.program),
    }


def exponents(sizes: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The power of the number of nodes that the seconds grow with: over all sizes, and from the least to the largest."""
    nodes = [math.log(size["nodes"]) for size in sizes]
    seconds = [math.log(size["seconds"]) for size in sizes]
    return {
        "least_squares": statistics.linear_regression(nodes, seconds).slope,
        "two_points": (seconds[-1] - seconds[0]) / (nodes[-1] - nodes[0]),
    }


def run(stages: Sequence[int], runs: int) -> list[dict[str, Any]]:
    """All sizes, in turn so that what disturbs the machine for a while disturbs them alike."""
    registry = Registry.load()
    timed(1, registry)  # torch imports and compiles things when they are first used
    seconds: dict[int, list[float]] = {count: [] for count in stages}
    results = {}
    for _ in range(runs):
        for count in stages:
            results[count], elapsed = timed(count, registry)
            seconds[count].append(round(elapsed, 4))
    return [summary(results[count], seconds[count]) for count in stages]


def table(sizes: Sequence[dict[str, Any]]) -> str:
    """The results as text."""
    lines = [f"{'nodes':>6} {'batch norms':>11} {'seconds':>8} {'steps':>6} {'ms a node':>9}"]
    for size in sizes:
        each = 1000 * size["seconds"] / size["nodes"]
        lines.append(
            f"{size['nodes']:>6,} {size['batch_norms']:>11} {size['seconds']:>8.2f} {size['steps']:>6,} {each:>9.2f}"
        )
    found = exponents(sizes)
    lines.append(
        f"time grows with nodes to the power {found['least_squares']:.3f} (least squares), "
        f"{found['two_points']:.3f} (first to last)"
    )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="searches of each size")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file to write")
    parser.add_argument("--smoke", action="store_true", help="one run of two small sizes, to see that it runs")
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        sizes = run((1, 2), 1) if options.smoke else run(STAGES, options.runs)
    finally:
        torch.set_num_threads(before)
    print(table(sizes))
    report = {
        "benchmark": "scale",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": dataclasses.asdict(Registry.load().make_target("cpu").machine()),
        "threads": THREADS,
        "sizes": sizes,
        "exponents": exponents(sizes),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
