"""The built-in executors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fxopt import hookimpl
from fxopt_plugins.executors.dask import Dask
from fxopt_plugins.executors.processes import Processes

if TYPE_CHECKING:
    from fxopt import Executor


@hookimpl
def fxopt_executors() -> list[type[Executor]]:
    """Executors that come with fxopt."""
    return [Processes, Dask]
