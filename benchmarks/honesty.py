"""How often measurement is wrong: a no-op measured as if it were a rewrite, and a planted slowdown.

Run: `python -m benchmarks.honesty [--quick] [--trials 100]`. Each trial goes the way of every real comparison: engines
in worker processes, interleaved rounds, the default plan. Prints a table and writes `benchmarks/results/honesty.json`.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fxopt.contracts.engine import Artifact, Engine, FlatCallable, Stage
from fxopt.measure import Plan, Ratio, Variant, measure

RESULT = Path(__file__).parent / "results" / "honesty.json"
SIDE = 80
BASE_WORK = 100  # multiplications of 80x80 float32 matrices on one thread: about 1 ms in all
CASES = {"A/A": BASE_WORK, "3% slower": BASE_WORK * 103 // 100}
ISA = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


@dataclass(frozen=True)
class Multiply(Engine):
    """An engine whose latency is proportional to its option `work`."""

    name: ClassVar[str] = "multiply"

    work: int = BASE_WORK

    @classmethod
    def available(cls) -> str | None:
        return None

    @classmethod
    def version(cls) -> str:
        return np.__version__

    def emit(self, program: Any, out: Path) -> Artifact:
        raise NotImplementedError("this engine has one artifact, an empty one")

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            (matrix,) = inputs
            product = np.empty_like(matrix)
            for _ in range(self.work):
                np.matmul(matrix, matrix, out=product)
            return [product]

        return call


def trial(work: int, seed: int, plan: Plan) -> tuple[Ratio, Ratio, int]:
    """The ratio measured for an engine of this much work to one of `BASE_WORK`, the A/A floor, and the rounds taken."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = Artifact(Path(folder), (Stage("multiply", "", ("x",), ("y",)),))
        artifact.write_manifest({})
        variants = [
            Variant(name, f"benchmarks.honesty:Multiply{{work={amount}}}", artifact.path)
            for name, amount in (("reference", BASE_WORK), ("variant", work))
        ]
        matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE), np.float32)
        comparison = measure(variants, [matrix], plan=replace(plan, seed=seed))
    ratio = comparison.timings["variant"].ratio
    assert ratio is not None
    return ratio, comparison.floor, comparison.rounds


def run_case(name: str, trials: int, plan: Plan) -> dict[str, Any]:
    """All trials of one case, summed up."""
    started = time.perf_counter()
    results = [trial(CASES[name], seed, plan) for seed in range(trials)]
    ratios = [ratio for ratio, _, _ in results]
    return {
        "case": name,
        "true_ratio": CASES[name] / BASE_WORK,
        "trials": trials,
        "admitted_as_gain": sum(ratio.faster for ratio in ratios),
        "seen_as_loss": sum(ratio.slower for ratio in ratios),
        "median_ratio": statistics.median(ratio.interval.estimate for ratio in ratios),
        "median_half_width": statistics.median((ratio.interval.high - ratio.interval.low) / 2 for ratio in ratios),
        "intervals_that_miss_the_truth": sum(ratio.interval.excludes(CASES[name] / BASE_WORK) for ratio in ratios),
        "median_rounds": statistics.median(rounds for _, _, rounds in results),
        "seconds": round(time.perf_counter() - started, 1),
        "ratios": [ratio.interval.to_json() for ratio in ratios],
        "floors": [floor.interval.to_json() for _, floor, _ in results],
    }


def machine() -> dict[str, Any]:
    """Name, instruction sets and cores of this machine."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = dict(tuple(map(str.strip, line.split(":", 1))) for line in lines if ":" in line)
    flags = facts.get("flags", "").split()
    return {
        "cpu": facts.get("model name", platform.processor()),
        "isa": [name for name in ISA if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=100, help="trials of each case")
    parser.add_argument("--quick", action="store_true", help="two short trials of each case, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file to write")
    options = parser.parse_args(arguments)
    plan = Plan(rounds=10, epochs=1) if options.quick else Plan()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for the workers
    cases = [run_case(name, 2 if options.quick else options.trials, plan) for name in CASES]
    print(f"{'case':<10} {'trials':>6} {'gains':>6} {'losses':>6} {'ratio':>7} {'±':>7} {'rounds':>6} {'s':>5}")
    for case in cases:
        print(
            f"{case['case']:<10} {case['trials']:>6} {case['admitted_as_gain']:>6} {case['seen_as_loss']:>6} "
            f"{case['median_ratio']:>7.4f} {case['median_half_width']:>7.4f} "
            f"{case['median_rounds']:>6.0f} {case['seconds']:>5.0f}"
        )
    report = {
        "benchmark": "honesty",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "quick": options.quick,
        "plan": plan.__dict__,
        "cases": cases,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
