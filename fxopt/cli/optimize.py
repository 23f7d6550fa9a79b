"""`fxopt optimize`."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fxopt.cli import units
from fxopt.cli.console import say, show
from fxopt.cli.units import Quantity
from fxopt.errors import InputError

if TYPE_CHECKING:
    from fxopt.contracts.cost import Budget

TIME = Quantity(units.milliseconds, "TIME")
SIZE = Quantity(units.size_bytes, "SIZE")
PATH = click.Path(path_type=Path)


@click.command(short_help="Make a model faster; write it with the evidence to a folder.")
@click.argument("model")
@click.option("--weights", type=PATH, metavar="FILE", help="Weights for a factory's module: .safetensors, or .pt.")
@click.option("--target", default="cpu", show_default=True, metavar="SPEC", help="What to optimize for.")
@click.option("--engine", default="auto", show_default=True, metavar="SPEC", help="The engine; auto: the fastest.")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="SPEC",
    help="An input's shape and dtype, dimensions' ranges: x=Nx3x224x224:float32,N=1..64@1. Repeatable.",
)
@click.option("--calib", metavar="DATA", help="Calibration data: an .npz or module:function.")
@click.option("--eval", "eval_", metavar="DATA", help="Data on which quality is measured.")
@click.option("--train", metavar="DATA", help="Data for recovery by training.")
@click.option("--metric", metavar="NAME", help="Quality metric: a name or module:function.")
@click.option(
    "--max-drop",
    type=Quantity(units.drop, "DROP"),
    default="0",
    show_default=True,
    help="Allowed worsening of the metric: 0.5pt, 1%, or in its own unit. 0: exact rewrites only.",
)
@click.option(
    "--confidence",
    type=Quantity(units.confidence, "LEVEL"),
    help="Keep the quality budget at this confidence, like 95%, not just by estimate.",
)
@click.option("--max-latency", type=TIME, help="Limit on the latency of one call, like 10ms.")
@click.option("--max-size", type=SIZE, help="Limit on the artifact's size, like 5MB.")
@click.option("--max-memory", type=SIZE, help="Limit on live activations at the peak, like 64MB.")
@click.option("--max-p99", type=TIME, help="Limit on the 99th percentile of latency, like 20ms.")
@click.option(
    "--minimize",
    type=click.Choice(["latency", "size", "energy", "memory"]),
    default="latency",
    show_default=True,
    help="The objective.",
)
@click.option("--passes", metavar="SPEC", help="Passes to use, like a,b{option=value}; all by default.")
@click.option("-p", "plugins", multiple=True, metavar="no:NAME", help="Leave a plugin out. Repeatable.")
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads that one call may use; all cores by default."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of everything random."
)
@click.option("--time-limit", type=Quantity(units.seconds, "TIME"), help="Begin no new build after this, like 10m.")
@click.option(
    "--require-speedup",
    type=Quantity(units.ratio, "RATIO"),
    help="Exit 3 unless this much faster than the best engine on the unmodified model, like 1.2.",
)
@click.option("--trust-pickle", is_flag=True, help="Load files that can run code when loaded.")
@click.option("--no-source", is_flag=True, help="Keep neither the unmodified model nor its build in the output.")
@click.option("--resume", is_flag=True, help="Go on with an unfinished run in the output folder.")
@click.option("--dry-run", is_flag=True, help="Say what would be tried; build, measure and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output and nothing else.")
@click.option("-o", "--out", type=PATH, metavar="OUT", help="Output folder; <model>.fxopt by default.")
@click.pass_obj
def optimize(run: dict[str, Any], /, **flags: Any) -> None:
    """Make MODEL as fast as this machine's engines allow; write it to OUT with the evidence.

    MODEL is a .pt2 (torch.export), a .pt as TorchScript or pickled module, or package.module:factory.
    """
    from fxopt.cli.progress import make_progress
    from fxopt.compiler.request import Request

    request = Request(
        model=flags["model"],
        out=flags["out"] or default_out(flags["model"]),
        weights=flags["weights"],
        target=flags["target"],
        engine=flags["engine"],
        inputs=flags["inputs"],
        calib=flags["calib"],
        eval=flags["eval_"],
        train=flags["train"],
        metric=flags["metric"],
        budget=_budget(flags),
        passes=flags["passes"],
        without=tuple(_left_out(text) for text in flags["plugins"]),
        threads=flags["threads"],
        seed=flags["seed"],
        trust_pickle=flags["trust_pickle"],
        source=not flags["no_source"],
        resume=flags["resume"],
        dry_run=flags["dry_run"],
        command=shlex.join(["fxopt", *run["arguments"]]),
    )
    run["out"] = request.out
    if request.dry_run:
        raise InputError("--dry-run: not supported yet; limit a real run with --time-limit instead")
    from fxopt.compiler.optimize import optimize_model
    from fxopt.report import summary_table

    result = optimize_model(request, make_progress(quiet=flags["as_json"]))
    if flags["as_json"]:
        say(json.dumps(summary(result.ledger, result.out)))
        return
    show(summary_table(result.ledger))
    say(result.ledger["result"]["verdict"])
    say(f"report: {result.out / 'report.html'}")


def default_out(model: str) -> Path:
    """The folder named after the model's file, or after the factory."""
    name = model.rpartition(":")[2] if ":" in model else Path(model).stem
    return Path(f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name) or 'model'}.fxopt")


def summary(ledger: dict[str, Any], out: Path) -> dict[str, Any]:
    """What `--json` prints: the figures and how many rewrites had which verdict."""
    verdicts: dict[str, int] = {}
    for entry in ledger["rewrites"]:
        verdicts[entry["verdict"]] = verdicts.get(entry["verdict"], 0) + 1
    keys = ("version", "fxopt", "command", "target", "threads", "baseline", "result", "variants", "noise", "faults")
    return {
        "out": str(out),
        "report": str(out / "report.html"),
        **{key: ledger[key] for key in keys},
        "rewrites": verdicts,
    }


def _budget(flags: dict[str, Any]) -> Budget:
    from fxopt.contracts.cost import Budget

    return Budget(
        minimize=flags["minimize"],
        max_drop=flags["max_drop"],
        max_latency_ms=flags["max_latency"],
        max_size_bytes=flags["max_size"],
        max_memory_bytes=flags["max_memory"],
        max_p99_ms=flags["max_p99"],
        require_speedup=flags["require_speedup"],
        time_limit_s=flags["time_limit"],
        confidence=flags["confidence"],
    )


def _left_out(text: str) -> str:
    kind, _, name = text.partition(":")
    if kind != "no" or not name:
        raise InputError(f"-p {text!r}: give no:NAME, the name of a plugin to leave out")
    return name
