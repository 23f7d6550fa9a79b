"""Writing to standard output: plain where it is no terminal, and at ease where its reader has gone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from fxopt.errors import InputError


def say(text: str = "") -> None:
    """Print a line. A reader that has had enough (`| head`) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes standard output once more at exit, which must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_text(file: Path, text: str) -> None:
    """Write a file that the user named, whole or not at all.

    Raises:
        InputError: it cannot be written.
    """
    from fxopt.compiler.journal import write_whole

    try:
        write_whole(file, text)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror or error}") from error


def show(renderable: Any) -> None:
    """Print a rich renderable, as wide as it needs to be where nobody looks at a terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else 160, force_terminal=terminal)
    with console.capture() as captured:
        console.print(renderable)
    say("\n".join(line.rstrip() for line in captured.get().rstrip("\n").splitlines()))
