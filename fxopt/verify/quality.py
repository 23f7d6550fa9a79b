"""The quality of a rewritten Program: how far its outputs are from the original's, against what was allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from fxopt.ir.samples import other_sizes, sample_inputs
from fxopt.verify.error import worst

if TYPE_CHECKING:
    from fxopt.data import Data
    from fxopt.ir.program import Program

METRIC = "error"


@dataclass
class Quality:
    """The budget for rewrites that are not exact: the relative error of the outputs, as in `fxopt.verify.error`.

    Attributes:
        original: the unmodified Program.
        limit: the largest error allowed; 0 where only exact rewrites are.
        data: what the error is the worst over; None: inputs made up from shapes and dtypes, at the measured sizes and at others.
    """

    original: Program
    limit: float
    data: Data | None = None
    _expected: list[list[torch.Tensor]] = field(default_factory=list)

    def error(self, run: Callable[[list[torch.Tensor]], Sequence[torch.Tensor]]) -> float:
        """The error of what takes flat inputs to flat outputs: a rewritten Program's `run`, or an artifact's."""
        if not self._expected:
            self._expected = [self.original.run(inputs) for inputs in self._inputs()]
        return max(
            worst(run(inputs), expected) for inputs, expected in zip(self._inputs(), self._expected, strict=True)
        )

    def fault(self, error: float, slack: float = 0.0) -> str | None:
        """Why an error is too large, by more than `slack`; None if it is not."""
        if error <= self.limit + slack:
            return None
        return f"differs from the original by {error:.1e} {self.where} (--max-drop allows {self.limit:g})"

    @property
    def where(self) -> str:
        """What the error is the worst over, in words."""
        return "on made-up inputs" if self.data is None else f"on {self.data.path or 'the evaluation data'}"

    def to_json(self, error: float) -> dict[str, Any]:
        """What the ledger says."""
        data = None if self.data is None else self.data.to_json()
        return {"metric": METRIC, "value": error, "limit": self.limit, "data": data}

    def _inputs(self) -> Iterator[list[torch.Tensor]]:
        if self.data is None:
            yield sample_inputs(self.original)
            yield sample_inputs(self.original, other_sizes(self.original), seed=1)
        else:
            yield from (list(batch.inputs) for batch in self.data.batches())
