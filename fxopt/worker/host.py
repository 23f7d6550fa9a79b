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

from fxopt.errors import InputError
from fxopt.worker import wire

_PR_SET_PDEATHSIG = 1

Answer = tuple[dict[str, Any], wire.Arrays]


def _die_with(parent: int) -> None:
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


def serve(host: object, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until the pipe ends."""
    while True:
        try:
            message, arrays = wire.receive(requests)
        except EOFError:
            return
        method: Callable[..., Answer] = getattr(host, message.pop("request"))
        try:
            answer, outputs = method(arrays, **message)
            wire.send(answers, answer, outputs)
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything; the answer carries it to the parent
            lines = str(error).strip().splitlines()
            cause = f"{type(error).__name__}: {lines[-1].strip()}" if lines else type(error).__name__
            kind = ("input", str(error)) if isinstance(error, InputError) else ("fault", cause)
            wire.send(answers, dict(zip(("kind", "error"), kind, strict=True)))


def main(host: object) -> None:
    """Run the worker; its one argument is the parent's process id."""
    _die_with(int(sys.argv[1]))
    serve(host, *_claim_pipes())
