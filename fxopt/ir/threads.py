"""How many threads PyTorch uses in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in one thread, as it should where it checks rewrites.

    Its threads spin while they wait for one another, so that on a machine that others use as well two take several times
    as long as one: the search of a ResNet-50 took 47 s in place of 11 s.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
