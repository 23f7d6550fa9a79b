"""What passes may know beside the Program, and how they are called with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from fxopt.compiler import calls
from fxopt.compiler.calls import Call, Proposal, Round
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Pass, View
from fxopt.ir.observe import observe
from fxopt.ir.program import Program

if TYPE_CHECKING:
    import torch

    from fxopt.compiler.guard import Guard
    from fxopt.contracts.quantization import QuantScheme
    from fxopt.contracts.target import Capabilities
    from fxopt.ir.statistics import Statistics


@dataclass(frozen=True)
class Context:
    """What passes may know beside the Program, the same for the search of a run and all its replays.

    Attributes:
        capabilities: what the hardware can do.
        statistics: of the calibration data.
        lossy: whether rewrites that are not exact may be tried.
        fitted: tensors that are known already, named as in `Step.tensors`: they are not fitted again.
        guard: calls the passes of others in a process that can be killed; None: all are called in this one.
        asked: names of passes that have asked for calibration data, were there any or not.
        failed: passes that failed in replays, with what they did wrong and the call; the search keeps its own.
        scheme: how the engine that is planned for wants its integers; None before there is one.
    """

    capabilities: Capabilities | None = None
    statistics: Statistics | None = None
    lossy: bool = True
    fitted: Mapping[str, torch.Tensor] = field(default_factory=dict)
    guard: Guard | None = None
    asked: set[str] = field(default_factory=set)
    failed: dict[str, tuple[str, Call]] = field(default_factory=dict)
    scheme: QuantScheme | None = None

    def propose(self, rule: Pass, program: Program) -> Proposal:
        """As `calls.propose`."""
        proposal = self._propose(rule, program)
        if proposal.asked:
            self.asked.add(rule.name)
        return proposal

    def _propose(self, rule: Pass, program: Program) -> Proposal:
        if self.guard is not None and self.guard.minds(rule):
            known = View(rule.name, self.capabilities, self.scheme)
            return self.guard.propose(rule, program, known, self.statistics, self.fitted)
        view = View(rule.name, self.capabilities, self.scheme, _fitted=self.fitted)
        if self.statistics is not None:
            view._statistics = self.statistics.of(program)  # noqa: SLF001 - what is behind the view
            view._observe = partial(observe, program, self.statistics.data)  # noqa: SLF001
            view._notes = partial(self.statistics.notes, program, rule.spec())  # noqa: SLF001
        return calls.propose(rule, program, view)

    def apply(self, rule: Pass, program: Program, candidates: Sequence[Candidate]) -> Round:
        """As `calls.apply`.

        Raises:
            PassFault: the pass crashed or gave no answer in a process of its own.
        """
        if self.guard is not None and self.guard.minds(rule):
            return self.guard.apply(rule, program, candidates, self.fitted)
        return calls.apply(rule, program, candidates, self.fitted)

    def call(self, rule: Pass, program: Program, candidates: Sequence[Candidate] = ()) -> Call:
        """A call that was made in this context, so that it can be made again; without candidates, that of `propose`."""
        known = {} if candidates else {n: value for n, value in self.fitted.items() if n.startswith(f"{rule.name}@")}
        return Call(rule.spec(), program, tuple(candidates), self.scheme, known)


NOTHING = Context()
