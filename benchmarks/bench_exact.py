"""What exact rewrites and the choice of an engine bring: fxopt beside each engine on the unmodified model.

Run: `python -m benchmarks.bench_exact [MODEL ...] [--out FILE] [--smoke]`. Each model is a run of `fxopt.optimize` in a
process of its own, at 2 threads and batch 1; its figures are those of the run's confirming session, in which all
variants were measured interleaved. Prints a table and merges the models into `benchmarks/results/exact.json`.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psutil
from torch import nn

from benchmarks import by_model
from benchmarks.apart import apart

RESULT = Path(__file__).parent / "results" / "exact.json"
THREADS = 2
NAMES = {
    "mobilenet_v2": "MobileNetV2, trained",
    "efficientnet_lite0": "EfficientNet-Lite0, trained",
    "resnet50": "ResNet-50",
    "convnext_tiny": "ConvNeXt-T",
    "vit_tiny_patch16_224": "ViT-Ti/16",
    "repvgg_a0": "RepVGG-A0, training form",
    "inception_v3": "Inception-v3",
    "bert": "small BERT, separate Q/K/V",
}
FUSIBLE = ("repvgg_a0", "inception_v3", "bert")  # where engines leave something to merge


def tiny() -> tuple[nn.Module, tuple[Any, ...]]:
    """A net that takes seconds, to see that the benchmark runs."""
    import torch

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
    return net.eval(), (torch.randn(1, 3, 8, 8),)


def optimize(name: str) -> dict[str, Any]:
    """The ledger of one run, in this process."""
    import fxopt
    from benchmarks.models import build
    from benchmarks.smoke import few_rounds

    module, inputs = tiny() if name == "tiny" else build(name)
    with tempfile.TemporaryDirectory() as folder, few_rounds() if name == "tiny" else nullcontext():
        return fxopt.optimize(module, inputs, threads=THREADS, out=Path(folder) / "out").ledger


def run(name: str) -> dict[str, Any]:
    """One model in a process of its own, summed up."""
    stop, peak = threading.Event(), [0]
    sampler = threading.Thread(target=sample_memory, args=(stop, peak), daemon=True)
    started = time.perf_counter()
    sampler.start()
    with apart() as pool:
        ledger = pool.submit(optimize, name).result()
    seconds = time.perf_counter() - started
    stop.set()
    sampler.join()
    return summary(ledger) | {"seconds": round(seconds, 1), "peak_rss_bytes": peak[0]}


def sample_memory(stop: threading.Event, peak: list[int]) -> None:
    """Keep the largest sum of resident memory of all child processes; what they share counts more than once."""
    while not stop.wait(0.2):
        total = 0
        for process in psutil.Process().children(recursive=True):
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak[0] = max(peak[0], total)


def summary(ledger: dict[str, Any]) -> dict[str, Any]:
    """What the benchmark keeps of a ledger.

    `speedup` is the latency of the best engine on the unmodified model, as the confirming session has it, over that of
    what ships: above 1 is faster. `interval` is that of the ledger, against its baseline, which is nearly always that engine.
    """
    rows = {row["name"]: row for row in ledger["variants"] if row["latency_ms"]}
    shipped = rows["fxopt"]["latency_ms"]["estimate"]
    best = min((row for name, row in rows.items() if name != "fxopt"), key=lambda row: row["latency_ms"]["estimate"])
    interval = ledger["result"]["speedup"]
    rewrites = ledger["rewrites"]
    return {
        "date": ledger["created"],
        "machine": ledger["machine"],
        "threads": ledger["threads"],
        "fxopt": ledger["fxopt"],
        "nodes": ledger["model"]["nodes"],
        "variants": ledger["variants"],
        "noise": ledger["noise"],
        "best_engine": best["engine"],
        "engine": ledger["result"]["engine"],
        "interval": interval,
        "speedup": min(interval["estimate"], best["latency_ms"]["estimate"] / shipped),
        "verdict": ledger["result"]["verdict"],
        "checks": ledger["checks"],
        "applied": dict(Counter(item["pass"] for item in rewrites if item["verdict"] == "applied")),
        "refused": [
            {"pass": rule, "reason": reason, "count": count}
            for (rule, reason), count in Counter(
                (item["pass"], item["reason"]) for item in rewrites if item["verdict"] == "refused"
            ).most_common()
        ],
        "verdicts": dict(Counter(item["verdict"] for item in rewrites)),
        "engines": ledger["engines"],
    }


def geomean(models: dict[str, Any]) -> float | None:
    """Of the speedups of `FUSIBLE`; None unless all are measured."""
    if not models.keys() >= set(FUSIBLE):
        return None
    return math.exp(statistics.fmean(math.log(models[name]["speedup"]) for name in FUSIBLE))


def table(models: dict[str, Any]) -> str:
    """The results as text."""
    lines = []
    for name, model in models.items():
        lines.append(f"{NAMES.get(name, name)}: {model['verdict']}")
        for row in model["variants"]:
            latency = row["latency_ms"]
            figure = f"{latency['estimate']:8.2f} ms" if latency else f"   failed: {row['note']}"
            lines.append(f"  {row['name']:<24} {figure}")
        low, high = model["interval"]["low"], model["interval"]["high"]
        lines.append(f"  speedup over the best engine {model['speedup']:.3f} ({low:.3f} to {high:.3f})")
        lines.append(
            f"  {model['seconds']:.0f} s, {model['peak_rss_bytes'] / 2**30:.2f} GiB; applied {model['applied']}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = by_model.parser(__doc__, NAMES, RESULT)
    options = parser.parse_args(arguments)
    for name in by_model.chosen(parser, options, NAMES):
        measured = {name: run(name)}
        print(table(measured), flush=True)
        by_model.keep(
            options.out,
            "exact",
            NAMES,
            measured,
            lambda models: {"geomean": {"models": list(FUSIBLE), "speedup": geomean(models)}},
        )
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
