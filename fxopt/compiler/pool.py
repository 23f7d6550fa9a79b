"""What an executor does for a run: functions of `fxopt.compiler.elsewhere`, side by side."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

import torch

from fxopt.compiler import elsewhere
from fxopt.errors import EngineError
from fxopt.user_code import raised

if TYPE_CHECKING:
    from pathlib import Path

_PARTS = 8  # that the samples of a judgement are cut into: each starts a process and is sent the artifact
_LONG_S = 20.0  # that a judgement took here from which on its like are worth that


class Pool:
    """An executor that may fail, which is no reason for a run to fail.

    Attributes:
        fault: what went wrong first, but for what engines do.
    """

    def __init__(self, executor: futures.Executor) -> None:
        self._executor = executor
        self.fault: str | None = None

    def do(
        self, function: Callable[..., bytes], arguments: Iterable[Sequence[Any]], limit_s: float
    ) -> list[bytes | None]:
        """Call a function with each of some arguments, and give what comes back; None where an engine fails.

        Once the executor fails, or has taken longer than `limit_s` in all, nothing more comes back, and `fault` says why.
        """
        deadline = time.monotonic() + limit_s
        calls: list[futures.Future[bytes]] = []
        found: list[bytes | None] = []
        try:
            calls += (self._executor.submit(function, *each) for each in arguments)
            for call in calls:
                try:
                    found.append(call.result(timeout=max(0.0, deadline - time.monotonic())))
                except EngineError:
                    found.append(None)
        except Exception as error:  # noqa: BLE001 - an executor may lose what it runs on, or have nothing to run on
            self.fault = self.fault or raised(error)
            for call in calls:
                call.cancel()
        return found


class Judge:
    """Runs artifacts on many samples elsewhere, where that has taken long here.

    What was found out about an artifact holds where it was run: another CPU, engine or number of threads does not count.
    """

    def __init__(self, pool: Pool, limit_s: float) -> None:
        """Begin.

        Args:
            pool: that runs them.
            limit_s: that a part of the samples may take.
        """
        self._pool, self._limit_s = pool, limit_s
        self._seconds: dict[str, float] = {}

    def took(self, engine: str, seconds: float) -> None:
        """Say how long a judgement took here."""
        self._seconds[engine] = seconds

    def outputs(
        self, engine: str, artifact: Path, calls: Iterable[list[torch.Tensor]]
    ) -> dict[str, list[torch.Tensor]]:
        """What an artifact gives, by `name_of` its inputs; nothing of what it fails at, or where it is not worth it."""
        if self._seconds.get(engine, 0.0) < _LONG_S or self._pool.fault is not None:
            return {}
        every = list(calls)
        size = -(-len(every) // _PARTS)
        parts = [every[start : start + size] for start in range(0, len(every), size)]
        packed, place = elsewhere.pack(artifact), elsewhere.place_of(engine)
        given = (
            (engine, packed, elsewhere.pack_arrays([v.numpy() for v in call] for call in part), place) for part in parts
        )
        found: dict[str, list[torch.Tensor]] = {}
        for part, answer in zip(parts, self._pool.do(elsewhere.run, given, self._limit_s * len(parts)), strict=False):
            if answer is not None:
                outputs = ([torch.from_numpy(value) for value in call] for call in elsewhere.unpack_arrays(answer))
                found |= dict(zip(map(name_of, part), outputs, strict=True))
        return found


def name_of(inputs: Sequence[torch.Tensor]) -> str:
    """The same for the same values."""
    digest = hashlib.sha256()
    for value in inputs:
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()
