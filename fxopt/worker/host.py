"""The worker's side: a host object whose methods answer the requests of one `fxopt.worker.process.Process`.

Each public method of a host answers one request: it takes the arrays sent and the request's fields, and returns the
answer's fields and arrays. What foreign code prints goes to stderr, never into the answers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from fxopt.errors import FxoptError, InputError
from fxopt.user_code import one_line
from fxopt.worker import wire

_PR_SET_PDEATHSIG = 1

Answer = tuple[dict[str, Any], wire.Arrays]


def die_with(parent: int) -> None:
    """Let the kernel kill this process when `parent` ends, however it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout to ourselves: from here on, prints go to stderr and reads find the end of file."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return requests, answers


class Host:
    """Base of what answers requests."""

    def attach(self, answers: BinaryIO) -> None:
        """Say where answers go, before the first request."""
        self._answers = answers

    def tell(self, note: str) -> None:
        """Say what is being done, so that it is known should this process be lost."""
        wire.send(self._answers, {"note": note})


def serve(host: Host, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the pipe ends."""
    host.attach(answers)
    os.register_at_fork(after_in_child=lambda: _let_go(requests, answers))
    while True:
        try:
            message, arrays = wire.receive(requests)
        except EOFError:
            return
        method: Callable[..., Answer] = getattr(host, message.pop("request"))
        try:
            answer, outputs = method(arrays, **message)
            wire.send(answers, answer, outputs)
        except BaseException as error:  # noqa: BLE001 - foreign code may raise anything; the answer carries it to the parent
            bad_input = isinstance(error, InputError)
            wire.send(answers, {"error": _cause(error), "bad_input": bad_input})


def _let_go(*pipes: BinaryIO) -> None:
    """Let a process that foreign code has forked neither read requests nor answer them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for pipe in pipes:
        os.dup2(nothing, pipe.fileno())


def _cause(error: BaseException) -> str:
    """One line: of our own errors the message, of others the type and what stands last in the message."""
    lines = str(error).strip().splitlines()
    if isinstance(error, FxoptError):
        return one_line(" ".join(lines), 2000)
    return one_line(f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__)


def main(host: Host) -> None:
    """Run the worker; its one argument is the parent's process id."""
    die_with(int(sys.argv[1]))
    serve(host, *_claim_pipes())
