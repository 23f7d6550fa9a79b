"""Progress on a terminal: one line a phase, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from fxopt.compiler.progress import NULL
from fxopt.compiler.progress import Progress as Listener


class TerminalProgress:
    """Shows phases that are done with their time, and the current one with its bar."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator[None]:
        """A line with a spinner, and a bar where the total is known."""
        columns = [SpinnerColumn(finished_text="[green]✓"), TextColumn("{task.description}")]
        counted = [BarColumn(bar_width=24), MofNCompleteColumn()] if total else []
        detail = TextColumn("[dim]{task.fields[detail]}")
        with Progress(*columns, *counted, TimeElapsedColumn(), detail, console=self._console) as bar:
            self._bar, self._task = bar, bar.add_task(name, total=total, detail="")
            try:
                yield
                # A phase may need fewer steps than it could have.
                done = bar.tasks[0].completed or 1
                bar.update(self._task, total=done, completed=done, detail="")
            finally:
                self._bar = self._task = None

    def advance(self) -> None:
        """Move the bar by one."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def detail(self, text: str) -> None:
        """Show a text at the end of the line."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, detail=text)

    def note(self, text: str) -> None:
        """A line of its own, above the current phase."""
        self._console.print(f"  {text}", style="dim", markup=False, highlight=False)


def make_progress(quiet: bool = False) -> Listener:
    """For a terminal on standard error; silent where there is none, or where asked."""
    if quiet or not sys.stderr.isatty():
        return NULL
    return TerminalProgress(Console(stderr=True))
