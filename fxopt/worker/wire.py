"""The messages between fxopt and its workers: a line of JSON, then the bytes of the arrays. Nothing is unpickled."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

Arrays = list["np.ndarray[Any, Any]"]


def send(pipe: BinaryIO, message: Mapping[str, Any], arrays: Sequence[np.ndarray[Any, Any]] = ()) -> None:
    """Write one message.

    Raises:
        BrokenPipeError: nobody reads.
        TypeError: an array holds Python objects. Nothing has been written then.
    """
    arrays = [np.asarray(array, order="C") for array in arrays]
    if any(array.dtype.hasobject for array in arrays):
        raise TypeError("arrays of Python objects cannot be passed on")
    heads = [[array.dtype.str, array.shape] for array in arrays]
    pipe.write(json.dumps({**message, "arrays": heads}).encode() + b"\n")
    for array in arrays:
        pipe.write(array.tobytes())
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[dict[str, Any], Arrays]:
    """Read one message.

    Raises:
        EOFError: the other side is gone, perhaps in mid-message.
    """
    line = pipe.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message = json.loads(line)
    return message, [_read(pipe, np.dtype(kind), shape) for kind, shape in message.pop("arrays")]


def _read(pipe: BinaryIO, dtype: np.dtype[Any], shape: Sequence[int]) -> np.ndarray[Any, Any]:
    array = np.empty(math.prod(shape) * dtype.itemsize, np.uint8)
    if pipe.readinto(array.data) < array.size:  # type: ignore[attr-defined]
        raise EOFError
    return array.view(dtype).reshape(shape)
