"""An exact pass: the logarithm of a softmax is one call."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from fxopt import Candidate, Edit, Pass, Program, StaleCandidate, View, hookimpl

aten = torch.ops.aten


@dataclass(frozen=True)
class LogSoftmax(Pass):
    """Call log_softmax where a logarithm is taken of a softmax: one kernel, and no logarithm of a rounded zero."""

    name: ClassVar[str] = "log_softmax"

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        """Find the logarithms of softmaxes that nobody else uses."""
        for log in program.calls:
            if log.target == aten.log.default and log.args[0].target == aten.softmax.int:
                softmax = log.args[0]
                if len(softmax.users) > 1:
                    view.decline(log, f"{softmax.name} has {len(softmax.users)} users")
                else:
                    names = log.name, softmax.name
                    yield Candidate(self.name, site=names, writes=frozenset(names))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        """Replace the logarithm; the softmax, which then has no users, dies with the transaction."""
        log, softmax = edit.nodes(candidate)
        if log.target != aten.log.default or log.args != (softmax,) or softmax.target != aten.softmax.int:
            raise StaleCandidate(f"{candidate.id}: the site is not what it was")
        edit.replace(log, edit.call(aten.log_softmax.int, softmax.args, softmax.kwargs))


@hookimpl
def fxopt_passes() -> list[type[Pass]]:
    """The passes of this module."""
    return [LogSoftmax]
