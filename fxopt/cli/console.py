"""Writing to standard output: plain where it is no terminal, and at ease where its reader has gone."""

from __future__ import annotations

import os
import sys
from typing import Any


def say(text: str = "") -> None:
    """Print a line. A reader that has had enough (`| head`) is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Python flushes standard output once more at exit, which must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(renderable: Any) -> None:
    """Print a rich renderable, as wide as it needs to be where nobody looks at a terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else 160, force_terminal=terminal)
    with console.capture() as captured:
        console.print(renderable)
    say("\n".join(line.rstrip() for line in captured.get().rstrip("\n").splitlines()))
