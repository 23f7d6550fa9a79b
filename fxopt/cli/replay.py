"""`fxopt replay`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import click

from fxopt.cli.console import say
from fxopt.cli.look import CHECK_FAILED
from fxopt.cli.optimize import left_out, summary
from fxopt.cli.units import Quantity

PATH = click.Path(path_type=Path)


@click.command(short_help="Rebuild the artifact of a plan without searching.")
@click.argument("plan", type=PATH)
@click.argument("model")
@click.option("--weights", type=PATH, metavar="FILE", help="Weights for a factory's module: .safetensors, or .pt.")
@click.option(
    "--input", "inputs", multiple=True, metavar="SPEC", help="As for optimize; those that the plan records by default."
)
@click.option("--calib", metavar="DATA", help="Calibration data; those that the plan records by default.")
@click.option(
    "--eval", metavar="DATA", help="Data on which quality is measured; those that the plan records by default."
)
@click.option("--refit", is_flag=True, help="Fit what rests on data anew, also where the model is the plan's own.")
@click.option(
    "-p", "without", type=Quantity(left_out, "NAME"), multiple=True, metavar="no:NAME", help="Leave a plugin out."
)
@click.option("--trust-pickle", is_flag=True, help="Load files that can run code when loaded.")
@click.option("--no-source", is_flag=True, help="Keep neither the unmodified model nor its build in the output.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output and nothing else.")
@click.option("-o", "--out", type=PATH, metavar="OUT", required=True, help="Output folder.")
@click.pass_obj
def replay(run: dict[str, Any], /, plan: Path, refit: bool, no_source: bool, as_json: bool, **flags: Any) -> int:
    """Rebuild the artifact of PLAN, a plan.json or the folder it lies in, from MODEL, without searching.

    MODEL must have the graph that the plan was made for. Its weights may be new, and the machine may be another:
    every step is checked here, and the output says what is new. Where nothing is new, and still a step is left out, or
    its tensors or the rewritten program are not the plan's, the exit status is 3.
    """
    from fxopt.cli.progress import make_progress
    from fxopt.compiler.lockfile import Lockfile
    from fxopt.compiler.replay import replay_plan
    from fxopt.compiler.request import Request

    lock = Lockfile.read(plan)
    run["out"] = flags["out"]
    request = Request(**flags, source=not no_source, command=shlex.join(["fxopt", *run["arguments"]]))
    result = replay_plan(request, lock, refit, make_progress(quiet=as_json))
    ledger, differs = result.ledger, result.ledger["replay"]["differs"]
    if as_json:
        say(json.dumps({**summary(ledger, result.out), **{key: ledger[key] for key in ("replay", "notes")}}))
    else:
        for line in (*ledger["notes"], ledger["result"]["verdict"], f"report: {result.out / 'report.html'}"):
            say(line)
        for fault in ledger["faults"]:
            say(f"at fault: {fault}")
        if differs:
            more = f", and {len(differs) - 1} more" if len(differs) > 1 else ""
            say(f"differs from the plan, though nothing is new: {differs[0]}{more}")
    return CHECK_FAILED if differs else 0
