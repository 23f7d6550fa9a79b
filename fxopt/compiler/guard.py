"""`Guard`: passes of other distributions are called in a process that can be killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load, save

from fxopt.compiler.calls import Proposal, Round
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Decline
from fxopt.errors import PassFault
from fxopt.ir.edit import Record
from fxopt.ir.program import Program
from fxopt.user_code import one_line
from fxopt.worker import wire
from fxopt.worker.process import Process, WorkerFault, three_quarters_of_memory

if TYPE_CHECKING:
    from fxopt.contracts.passes import Pass, View
    from fxopt.ir.statistics import Statistics
    from fxopt.registry import Registry

START_S = 120.0  # for all that comes before a call: the process starts, imports the plugin, and reads the Program
PATIENCE = 2  # lost calls of one pass; after these it is not called any more


class Guard(Process):
    """Calls passes of other distributions in a process of its own, with the results of `fxopt.compiler.calls`.

    Programs go there once, as text and tensors; back comes the text of the outcome with the tensors that are new.

    Attributes:
        limit_s: seconds that one call may take.
    """

    HOST = "fxopt.compiler.guard_host"

    def __init__(self, registry: Registry, limit_s: float) -> None:
        super().__init__(three_quarters_of_memory())
        self.registry, self.limit_s = registry, limit_s
        self._lost: Counter[str] = Counter()  # calls by pass that crashed or gave no answer
        self._made: set[str] = set()  # specs of the passes that the process has

    def minds(self, rule: Pass) -> bool:
        """Whether the pass is an outsider's: of an installed plugin that is not fxopt's own."""
        return ("passes", rule.name) in self.registry.outside

    def propose(
        self,
        rule: Pass,
        program: Program,
        view: View,
        statistics: Statistics | None,
        fitted: Mapping[str, torch.Tensor],
    ) -> Proposal:
        """As `calls.propose`.

        Args:
            rule: the pass.
            program: what it is asked about.
            view: what it may know of the hardware and the engine.
            statistics: what answers its questions about data.
            fitted: tensors that are known already, named as in `Step.tensors`.

        Raises:
            PassFault: it raised, crashed, or gave no answer.
            DataError: as `Statistics.table`.
        """
        fields = {
            "capabilities": view.capabilities and view.capabilities.to_json(),
            "scheme": view.scheme and view.scheme.to_json(),
            "statistics": statistics is not None,
        }
        known = pack({name: value for name, value in fitted.items() if name.startswith(f"{rule.name}@")})
        answer, arrays = self._call(rule, "propose", program, [known], **fields)
        if answer.get("asks"):  # all statistics of a Program are found at once, so one more call answers all questions
            assert statistics is not None
            answer, arrays = self._call(rule, "propose", program, [known, pack(statistics.table(program))], **fields)
        with self._reading("propose"):
            declines = [Decline(rule.name, str(site), one_line(str(reason))) for site, reason in answer["declines"]]
            tensors = unpack(arrays[0])
            candidates = [Candidate.from_json(item) for item in answer["candidates"]]
            candidates = [replace(item, fitted=item.known(tensors)) for item in candidates]
            return Proposal(candidates, declines, bool(answer["asked"]))

    def apply(
        self, rule: Pass, program: Program, candidates: Sequence[Candidate], fitted: Mapping[str, torch.Tensor]
    ) -> Round:
        """As `calls.apply`.

        Raises:
            PassFault: it crashed or gave no answer.
        """
        sent = [candidate.to_json() for candidate in candidates]
        known = {**fitted, **{name: value for item in candidates for name, value in item.tensors.items()}}
        answer, arrays = self._call(rule, "apply", program, [pack(known)] if known else [], candidates=sent)
        with self._reading("apply"):
            if answer["text"] is None:
                return Round(failed=answer["failed"], raised=frozenset(answer["raised"]))
            by_id = {candidate.id: candidate for candidate in candidates}
            records = [
                Record(by_id[item["id"]], item["created"], [(a, b) for a, b in item["replaced"]], item["constants"])
                for item in answer["records"]
            ]
            kept = {name: value for name, value in program.attributes.items() if isinstance(value, torch.Tensor)}
            return Round(Program.parse(answer["text"], kept | unpack(arrays[0])), records)

    @contextmanager
    def _reading(self, stage: str) -> Iterator[None]:
        """Read an answer. One that cannot be read is the pass's fault: it has written between, or made what exists there only."""
        try:
            yield
        except Exception as error:
            self.close()
            raise PassFault(f"{stage} gave an answer that cannot be read: {one_line(str(error))}") from error

    def _call(
        self, rule: Pass, stage: str, program: Program, arrays: wire.Arrays, **fields: Any
    ) -> tuple[dict[str, Any], wire.Arrays]:
        if self._lost[rule.name] >= PATIENCE:
            raise PassFault(f"is not called any more: {PATIENCE} of its calls crashed or gave no answer")
        message = {"rule": rule.spec(), "program": program.digest, **fields}
        try:
            if not self.started:
                self._made.clear()
            if rule.spec() not in self._made:  # imports of torch and of the plugin are no part of the call
                self.ask(
                    "make",
                    max(START_S, self.limit_s),
                    rule=rule.spec(),
                    plugin=self.registry.plugin_of("passes", rule.name),
                )
                self._made.add(rule.spec())
            answer, outputs = self.ask(stage, self.limit_s, arrays, **message)
            if answer.get("unknown"):
                tensors = {n: value for n, value in program.attributes.items() if isinstance(value, torch.Tensor)}
                self.ask(
                    "know", max(START_S, self.limit_s), [pack(tensors)], program=program.digest, text=program.text()
                )
                answer, outputs = self.ask(stage, self.limit_s, arrays, **message)
        except ValueError as error:  # no JSON: something has written into the pipe
            self.close()
            self._lost[rule.name] += 1
            raise PassFault(f"{stage} gave an answer that cannot be read: {one_line(str(error))}") from error
        except WorkerFault as fault:
            self._lost[rule.name] += fault.lost
            where = f" at {fault.note}" if fault.note else ""
            raise PassFault(f"{stage} {fault}{where}" if fault.lost else str(fault), fault.note) from None
        return answer, outputs


def pack(tensors: Mapping[str, torch.Tensor]) -> np.ndarray[Any, Any]:
    """Tensors by name as one array of bytes, uint8[n]."""
    return np.frombuffer(save({name: value.detach().contiguous().clone() for name, value in tensors.items()}), np.uint8)


def unpack(packed: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
    """The inverse of `pack`."""
    return load(packed.tobytes())
