"""Statistics of the values inside a Program over calibration data, reduced batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.fx import Node

from fxopt.contracts.options import suggest
from fxopt.data import Data
from fxopt.errors import DataError
from fxopt.ir.evaluate import run_graph
from fxopt.ir.export_error import reason
from fxopt.ir.program import Program
from fxopt.ir.twin import as_inputs

Table = Mapping[str, torch.Tensor]  # by "KIND NODE"


class Statistics:
    """Per-channel statistics over one set of data, shared by all who ask.

    The first question about a Program runs it over the data and collects every kind for every value; later ones,
    about any Program of the same digest, are answered from memory.

    Attributes:
        data: what Programs are run on.
    """

    def __init__(self, data: Data) -> None:
        self.data = data
        self._found: dict[str, Table] = {}  # by digest of the Program
        self._notes: dict[tuple[str, str], dict[Any, Any]] = {}  # by digest of the Program and whose they are

    @property
    def asked(self) -> bool:
        """Whether anybody asked for a statistic so far."""
        return bool(self._found)

    def of(self, program: Program) -> Callable[[Node, str], torch.Tensor]:
        """What `View.statistics` asks, bound to a Program."""
        return partial(self.get, program)

    def get(self, program: Program, node: Node, kind: str) -> torch.Tensor:
        """As `View.statistics`.

        Raises:
            ValueError: as `look_up`.
            DataError: as `table`.
        """
        return look_up(self.table(program), node, kind)

    def table(self, program: Program) -> Table:
        """All statistics of all values of a Program.

        Raises:
            DataError: the Program fails on the data, or the data can no longer be read.
        """
        if program.digest not in self._found:
            moments = self._run(program)
            self._found[program.digest] = {
                f"{kind} {name}": compute(item)
                for name, item in moments.items()
                if item.count
                for kind, compute in _KINDS.items()
            }
        return self._found[program.digest]

    def notes(self, program: Program, owner: str) -> dict[Any, Any]:
        """What somebody has noted about a Program of this digest; whatever is added to it stays."""
        return self._notes.setdefault((program.digest, owner), {})

    def known(self, program: Program) -> Table | None:
        """The table of a Program, if anybody asked about it."""
        return self._found.get(program.digest)

    def _run(self, program: Program) -> dict[str, _Moments]:
        found: dict[str, _Moments] = {}

        def see(node: Node, value: Any) -> None:
            if node.op != "get_attr" and isinstance(value, torch.Tensor) and value.dtype.is_floating_point:
                if node.name not in found:
                    found[node.name] = _Moments(channel_axis(node.meta["val"]))
                found[node.name].add(value)

        try:
            with torch.no_grad():
                for batch in self.data.batches():
                    inputs = as_inputs(program, list(batch.inputs))
                    run_graph(program.graph, program.attributes, inputs, see=see)
        except Exception as error:
            raise DataError(f"the model cannot be run on {self.data.path or 'the data'}: {reason(error)}") from error
        return found


def look_up(table: Table, node: Node, kind: str) -> torch.Tensor:
    """One statistic of a table.

    Raises:
        ValueError: the node's value is a constant, empty, or no float tensor; or the kind is unknown.
    """
    if kind not in _KINDS:
        raise ValueError(f"unknown statistic {kind!r}{suggest(kind, _KINDS)}")
    if (found := table.get(f"{kind} {node.name}")) is None:
        raise ValueError(f"{node.name} has no statistics: its value is a constant, empty, or no float tensor")
    return found


def channel_axis(value: torch.Tensor) -> int | None:
    """The axis that statistics keep: axis 1 of four or more, the last of two or three.

    None where there is no such axis or its size is dynamic: the whole value counts as one channel.
    """
    if value.dim() < 2:
        return None
    axis = 1 if value.dim() >= 4 else value.dim() - 1
    return axis if isinstance(value.shape[axis], int) else None


class _Moments:
    """The statistics of one value, a channel an element, in float64.

    Means and squared deviations of batches are merged as in Chan, Golub and LeVeque, "Updating formulae and a
    pairwise algorithm for computing sample variances" (1979).
    """

    def __init__(self, axis: int | None) -> None:
        self.axis = axis
        self.count = 0  # of elements in a channel

    def add(self, value: torch.Tensor) -> None:
        rows = value.reshape(1, -1) if self.axis is None else value.movedim(self.axis, 0).flatten(1)
        count = rows.shape[1]
        if not count:
            return
        rows = rows.double()
        low, high = rows.aminmax(dim=1)
        var, mean = torch.var_mean(rows, dim=1, correction=0)
        if not self.count:
            self.low, self.high, self.mean, self.deviation, self.count = low, high, mean, var * count, count
            return
        total = self.count + count
        gap = mean - self.mean
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.mean = self.mean + gap * (count / total)
        self.deviation = self.deviation + var * count + gap.square() * (self.count * count / total)
        self.count = total


_KINDS: dict[str, Callable[[_Moments], torch.Tensor]] = {
    "min": lambda moments: moments.low,
    "max": lambda moments: moments.high,
    "mean": lambda moments: moments.mean,
    "absmax": lambda moments: torch.maximum(-moments.low, moments.high),
    "var": lambda moments: moments.deviation / moments.count,
}
