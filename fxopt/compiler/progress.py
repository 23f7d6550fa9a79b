"""How long work tells what it is doing; the command line shows it, the Python interface keeps quiet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """A listener to one job."""

    def phase(self, name: str, total: int | None = None) -> AbstractContextManager[None]:
        """A part of the work, of `total` steps where that is known. Phases do not nest."""

    def advance(self) -> None:
        """One step of the current phase is done."""

    def detail(self, text: str) -> None:
        """What the current phase is at; replaced by the next."""

    def note(self, text: str) -> None:
        """A line that the user should see."""


class Silent:
    """Tells nobody."""

    def phase(self, name: str, total: int | None = None) -> AbstractContextManager[None]:
        """Nothing is shown."""
        return nullcontext()

    def advance(self) -> None:
        """Nothing is shown."""

    def detail(self, text: str) -> None:
        """Nothing is shown."""

    def note(self, text: str) -> None:
        """Nothing is shown."""


class Timed:
    """Tells another listener, and remembers how long each phase took and what was noted."""

    def __init__(self, listener: Progress) -> None:
        self.listener = listener
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self.advance, self.detail = listener.advance, listener.detail

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator[None]:
        """A part of the work, timed also where it fails."""
        started = time.monotonic()
        try:
            with self.listener.phase(name, total):
                yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def note(self, text: str) -> None:
        """A line that the user should see."""
        self.notes.append(text)
        self.listener.note(text)


NULL: Progress = Silent()
