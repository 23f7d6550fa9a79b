"""`fxopt reproduce`."""

from __future__ import annotations

import faulthandler
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxopt.cli.console import say

if TYPE_CHECKING:
    from fxopt.registry import Registry


@click.command(short_help="See again what a reproducer shows: a call of a pass that failed, or steps that make worse.")
@click.argument("folder", type=click.Path(path_type=Path))
def reproduce(folder: Path) -> int:
    """See again what FOLDER shows, written below OUT/reproducers.

    A call with which a pass failed is made again in this process: what the pass raises comes with its traceback; of a
    call that gives no answer, where it is after its time is over. Steps that fxopt bisect found are applied and measured
    again. Exit status: 0 nothing is wrong any more, 1 the fault is still there.
    """
    from fxopt.bisect import reproducer as steps
    from fxopt.compiler import reproducer
    from fxopt.registry import Registry

    registry = Registry.load()
    if (folder / steps.STEPS).exists():
        return _measure(folder, registry)
    broken = reproducer.read(folder, registry)
    say(f"then: {broken.fault}")
    faulthandler.dump_traceback_later(broken.limit_s, exit=True)  # exits with status 1
    try:
        fault = reproducer.run(broken, registry)
    finally:
        faulthandler.cancel_dump_traceback_later()
    if fault is None:
        say("now: nothing is wrong with this call")
        return 0
    if fault.__cause__ is not None:
        traceback.print_exception(fault.__cause__, file=sys.stderr)
    say(f"now: {fault}")
    return 1


def _measure(folder: Path, registry: Registry) -> int:
    from fxopt.bisect import reproducer

    culprit, then = reproducer.read(folder)
    say(f"{culprit.what}, with {', '.join(step.id for step in culprit.steps)}")
    say(f"then: {then}")
    now = reproducer.run(culprit, registry)
    say("now: a step is not offered any more" if now is None else f"now: {now.text}")
    return 1 if now is not None and now.bad else 0
