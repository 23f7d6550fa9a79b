"""`fxopt bisect`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxopt.cli.console import say
from fxopt.errors import InputError

if TYPE_CHECKING:
    from fxopt.bisect.search import Bisection

METRICS = ("latency", "quality", "error")
REGRESSION = 3


@click.command(short_help="Say which rewrites made an output worse than the unmodified model.")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default="error",
    show_default=True,
    help="What became worse: the time of a call, the plan's quality metric, or the relative error of the outputs.",
)
@click.option(
    "--eval", "eval_", metavar="DATA", help="Data that error or quality are measured on; the plan's by default."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output and nothing else.")
def bisect(out: Path, metric: str, eval_: str | None, as_json: bool) -> int:
    """Find the fewest steps of the plan in OUT that make it worse than the unmodified model, and a small program to show it.

    Exit status: 0 no regression, 3 a regression.
    """
    from fxopt.bisect.search import bisect as search
    from fxopt.cli.progress import make_progress

    if metric == "latency" and eval_ is not None:
        raise InputError(f"--eval {eval_}: latency is measured on made-up inputs; leave it out, or give --metric error")
    found = search(out, metric, eval_, make_progress(quiet=as_json))
    for line in [json.dumps(found.to_json())] if as_json else lines(found):
        say(line)
    return REGRESSION if found.regression else 0


def lines(found: Bisection) -> list[str]:
    """What was found, in words."""
    if not found.regression or not found.culprits:
        verdict = [f"regression: {found.metric}: {found.whole.text}"] if found.regression and found.whole else []
        return [*verdict, *found.notes]
    assert found.whole is not None
    assert found.alone is not None
    count = len(found.culprits)
    cause = "this step causes" if count == 1 else "together these steps cause"
    text = [
        f"regression: {found.metric}: {found.whole.text}",
        f"{cause} it, {count} of {found.planned}: {', '.join(found.culprits)}",
    ]
    if found.needed:
        text.append(f"on top of what {'it needs' if count == 1 else 'they need'}: {', '.join(found.needed)}")
    text.append(f"with nothing else: {found.alone.text}")
    if found.without is not None:
        text.append(f"the plan without: {found.without.text}")
    text.append(f"found by measuring {found.programs} rewritten programs; {found.builds} builds")
    if found.reproducer is not None and found.nodes is not None:
        small, whole = found.nodes
        text.append(
            f"see it again on {small} of {whole} nodes: {shlex.join(['fxopt', 'reproduce', str(found.reproducer)])}"
        )
    return [*text, *found.notes]
