"""What an executor does for a run: functions of `fxopt.compiler.elsewhere`, side by side."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from fxopt.compiler import elsewhere
from fxopt.errors import EngineError, FxoptError
from fxopt.user_code import raised
from fxopt.verify.error import worst

if TYPE_CHECKING:
    from pathlib import Path

    from fxopt.verify.score import Run

T = TypeVar("T")

_AHEAD = 8  # calls that are under way or wait to be fetched
_PART = 32 * 2**20  # bytes of samples that are sent at once
_LONG_S = 20.0  # that a judgement took here from which on its like are worth sending an artifact and samples
_PATIENCE = 3.0  # times what a judgement took here, that it may take elsewhere
_START_S = 60.0  # and what processes may take to start
_ALIKE = 1e-3  # relative error of outputs, beyond which another machine computes something else


class Pool:
    """An executor that may fail, which is no reason for a run to fail.

    Attributes:
        fault: what went wrong first, but for what engines do.
        foreign: why what it gives of an engine's outputs does not count, if it does not.
    """

    def __init__(self, executor: futures.Executor) -> None:
        self._executor = executor
        self.fault: str | None = None
        self.foreign: str | None = None

    def do(
        self,
        function: Callable[..., bytes],
        arguments: Iterable[Sequence[Any]],
        limit_s: float,
        unpack: Callable[[bytes], T],
    ) -> Iterator[T | None]:
        """Call a function with each of some arguments, and give in order what comes of it; None where an engine fails.

        Once the executor fails, or all has taken longer than `limit_s`, nothing more comes, and `fault` says why.

        Args:
            function: gives bytes.
            arguments: are drawn as they can be taken.
            limit_s: seconds for all.
            unpack: makes a result of bytes.
        """
        deadline = time.monotonic() + limit_s
        waiting: deque[futures.Future[bytes]] = deque()

        def result() -> T | None:
            try:
                return unpack(waiting.popleft().result(timeout=max(0.0, deadline - time.monotonic())))
            except EngineError as error:
                self.foreign = str(error) if isinstance(error, elsewhere.OtherPlace) else self.foreign
                return None

        try:
            for each in arguments:
                if len(waiting) == _AHEAD:
                    yield result()
                waiting.append(self._executor.submit(function, *each))
            while waiting:
                yield result()
        except FxoptError:
            raise
        except Exception as error:  # noqa: BLE001 - an executor may lose what it runs on, or have nothing to run on
            self.fault = self.fault or raised(error)
        finally:
            for call in waiting:
                call.cancel()


class Judge:
    """Runs artifacts on many samples elsewhere, where that has taken long here.

    What was found out about an artifact holds where it was run: outputs of another CPU, version of the engine or number of
    threads do not count, and one call of each part is made here as well, to be compared.
    """

    def __init__(self, pool: Pool) -> None:
        """Begin with an executor."""
        self._pool = pool
        self._seconds: dict[str, float] = {}  # that a judgement took here, by engine
        self._useless: set[str] = set()

    def took(self, engine: str, seconds: float) -> None:
        """Say how long a judgement took here."""
        self._seconds[engine] = seconds

    def outputs(
        self, engine: str, artifact: Path, calls: Iterable[list[torch.Tensor]], here: Run
    ) -> dict[str, list[torch.Tensor]]:
        """What an artifact gives, by `name_of` its inputs; nothing of what it fails at, or where it is not worth it.

        Args:
            engine: that runs it.
            artifact: its folder.
            calls: the flat inputs of each.
            here: runs the artifact in this process.
        """
        seconds = self._seconds.get(engine, 0.0)
        if seconds < _LONG_S or engine in self._useless or self._pool.fault is not None:
            return {}
        sent: deque[tuple[list[str], list[torch.Tensor]]] = deque()

        def given() -> Iterator[tuple[str, bytes, bytes, str]]:
            packed, place = elsewhere.pack(artifact), elsewhere.place_of(engine)
            for part in _parts(calls):
                sent.append(([name_of(call) for call in part], part[0]))
                yield engine, packed, elsewhere.pack_arrays([v.numpy() for v in call] for call in part), place

        found: dict[str, list[torch.Tensor]] = {}
        limit_s = _START_S + _PATIENCE * seconds
        for outputs in self._pool.do(elsewhere.run, given(), limit_s, elsewhere.unpack_arrays):
            names, first = sent.popleft()
            values = [[torch.from_numpy(value) for value in call] for call in outputs or ()]
            if len(values) == len(names) and self._are_of_here(values[0], here(first)):
                found |= dict(zip(names, values, strict=True))
        if not found:
            self._useless.add(engine)
        return found

    def _are_of_here(self, outputs: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
        error = worst(outputs, expected)
        if error > _ALIKE:
            self._pool.foreign = f"outputs differ from those here by {error:.1e}"
        return error <= _ALIKE


def name_of(inputs: Sequence[torch.Tensor]) -> str:
    """The same for the same values."""
    digest = hashlib.sha256()
    for value in inputs:
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _parts(calls: Iterable[list[torch.Tensor]]) -> Iterator[list[list[torch.Tensor]]]:
    """Calls in parts of a few megabytes."""
    part: list[list[torch.Tensor]] = []
    for call in calls:
        part.append(call)
        if sum(value.nbytes for each in part for value in each) >= _PART:
            yield part
            part = []
    if part:
        yield part
