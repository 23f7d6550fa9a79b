"""The parent's side of a worker process: `Process`, which turns every way in which foreign code can fail into one line."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, ClassVar, Self

import numpy as np
import psutil

from fxopt.errors import FxoptError
from fxopt.user_code import one_line
from fxopt.worker import wire

# The kernel kills a worker when the *thread* that started it ends. This thread lives as long as fxopt does.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="fxopt-spawner")
_POLL_S = 0.1
_DYING_S = 2.0  # that a process may take between closing its pipes and its end
_STDERR_TAIL_BYTES = 4096


class WorkerFault(FxoptError):
    """A request failed; the message is the cause, in one line.

    Attributes:
        lost: whether the process is lost: it crashed, gave no answer in time, or passed a limit.
        bad_input: whether the host says that what it was given is at fault.
        note: what the host was last heard of while it worked.
    """

    def __init__(self, message: str, lost: bool = True, bad_input: bool = False, note: str | None = None) -> None:
        super().__init__(message)
        self.lost, self.bad_input, self.note = lost, bad_input, note


def three_quarters_of_memory() -> int:
    """Bytes that a worker may hold where nothing else is said."""
    return int(psutil.virtual_memory().total) * 3 // 4


class Process:
    """A process that runs foreign code, so that what crashes, hangs or eats the memory loses its request and no more.

    The process starts with the first request and again with the next one after a crash. It never outlives this
    process. Not to be shared by threads, but for `kill`. Subclasses say which module serves (`HOST`).

    Attributes:
        memory_bytes: resident bytes that the process and its children may hold.
    """

    HOST: ClassVar[str]

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._killed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def started(self) -> bool:
        """Whether there is a process, which may hold what it was told before."""
        return self._process is not None

    def pause(self) -> None:
        """Stop the process where it is until the next request, so that no thread of its own spins."""
        self._signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End the process and whatever it started, for good and at once; the one method that another thread may call."""
        self._killed = True  # first: a process that is only being started finds it, and ends
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """End the process, and let go of its pipes."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout, self._stderr):
                with contextlib.suppress(BrokenPipeError):  # of bytes that were never sent
                    pipe.close()  # type: ignore[union-attr]
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if (process := self._process) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _start(self) -> subprocess.Popen[bytes]:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        command = [sys.executable, "-P", "-m", self.HOST, str(os.getpid())]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return _SPAWNER.submit(
            subprocess.Popen,
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment,
            start_new_session=True,  # a group of its own: killed as a whole, and Ctrl-C is for the parent alone
        ).result()

    def ask(
        self, request: str, seconds: float, arrays: Sequence[np.ndarray[Any, Any]] = (), **fields: Any
    ) -> tuple[dict[str, Any], wire.Arrays]:
        """Ask the host.

        Args:
            request: which method of the host answers.
            seconds: how long it may take.
            arrays: sent with the request.
            fields: the arguments of that method, JSON values.

        Returns:
            The answer's fields and its arrays.

        Raises:
            WorkerFault: the request failed.
        """
        if self._process is None:
            self._process = self._start()
        else:
            self._signal(signal.SIGCONT)
        process = self._process
        if self._killed:
            self.close()
            raise WorkerFault("was killed")
        assert process.stdin is not None
        assert process.stdout is not None
        note = None
        try:
            with self._watched(process.pid, seconds) as verdict:
                wire.send(process.stdin, {"request": request, **fields}, arrays)  # type: ignore[arg-type]
                answer, outputs = wire.receive(process.stdout)  # type: ignore[arg-type]
                while "note" in answer:
                    note = answer["note"]
                    answer, outputs = wire.receive(process.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError):
            cause = verdict[0] if verdict else self._post_mortem(process)
            self.close()
            raise WorkerFault(cause, note=note) from None
        except BaseException:  # Ctrl-C in mid-answer: the pipes are out of step
            self.close()
            raise
        if "error" in answer:
            raise WorkerFault(answer["error"], lost=False, bad_input=answer["bad_input"])
        return answer, outputs

    @contextlib.contextmanager
    def _watched(self, pid: int, seconds: float) -> Iterator[list[str]]:
        """Kill the worker when it passes a limit, which ends the caller's wait; yields the place for the verdict."""
        done, verdict = threading.Event(), list[str]()

        def watch() -> None:
            deadline = time.monotonic() + seconds
            while not done.wait(min(_POLL_S, max(0.0, deadline - time.monotonic()))):
                if time.monotonic() >= deadline:
                    verdict.append(f"gave no answer in {seconds:g} s")
                elif _resident_bytes(pid) > self.memory_bytes:
                    verdict.append(f"used over {self.memory_bytes >> 20} MiB")
                else:
                    continue
                self._signal(signal.SIGKILL)
                return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield verdict
        finally:
            done.set()
            watcher.join()

    def _post_mortem(self, process: subprocess.Popen[bytes]) -> str:
        """Why a worker ended of itself, with the last line that it wrote."""
        try:
            status = process.wait(_DYING_S)
        except subprocess.TimeoutExpired:  # it has closed the pipe and lives on
            self._signal(signal.SIGKILL)
            status = process.wait()
        cause = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
        assert self._stderr is not None
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_BYTES))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{cause}: {one_line(lines[-1])}" if lines else cause


def _resident_bytes(pid: int) -> int:
    """Resident bytes of a process and all that it started."""
    try:
        process = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0
