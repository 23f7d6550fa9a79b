"""A process of its own for what leaves memory and threads behind."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from fxopt.worker.host import die_with


def apart() -> ProcessPoolExecutor:
    """A pool of one fresh process, which ends when this one does: a benchmark that is killed leaves none behind to disturb the next."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=die_with, initargs=(os.getpid(),))
