"""What an engine of an outside plugin brings: ResNet-18 with `--engine auto`, without the plugin and with it.

Run: `python -m benchmarks.bench_outside [--out FILE] [--smoke]`. The plugin is `tests/plugin_example`, which is installed
into a folder of its own for the time of the run and brings the engine ncnn. Two runs of `fxopt optimize` at 2 threads and
batch 1 pick an engine each; then the engines are measured on the unmodified model, interleaved in one session, and the
ratios are to ncnn's latency. Prints a table and writes `benchmarks/results/outside.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "outside.json"
ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests" / "plugin_example"
THREADS = 2
OUTSIDE = "ncnn"
ENGINES = (OUTSIDE, "onnxruntime", "openvino")
CHOICES = ("without the plugin", "with the plugin")


def install_plugin(folder: Path) -> None:
    """Install the outside plugin into a folder of packages, from the tree alone: nothing is fetched."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(folder), str(PLUGIN)], check=True)


def save_model(file: Path, *, smoke: bool) -> None:
    """Write ResNet-18 with random weights, or a net that takes seconds, as a .pt2 of batch 1."""
    import torch

    from benchmarks.bench_exact import tiny
    from benchmarks.models import timm_model

    torch.manual_seed(0)
    module, inputs = tiny() if smoke else timm_model("resnet18")
    torch.export.save(torch.export.export(module, inputs), file)


def optimize(model: Path, out: Path, site: Path | None, *, smoke: bool) -> dict[str, Any]:
    """The ledger of `fxopt optimize` as a user types it, with the plugin in `site` or without."""
    environment = os.environ | ({"PYTHONPATH": str(site)} if site else {})
    command = [sys.executable, "-m", "benchmarks.smoke" if smoke else "fxopt", "optimize", str(model)]
    command += ["--target", "cpu", "--engine", "auto", "--threads", str(THREADS), "--json", "-o", str(out)]
    # In smoke runs one pass that finds nothing, so that nothing is planned.
    command += ["--passes", "remove_identities"] if smoke else []
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    ledger: dict[str, Any] = json.loads((out / "ledger.json").read_text())
    return ledger


def choice(ledger: dict[str, Any]) -> dict[str, Any]:
    """What a run picked, and from what."""
    keys = ("engine", "verdict", "speedup")
    return {
        "target": ledger["target"],
        "engines": sorted({row["engine"] for row in ledger["variants"] if row["latency_ms"]}),
        **{key: ledger["result"][key] for key in keys},
        "variants": ledger["variants"],
        "noise": ledger["noise"],
    }


def compare(model: Path, folder: Path, *, smoke: bool) -> dict[str, Any]:
    """The engines on the unmodified model in one session; run where the plugin is installed.

    `ratio` is the latency over ncnn's, with its interval: above 1 is slower than ncnn.
    """
    import torch

    from fxopt import Registry
    from fxopt.ir.capture import capture
    from fxopt.ir.samples import sample_inputs
    from fxopt.measure import Plan, Variant, measure

    program = capture(torch.export.load(model))
    registry, variants = Registry.load(), []
    for name in ENGINES:
        engine = registry.make_engine(f"{name}{{threads={THREADS}}}")
        (folder / name).mkdir(parents=True)
        engine.emit(program, folder / name)
        variants.append(Variant(name, engine.spec(), folder / name))
    inputs = [value.numpy() for value in sample_inputs(program)]
    found = measure(variants, inputs, plan=Plan(epochs=1 if smoke else 6, together=True))
    rows = {
        name: {
            "latency_ms": timing.latency_ms.to_json(),
            "p99_ms": timing.p99_ms,
            "ratio": timing.ratio and timing.ratio.interval.to_json(),
            "max_abs_difference": max(
                float(abs(ours - theirs.numpy()).max())
                for ours, theirs in zip(
                    found.outputs[name], program.run(list(map(torch.from_numpy, inputs))), strict=True
                )
            ),
        }
        for name, timing in found.timings.items()
    }
    return {"base": OUTSIDE, "rounds": found.rounds, "floor": found.floor.interval.to_json(), "engines": rows} | (
        {"failures": dict(found.failures)} if found.failures else {}
    )


def run(*, smoke: bool) -> dict[str, Any]:
    """Both runs and the session, summed up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, site = folder / "net.pt2", folder / "site"
        install_plugin(site)
        save_model(model, smoke=smoke)
        without, with_plugin = CHOICES
        ledgers = {
            without: optimize(model, folder / "without", None, smoke=smoke),
            with_plugin: optimize(model, folder / "with", site, smoke=smoke),
        }
        command = [sys.executable, "-m", "benchmarks.bench_outside", *(["--smoke"] if smoke else [])]
        command += ["--compare", str(model), str(folder / "session.json")]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(site)}, check=True)
        session = json.loads((folder / "session.json").read_text())
    last = ledgers[with_plugin]
    return {
        "benchmark": "outside",
        "model": "tiny" if smoke else "ResNet-18, random weights",
        "date": last["created"],
        "machine": last["machine"],
        "threads": THREADS,
        "choices": {label: choice(ledger) for label, ledger in ledgers.items()},
        "session": session,
    }


def table(report: dict[str, Any]) -> str:
    """The results as text."""
    machine = report["machine"]
    lines = [f"{report['model']}, {report['threads']} threads, {machine['cpu']} ({', '.join(machine['isa'])})"]
    for label, picked in report["choices"].items():
        lines.append(f"  {label:<20} picks {picked['engine']} of {', '.join(picked['engines'])}: {picked['verdict']}")
    for name, row in report["session"]["engines"].items():
        ratio = row["ratio"]
        times = f", {ratio['estimate']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f}) of {OUTSIDE}'s" if ratio else ""
        lines.append(f"  {name:<20} {row['latency_ms']['estimate']:8.2f} ms{times}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=RESULT, help="JSON file to write")
    parser.add_argument("--smoke", action="store_true", help="only a tiny net, to see that it runs")
    parser.add_argument("--compare", type=Path, nargs=2, help=argparse.SUPPRESS)  # the session, in a process of its own
    options = parser.parse_args(arguments)
    if options.compare:
        model, out = options.compare
        with tempfile.TemporaryDirectory() as folder:
            out.write_text(json.dumps(compare(model, Path(folder), smoke=options.smoke)))
        return
    report = run(smoke=options.smoke)
    print(table(report))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
