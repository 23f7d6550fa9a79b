"""The command line. Importing it costs click alone: what is slow is imported by the command that needs it."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from fxopt import __version__
from fxopt.cli.look import check, explain, list_
from fxopt.cli.optimize import optimize
from fxopt.errors import FxoptError, Interrupted


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="fxopt")
def cli() -> None:
    """Make a neural network as fast as this machine's engines allow, with evidence for every rewrite.

    Exit status: 0 the output is written; 1 a fault of fxopt; 2 bad usage or bad input; 3 a budget that cannot
    be met, or a check that failed; 130 interrupted.
    """


for command in (optimize, explain, check, list_):
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; those of this process by default.

    Returns:
        The exit status.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # Not cli.main(): it would answer a broken pipe from anywhere by exiting, and print its own tracebacks.
        with cli.make_context("fxopt", arguments) as context:
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
        return _fail(str(error), error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted; a run of optimize goes on with --resume", Interrupted.exit_status)
    except Exception as error:  # noqa: BLE001 - the last resort: one line for the user, the traceback in a file
        file = _write_traceback(arguments)
        return _fail(f"a fault of fxopt: {type(error).__name__}: {error}; please report it with {file}", 1)


def _fail(message: str, status: int) -> int:
    print(f"fxopt: error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status


def _write_traceback(arguments: Sequence[str]) -> Path:
    file = Path(tempfile.mkdtemp(prefix="fxopt-fault-")) / "traceback.txt"
    file.write_text(f"fxopt {__version__}\narguments: {list(arguments)!r}\n\n{traceback.format_exc()}")
    return file
