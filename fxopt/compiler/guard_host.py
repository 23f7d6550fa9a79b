"""The process that calls outside passes: `python -m fxopt.compiler.guard_host`. It serves one `fxopt.compiler.guard.Guard`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from fxopt.compiler import calls
from fxopt.compiler.guard import pack, unpack
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Pass, View
from fxopt.contracts.quantization import QuantScheme
from fxopt.contracts.target import Capabilities
from fxopt.ir.program import Program
from fxopt.ir.statistics import look_up
from fxopt.ir.threads import one_thread
from fxopt.registry import Registry
from fxopt.worker import wire
from fxopt.worker.host import Answer, Host, main

if TYPE_CHECKING:
    import torch
    from torch.fx import Node

_KEPT = 4  # Programs: what a round starts from and ends with, and their twins


class AsksForStatistics(BaseException):
    """A pass asked for a statistic that was not sent along. Not an `Exception`: no pass may swallow it by accident."""


class GuardHost(Host):
    """What the process holds between requests: the last few Programs, and the passes."""

    def __init__(self) -> None:
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._passes: dict[str, Pass] = {}

    def make(self, arrays: wire.Arrays, rule: str, plugin: str) -> Answer:
        """Make the pass of a spec, which a plugin brings."""
        self._passes[rule] = cast("Pass", Registry.of(plugin).make("passes", rule))
        return {}, []

    def know(self, arrays: wire.Arrays, program: str, text: str) -> Answer:
        """Keep a Program under its digest."""
        self._keep(program, Program.parse(text, unpack(arrays[0])))
        return {}, []

    def propose(
        self,
        arrays: wire.Arrays,
        rule: str,
        program: str,
        capabilities: Mapping[str, Any] | None,
        scheme: Mapping[str, Any] | None,
        statistics: bool,
    ) -> Answer:
        """Candidates and declines; `asks` where statistics are needed first."""
        if (known := self._programs.get(program)) is None:
            return {"unknown": True}, []
        table = unpack(arrays[1]) if arrays[1:] else None

        def answer(node: Node, kind: str) -> torch.Tensor:
            if table is None:
                raise AsksForStatistics
            return look_up(table, node, kind)

        made = self._passes[rule]
        view = View(
            made.name,
            None if capabilities is None else Capabilities.from_json(capabilities),
            None if scheme is None else QuantScheme.from_json(scheme),
            _statistics=answer if statistics else None,
            _fitted=unpack(arrays[0]),
        )
        try:
            proposal = calls.propose(made, known, view)
        except AsksForStatistics:
            return {"asks": True}, []
        candidates = [candidate.to_json() for candidate in proposal.candidates]
        fitted = {name: value for item in proposal.candidates for name, value in item.tensors.items()}
        declines = [(item.site, item.reason) for item in proposal.declines]
        return {"candidates": candidates, "declines": declines, "asked": proposal.asked}, [pack(fitted)]

    def apply(self, arrays: wire.Arrays, rule: str, program: str, candidates: Sequence[Mapping[str, Any]]) -> Answer:
        """The text of the outcome and the tensors that are new, or what failed."""
        if (before := self._programs.get(program)) is None:
            return {"unknown": True}, []
        fitted = unpack(arrays[0]) if arrays else {}
        bare = [Candidate.from_json(item) for item in candidates]
        wanted = [replace(item, fitted=item.known(fitted)) for item in bare]
        done = calls.apply(self._passes[rule], before, wanted, fitted, self.tell)
        if done.program is None:
            return {"text": None, "failed": done.failed, "raised": sorted(done.raised)}, []
        self._keep(done.program.digest, done.program)
        records = [
            {
                "id": record.candidate.id,
                "created": record.created,
                "replaced": record.replaced,
                "constants": record.constants,
            }
            for record in done.records
        ]
        new: dict[str, Any] = {
            name: value
            for name, value in done.program.attributes.items()
            if name not in before.attributes and not hasattr(value, "graph")
        }
        return {"text": done.program.text(), "records": records}, [pack(new)]

    def _keep(self, digest: str, program: Program) -> None:
        self._programs[digest] = program
        self._programs.move_to_end(digest)
        while len(self._programs) > _KEPT:
            self._programs.popitem(last=False)


if __name__ == "__main__":
    with one_thread():
        main(GuardHost())
