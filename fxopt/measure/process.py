"""The parent's side of a worker process: `Worker`, which turns every way in which an engine can fail into one line."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
import psutil
from numpy.typing import NDArray

from fxopt.contracts.engine import Artifact, EngineGraph, Kernel, Unsupported
from fxopt.errors import EngineError, InputError
from fxopt.measure import wire

# The kernel kills a worker when the *thread* that started it ends. This thread lives as long as fxopt does.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="fxopt-spawner")
_POLL_S = 0.1
_STDERR_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Limits:
    """What one request to an engine may use.

    Attributes:
        build_s: seconds for `emit`, `unsupported`, `graph` and `profile`.
        load_s: seconds for `load`, start of the process included.
        run_s: seconds for `run` and for one block of `time`.
        memory_bytes: resident bytes of the worker and its children.
    """

    build_s: float = 300.0
    load_s: float = 120.0
    run_s: float = 60.0
    memory_bytes: int = field(default_factory=lambda: psutil.virtual_memory().total * 3 // 4)


class Worker:
    """A process that hosts engines, so that one that crashes, hangs or eats the memory loses its request and no more.

    The process starts with the first request and again with the next one after a crash, so an idle `Worker` is also
    the warm builder: keep one for all `emit` and `graph` requests (importing torch costs seconds), and one for each
    artifact that is measured. It never outlives this process. Not to be shared by threads, but for `kill`.

    Every request raises `EngineError` with one line `ENGINE: STAGE: CAUSE`, or `InputError` where the engine said so.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._loaded = ""
        self._killed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def unsupported(self, engine: str, program: Path) -> list[Unsupported]:
        """Nodes of the Program saved in the directory `program` that the engine (a spec) cannot run."""
        answer, _ = self._request(engine, "unsupported", self.limits.build_s, engine=engine, program=str(program))
        return [Unsupported(node, reason) for node, reason in answer["nodes"]]

    def emit(self, engine: str, program: Path, out: Path) -> Artifact:
        """Let the engine emit the Program saved in `program` into the new directory `out`; on failure there is none."""
        out.mkdir(parents=True)
        try:
            self._request(engine, "emit", self.limits.build_s, engine=engine, program=str(program), out=str(out))
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            raise
        return Artifact.read(out)

    def graph(self, engine: str, artifact: Path) -> EngineGraph:
        """What the engine made of the artifact in a directory (`Engine.fused_kernels`)."""
        answer, _ = self._request(engine, "graph", self.limits.build_s, engine=engine, artifact=str(artifact))
        return EngineGraph(_kernels(answer["kernels"]), answer["signature"])

    def profile(self, engine: str, artifact: Path, inputs: Sequence[np.ndarray[Any, Any]]) -> tuple[Kernel, ...]:
        """The artifact's kernels with their milliseconds (`Engine.profile`)."""
        answer, _ = self._request(engine, "profile", self.limits.build_s, inputs, engine=engine, artifact=str(artifact))
        return _kernels(answer["kernels"])

    def load(self, engine: str, artifact: Path) -> None:
        """Load an artifact for `run` and `time`."""
        self._request(engine, "load", self.limits.load_s, engine=engine, artifact=str(artifact))
        self._loaded = engine

    def run(self, inputs: Sequence[np.ndarray[Any, Any]]) -> wire.Arrays:
        """Call the loaded artifact on its flat inputs; the flat outputs. `time` uses the same inputs."""
        return self._request(self._loaded, "run", self.limits.run_s, inputs)[1]

    def time(self, calls: int) -> NDArray[np.int64]:
        """Nanoseconds of each of `calls` calls on the inputs of the last `run`, after a call that is not counted."""
        return self._request(self._loaded, "time", self.limits.run_s, calls=calls)[1][0]

    def pause(self) -> None:
        """Stop the process where it is until the next request, so that no thread of an idle engine spins."""
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
        command = [sys.executable, "-P", "-m", "fxopt.measure.worker", str(os.getpid())]
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

    def _request(
        self, name: str, stage: str, seconds: float, arrays: Sequence[np.ndarray[Any, Any]] = (), **fields: Any
    ) -> tuple[dict[str, Any], wire.Arrays]:
        if self._process is None:
            self._process = self._start()
        else:
            self._signal(signal.SIGCONT)
        process = self._process
        if self._killed:
            self.close()
            raise EngineError(f"{name}: {stage}: was killed")
        assert process.stdin is not None
        assert process.stdout is not None
        message = {"request": stage, **fields}
        try:
            with self._watched(process.pid, seconds) as verdict:
                wire.send(process.stdin, message, arrays)  # type: ignore[arg-type]
                answer, outputs = wire.receive(process.stdout)  # type: ignore[arg-type]
        except (EOFError, BrokenPipeError):
            cause = verdict[0] if verdict else self._post_mortem(process)
            self.close()
            raise EngineError(f"{name}: {stage}: {cause}") from None
        except BaseException:  # Ctrl-C in mid-answer: the pipes are out of step
            self.close()
            raise
        if "error" in answer:
            error = InputError if answer["kind"] == "input" else EngineError
            raise error(f"{name}: {stage}: {answer['error']}")
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
                elif _resident_bytes(pid) > self.limits.memory_bytes:
                    verdict.append(f"used over {self.limits.memory_bytes >> 20} MiB")
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
        self._signal(signal.SIGKILL)  # it may have closed the pipe and live on
        status = process.wait()
        cause = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"
        assert self._stderr is not None
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_BYTES))
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{cause}: {lines[-1].strip()}" if lines else cause


def _kernels(entries: Sequence[Mapping[str, Any]]) -> tuple[Kernel, ...]:
    return tuple(Kernel(e["name"], e["kind"], tuple(e["covers"]), e["milliseconds"]) for e in entries)


def _resident_bytes(pid: int) -> int:
    """Resident bytes of a process and all that it started."""
    try:
        process = psutil.Process(pid)
        return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
    except psutil.NoSuchProcess:
        return 0
