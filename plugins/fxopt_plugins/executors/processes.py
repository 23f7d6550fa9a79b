"""Processes on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor as Pool
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from fxopt import Executor

_BYTES = 3 * 2**30  # that a build may take at its peak


@dataclass(frozen=True)
class Processes(Executor):
    """A few builds side by side on this machine, each in a process of its own."""

    name: ClassVar[str] = "processes"

    workers: int = field(default=0, metadata={"help": "at once; 0: as many as there are cores and memory for"})

    @contextmanager
    def open(self) -> Iterator[Pool]:
        """As `Executor.open`. Threads will do: what they run starts a process and waits for it."""
        import psutil

        room = max(1, psutil.virtual_memory().available // _BYTES)
        with ThreadPoolExecutor(self.workers or min(len(os.sched_getaffinity(0)), room)) as pool:
            yield pool
