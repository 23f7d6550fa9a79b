"""`fxopt optimize`."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fxopt.cli import settings, units
from fxopt.cli.console import say, show
from fxopt.cli.units import Quantity
from fxopt.errors import InputError

if TYPE_CHECKING:
    from fxopt.compiler.progress import Progress
    from fxopt.compiler.request import Request

TIME = Quantity(units.milliseconds, "TIME")
SIZE = Quantity(units.size_bytes, "SIZE")
PATH = click.Path(path_type=Path)


def left_out(text: str) -> str:
    """`no:NAME`, the value of `-p`, is the name of a plugin.

    Raises:
        InputError: it is of another form.
    """
    kind, _, name = text.partition(":")
    if kind != "no" or not name:
        raise InputError(f"{text!r}: give no:NAME, the name of a plugin to leave out")
    return name


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
@click.option("--eval", metavar="DATA", help="Data on which the metric is judged; without, a part of --calib.")
@click.option("--train", metavar="DATA", help="Data for recovery by training.")
@click.option("--metric", metavar="NAME", help="Quality metric, like top1, cer{blank=0} or module:function.")
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
@click.option("--max-latency", "max_latency_ms", type=TIME, help="Limit on the latency of one call, like 10ms.")
@click.option("--max-size", "max_size_bytes", type=SIZE, help="Limit on the artifact's size, like 5MB.")
@click.option("--max-memory", "max_memory_bytes", type=SIZE, help="Limit on live activations at the peak, like 64MB.")
@click.option("--max-p99", "max_p99_ms", type=TIME, help="Limit on the 99th percentile of latency, like 20ms.")
@click.option(
    "--minimize",
    type=click.Choice(["latency", "size", "energy", "memory"]),
    default="latency",
    show_default=True,
    help="The objective.",
)
@click.option("--passes", metavar="SPEC", help="Passes to use, like a,b{option=value}; all by default.")
@click.option("--planner", metavar="SPEC", help="What chooses among rewrites; milp by default.")
@click.option("--executor", metavar="SPEC", help="What makes builds side by side, like processes or dask.")
@click.option(
    "-p",
    "without",
    type=Quantity(left_out, "NAME"),
    multiple=True,
    metavar="no:NAME",
    help="Leave a plugin out. Repeatable.",
)
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads that one call may use; all cores by default."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of everything random."
)
@click.option(
    "--time-limit",
    "time_limit_s",
    type=Quantity(units.seconds, "TIME"),
    help="Begin no new build after this, like 10m.",
)
@click.option(
    "--require-speedup",
    type=Quantity(units.ratio, "RATIO"),
    help="Exit 3 unless this much faster than the best engine on the unmodified model, like 1.2.",
)
@click.option(
    "--pass-limit",
    "pass_limit_s",
    type=Quantity(units.seconds, "TIME"),
    default="60s",
    show_default=True,
    help="Longest that one call of an outside plugin's pass may take.",
)
@click.option(
    "--recipes/--no-recipes",
    default=True,
    help="Try the engines' own ways to quantize as well, where quality may drop.",
)
@click.option("--trust-pickle", is_flag=True, help="Load files that can run code when loaded.")
@click.option(
    "--no-source/--source", default=False, help="Keep neither the unmodified model nor its build in the output."
)
@click.option("--resume", is_flag=True, help="Go on with an unfinished run in the output folder.")
@click.option("--dry-run", is_flag=True, help="Say what would be tried; build, measure and write nothing.")
@click.option("--no-settings", is_flag=True, help="Read no fxopt.toml.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output and nothing else.")
@click.option("-o", "--out", type=PATH, metavar="OUT", help="Output folder; <model>.fxopt by default.")
@click.pass_context
def optimize(context: click.Context, /, **flags: Any) -> None:
    """Make MODEL as fast as this machine's engines allow; write it to OUT with the evidence.

    MODEL is a .pt2 (torch.export), a .pt as TorchScript or pickled module, or package.module:factory. Flags that are
    not typed are taken from the table [optimize] of an fxopt.toml beside it or in the current folder.
    """
    from fxopt.cli.progress import make_progress

    run: dict[str, Any] = context.obj
    taken: list[str] = []
    if not flags["no_settings"] and (file := settings.find(flags["model"])) is not None:
        taken = settings.apply(context, file, flags)
        if not flags["as_json"]:
            say(f"settings from {file}: {shlex.join(taken) or 'none'}")
    request = _request(flags, [*run["arguments"], *taken])
    progress = make_progress(quiet=flags["as_json"])
    if request.dry_run:
        _dry_run(request, progress, flags["as_json"])
    else:
        run["out"] = request.out
        _optimize(request, progress, flags["as_json"])


def _optimize(request: Request, progress: Progress, as_json: bool) -> None:
    from fxopt.compiler.optimize import optimize_model
    from fxopt.compiler.progress import NULL
    from fxopt.report import figures, summary_table

    result = optimize_model(request, progress)
    if as_json:
        say(json.dumps(summary(result.ledger, result.out)))
        return
    show(summary_table(result.ledger))
    say(result.ledger["result"]["verdict"])
    if (quality := result.ledger["result"]["quality"]) is not None:
        say(figures.kept(quality))
    if progress is NULL:  # else they were shown when they came up
        for note in result.ledger["notes"]:
            say(note)
    say(f"report: {result.out / 'report.html'}")
    for fault in result.ledger["faults"]:
        say(f"at fault: {fault}")


def _dry_run(request: Request, progress: Progress, as_json: bool) -> None:
    from fxopt.compiler.dry_run import dry_run
    from fxopt.report import dry_run_summary, dry_run_table

    found = dry_run(request, progress)
    if as_json:
        say(json.dumps(found))
        return
    show(dry_run_table(found))
    for line in dry_run_summary(found):
        say(line)


def default_out(model: str) -> Path:
    """The folder named after the model's file, or after the factory."""
    name = model.rpartition(":")[2] if ":" in model else Path(model).stem
    return Path(f"{re.sub(r'[^A-Za-z0-9_.-]', '_', name) or 'model'}.fxopt")


def summary(ledger: dict[str, Any], out: Path) -> dict[str, Any]:
    """What `--json` prints: the figures and how many rewrites had which verdict."""
    verdicts: dict[str, int] = {}
    for entry in ledger["rewrites"]:
        verdicts[entry["verdict"]] = verdicts.get(entry["verdict"], 0) + 1
    keys = (
        "version",
        "fxopt",
        "command",
        "target",
        "threads",
        "baseline",
        "result",
        "variants",
        "noise",
        "faults",
        "notes",
    )
    return {
        "out": str(out),
        "report": str(out / "report.html"),
        **{key: ledger[key] for key in keys},
        "rewrites": verdicts,
    }


def _request(flags: dict[str, Any], arguments: Sequence[str]) -> Request:
    """What was typed, or set: most flags are stored under the names of the fields that they fill."""
    from fxopt.compiler.request import Request
    from fxopt.contracts.cost import Budget

    def named(kind: type[Any]) -> dict[str, Any]:
        return {field.name: flags[field.name] for field in dataclasses.fields(kind) if field.name in flags}

    given = named(Request) | {"out": flags["out"] or default_out(flags["model"])}
    command = shlex.join(["fxopt", *arguments])
    return Request(**given, budget=Budget(**named(Budget)), source=not flags["no_source"], command=command)
