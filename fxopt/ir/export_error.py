"""What to tell a user whose model `torch.export` cannot capture: the reason and the line, instead of a traceback."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from pathlib import Path

import torch

from fxopt.errors import InputError

_TORCH = str(Path(torch.__file__).parent) + os.sep
_STDLIB = sysconfig.get_path("stdlib") + os.sep
_FXOPT = re.compile(r"[\\/]fxopt(_plugins|_passes)?[\\/]")
_FRAME_IN_TEXT = re.compile(r'File "([^"\n]+)", line (\d+), in')
# Advice on torch's own switches, and headings that say nothing by themselves.
_NOISE = re.compile(
    r"\s*(For more information, run with TORCH_LOGS.*|Please use `?torch\._dynamo.*|\(Size-like symbols: .*\)"
    r"|Caused by: .*|Set TORCH_LOGS.*|Set TORCHDYNAMO.*|During handling .*)"
)


def explain_export_error(error: BaseException) -> str:
    """One line for an exception of `torch.export`.

    Returns:
        The reason, and the innermost source line that is not torch's, where there is one.
    """
    place = source_line(error)
    return reason(error) + (f" (at {place})" if place else "")


def reason(error: BaseException) -> str:
    """The first line of the message that says something; of violated constraints, each violation."""
    lines = [_NOISE.sub("", line).strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return type(error).__name__
    if lines[0].startswith("Constraints violated"):
        details = [line.removeprefix("- ") for line in lines[1:] if line.startswith("- ")]
        return "; ".join([lines[0].rstrip("!"), *details])
    known = isinstance(error, (RuntimeError, InputError)) or "torch" in type(error).__module__
    return lines[0] if known else f"{type(error).__name__}: {lines[0]}"


def source_line(error: BaseException) -> str | None:
    """`file:line` of the user's code where the error arose: from the traceback, else as told in the message."""
    for link in _chain(error):
        for frame in reversed(traceback.extract_tb(link.__traceback__)):
            if _FXOPT.search(frame.filename):
                break  # what called fxopt is not where the model failed
            if _is_users(frame.filename):
                return f"{frame.filename}:{frame.lineno}"
    for link in _chain(error):
        for file, line in reversed(_FRAME_IN_TEXT.findall(str(link))):
            if _is_users(file):
                return f"{file}:{line}"
    return None


def _is_users(file: str) -> bool:
    if file.startswith((_TORCH, "<")) or _FXOPT.search(file):
        return False
    return not file.startswith(_STDLIB) or "site-packages" in file


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it arose from; the cause first, as it is nearer to the user's line."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.insert(0, link)
        link = link.__cause__ or link.__context__
    return chain
