"""The command line. Importing it costs click alone: what is slow is imported by the command that needs it."""

from __future__ import annotations

import contextlib
import datetime
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fxopt import __version__
from fxopt.cli.bisect import bisect
from fxopt.cli.look import check, diff, explain, list_
from fxopt.cli.optimize import optimize
from fxopt.cli.profile import profile
from fxopt.cli.replay import replay
from fxopt.cli.reproduce import reproduce
from fxopt.cli.scaffold import new_plugin
from fxopt.errors import FxoptError, Interrupted


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fxopt")
def cli() -> None:
    """Make a neural network as fast as this machine's engines allow, with evidence for every rewrite.

    Exit status: 0 the output is written; 1 a fault of fxopt; 2 bad usage or bad input; 3 a budget that cannot
    be met, a check that failed, or a regression; 130 interrupted.
    """


for command in (optimize, explain, check, diff, replay, bisect, reproduce, profile, list_, new_plugin):
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of this process by default.

    Returns:
        The exit status.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    run: dict[str, Any] = {"arguments": arguments}  # what is known of this run, for the commands and for reproducers
    try:
        # Not cli.main(): it would answer a broken pipe from anywhere by exiting, and print its own tracebacks.
        with cli.make_context("fxopt", list(arguments), obj=run) as context:
            status = cli.invoke(context)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
        return _fail(error.format_message() + hint, error.exit_code)
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except FxoptError as error:
        where = f"; what led to it is in {_write_reproducer(run)}" if error.exit_status == 1 else ""
        return _fail(f"{error}{where}", error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; a run of optimize goes on with --resume", Interrupted.exit_status)
    except Exception as error:  # noqa: BLE001 - the last resort: one line for the user, the traceback in a file
        file = _write_reproducer(run)
        return _fail(f"a fault of fxopt: {type(error).__name__}: {error}; please report it with {file}", 1)


def _fail(message: str, status: int) -> int:
    print(f"fxopt: error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status


def _write_reproducer(run: dict[str, Any]) -> Path:
    """The traceback with the command, in the output folder's `reproducers/` where that can be written."""
    text = f"fxopt {__version__}\ncommand: {shlex.join(['fxopt', *run['arguments']])}\n\n{traceback.format_exc()}"
    stamp = f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
    if "out" in run:
        folder = run["out"] / "reproducers" / stamp
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "traceback.txt").write_text(text)
            return Path(folder)
    folder = Path(tempfile.mkdtemp(prefix=f"fxopt-{stamp}-"))
    (folder / "traceback.txt").write_text(text)
    return folder
