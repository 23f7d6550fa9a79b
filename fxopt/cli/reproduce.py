"""`fxopt reproduce`."""

from __future__ import annotations

import faulthandler
import sys
import traceback
from pathlib import Path

import click

from fxopt.cli.console import say


@click.command(short_help="Make the call again with which a plugin's pass failed.")
@click.argument("folder", type=click.Path(path_type=Path))
def reproduce(folder: Path) -> int:
    """Make the call in FOLDER, written below OUT/reproducers, again in this process.

    What the pass raises comes with its traceback; of a call that gives no answer, where it is after its time is over.
    Exit status: 0 nothing is wrong any more, 1 the fault is still there.
    """
    from fxopt.compiler import reproducer
    from fxopt.registry import Registry

    registry = Registry.load()
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
