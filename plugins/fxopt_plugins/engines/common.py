"""What engines share: threads, finding a runtime, and dtypes that cannot pass through NumPy."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fxopt.contracts.engine import Unsupported

if TYPE_CHECKING:
    from fxopt.ir.program import Program


def thread_count(threads: int) -> int:
    """`threads`, or as many as this process may use for 0."""
    return threads or len(os.sched_getaffinity(0))


def missing(package: str, extra: str) -> str | None:
    """None if the package is installed, else what to install. Imports nothing."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f"{package} is not installed: pip install 'fxopt[{extra}]'"


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package name."""
    return {package: importlib.metadata.version(package) for package in packages}


def without_numpy(program: Program, also: frozenset[str] = frozenset()) -> Iterator[Unsupported]:
    """Inputs and outputs whose dtype NumPy lacks (bfloat16), or is one of `also`."""
    barred = {"bfloat16"} | also
    border = [node for node in program.nodes if node.op == "placeholder"] + list(program.outputs)
    for node in border:
        dtype = str(node.meta["val"].dtype).removeprefix("torch.")
        if dtype in barred or dtype.startswith(("float8", "quint", "qint")):
            yield Unsupported(node.name, f"{dtype} cannot cross the border of this engine")
