"""A cluster of Dask's."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import Executor as Pool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from fxopt import Executor


@dataclass(frozen=True)
class Dask(Executor):
    """Builds on the machines of a [Dask](https://distributed.dask.org) cluster; `pip install 'fxopt[dask]'`."""

    name: ClassVar[str] = "dask"

    address: str = field(
        default="", metadata={"help": "of the scheduler, like `tcp://host:8786`; empty: a cluster on this machine"}
    )
    workers: int = field(default=2, metadata={"help": "processes of a cluster on this machine"})

    def available(self) -> str | None:
        """As `Executor.available`."""
        return None if importlib.util.find_spec("distributed") else "Dask is not installed: pip install 'fxopt[dask]'"

    @contextmanager
    def open(self) -> Iterator[Pool]:
        """As `Executor.open`."""
        from distributed import Client, LocalCluster

        if self.address:
            with Client(self.address) as client, client.get_executor() as pool:
                yield pool
            return
        with (
            LocalCluster(n_workers=self.workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
            client.get_executor() as pool,
        ):
            yield pool
