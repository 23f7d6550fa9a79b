"""Find all rewrites that are legal and true to their claim."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from fxopt.compiler.calls import Call, Round
from fxopt.compiler.context import NOTHING, Context
from fxopt.compiler.sizes import size_changes
from fxopt.compiler.steps import by_round
from fxopt.contracts.candidate import Candidate, Fidelity, Stage, Step
from fxopt.contracts.passes import Decline, Pass
from fxopt.errors import PassFault
from fxopt.ir.edit import Record
from fxopt.ir.export_error import reason
from fxopt.ir.program import Program, tensor_digest
from fxopt.verify.fidelity import Evidence, Oracle

if TYPE_CHECKING:
    from fxopt.registry import Registry

# Both count only what leaves the Program no smaller: that may go on for ever, while each fold of a long chain is progress.
MAX_SWEEPS = 6  # over all passes; a sweep that finds nothing ends the search
MAX_ROUNDS = 50  # of one pass in one sweep


@dataclass(frozen=True)
class Refusal:
    """A candidate that was found wanting before anything was built, or cannot be tried yet (verdict `skipped`)."""

    candidate: Candidate
    reason: str
    evidence: Evidence | None = None
    verdict: str = "refused"


@dataclass
class Search:
    """All that the passes had to say about a Program.

    Attributes:
        source: what was searched.
        program: the source with every step applied.
        twin: the float64 twin of `program`: every step applied to the source's twin.
        steps: the steps, in order of rounds.
        evidence: of each step by id; none for steps that do not claim to be exact.
        size_change: bytes of tensors that each step added, as `fxopt.compiler.sizes` tells them.
        tensors: those of steps that do not claim to be exact, by name, and what was fitted to data: they cannot be
            computed from the weights alone.
        sensitivity: of steps that do not claim to be exact, by id, as in `fxopt.verify.sensitivity`; where there are data.
        maker: by name of a node or attribute that a step made, the step's id.
        refusals: candidates found wanting.
        declines: the near misses.
        faults: what plugins did wrong, by pass, and the distribution that is to blame.
        broken: the call that brought a fault to light, by pass.
    """

    source: Program
    program: Program
    twin: Program
    steps: list[Step] = field(default_factory=list)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    size_change: dict[str, int] = field(default_factory=dict)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    sensitivity: dict[str, float] = field(default_factory=dict)
    maker: dict[str, str] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    declines: list[Decline] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    broken: dict[str, Call] = field(default_factory=dict)


def search(
    program: Program,
    passes: Sequence[Pass],
    registry: Registry,
    context: Context = NOTHING,
    note: Callable[[str], None] = lambda text: None,
) -> Search:
    """Run passes, stage by stage, to their common fixpoint; every exact rewrite is checked on its region.

    Those of the stage PRECISION, and what prepares for them, are left aside: they depend on the engine, and are
    alternatives to one another. `fxopt.compiler.offers` asks them.

    Raises:
        DataError: a pass asked for statistics, and the program fails on the calibration data.
    """
    return Searcher(program, before_precision(passes), registry, context, note).run()


def before_precision(passes: Sequence[Pass]) -> list[Pass]:
    """The passes whose rewrites hold for all engines, and may pay by themselves."""
    return [rule for rule in passes if rule.stage < Stage.PRECISION and not rule.prepares]


def follow(
    program: Program,
    steps: Sequence[Step],
    registry: Registry,
    context: Context = NOTHING,
    note: Callable[[str], None] = lambda text: None,
) -> Search:
    """Apply the steps of a plan and nothing else, each with the checks that a search makes.

    Args:
        program: of the graph that the plan was made for; its weights may be others.
        steps: of the plan, in order. A step that its pass does not offer here, or that fails its check, is refused.
        registry: where passes come from.
        context: its `fitted` holds the tensors of steps that do not claim to be exact; without it they are fitted anew.
        note: told what is being done.

    Raises:
        InputError: a pass of the plan is not installed.
        DataError: as `search`.
    """
    return Searcher(program, (), registry, context, note).follow(steps)


class Searcher:
    """One search under way; `search` and `follow` are its two ways, `fxopt.compiler.offers` a third."""

    def __init__(
        self,
        program: Program,
        passes: Sequence[Pass],
        registry: Registry,
        context: Context,
        note: Callable[[str], None],
    ) -> None:
        self.passes, self.registry, self.context, self.note = passes, registry, context, note
        self.oracle = Oracle(program)
        self.found = Search(program, program, self.oracle.twin)
        self.barred: set[str] = set()
        self.round = 0
        self.declines: dict[str, list[Decline]] = {}

    def run(self) -> Search:
        """As `search`."""
        idle = 0
        while idle < MAX_SWEEPS:
            steps, size = len(self.found.steps), _size(self.found.program)
            for rule in self.passes:
                if rule.name not in self.found.faults:
                    self.note(rule.name)
                    self.exhaust(rule)
            if len(self.found.steps) == steps:
                break
            idle += _size(self.found.program) >= size
        self.found.twin = self.oracle.twin
        self.found.declines = [decline for declines in self.declines.values() for decline in declines]
        return self.found

    def follow(self, steps: Sequence[Step]) -> Search:
        """As the function of that name."""
        for number, group in by_round(steps):
            self.round = number
            rule = self.registry.make_pass(group[0].spec)
            self.note(rule.name)
            offered = self.propose(rule)
            known, taken = {candidate.id: candidate for candidate in offered}, list[Candidate]()
            # On another machine an engine may want other numbers, as bits of weights: there the site is what was planned.
            there = {item.site: item for item in reversed(offered) if rule.stage >= Stage.PRECISION}
            for step in group:
                if (candidate := known.get(step.id) or there.get(step.candidate.site)) is not None:
                    taken.append(candidate)
                elif step.id not in self.barred:
                    gone = [need for need in step.needs if need in self.barred]
                    self.refuse(step.candidate, f"needs {gone[0]}" if gone else "its pass does not offer it here")
            self.apply_round(rule, taken)
        self.found.twin = self.oracle.twin
        planned = {step.id for step in steps}
        self.found.refusals = [refusal for refusal in self.found.refusals if refusal.candidate.id in planned]
        return self.found

    def exhaust(self, rule: Pass) -> None:
        """Apply what a pass offers until it offers nothing more."""
        idle = 0
        while idle < MAX_ROUNDS:
            candidates = self.propose(rule)
            if not candidates:
                return
            size = _size(self.found.program)
            self.apply_round(rule, choose(candidates))
            idle += _size(self.found.program) >= size
        self.blame(rule, f"does not come to an end: {MAX_ROUNDS} rounds of rewrites have left the graph no smaller")

    def propose(self, rule: Pass) -> list[Candidate]:
        """What a pass offers and nothing bars; the rest is written down as refused."""
        before = self.found.program
        try:
            proposal = self.context.propose(rule, before)
        except PassFault as fault:
            self.blame(rule, str(fault), self.context.call(rule, before))
            return []
        self.declines[rule.name] = proposal.declines
        open_candidates = []
        for candidate in proposal.candidates:
            if candidate.id in self.barred:
                continue
            reason = self.registry.veto(self.found.program, candidate)
            if reason:
                self.refuse(candidate, f"vetoed: {reason}")
            elif candidate.fidelity is Fidelity.NEEDS_RECOVERY:
                self.barred.add(candidate.id)
                reason = "it needs recovery by training, which there is none of yet"
                self.found.refusals.append(Refusal(candidate, reason, verdict="skipped"))
            elif candidate.fidelity is not Fidelity.EXACT and not self.context.lossy:
                self.refuse(
                    candidate, f"it is {candidate.fidelity.value}, and no drop of quality is allowed: see --max-drop"
                )
            else:
                open_candidates.append(candidate)
        return open_candidates

    def apply_round(self, rule: Pass, chosen: list[Candidate]) -> None:
        """Apply the candidates in one transaction; those that fail are refused and the round is done again without them."""
        before = self.found.program
        while chosen:
            after = self.attempt(rule, before, chosen)
            twin = self.attempt(rule, self.oracle.twin, chosen) if after.program is not None else Round()
            if after.program is None or twin.program is None:
                failed: dict[str, Evidence | None] = dict.fromkeys(after.failed or twin.failed)
                reasons = after.failed or twin.failed
            else:
                try:
                    evidence = self.oracle.check(before, after.program, after.records, twin.program)
                except Exception as error:  # noqa: BLE001 - what a pass has made may fail when it is run
                    if len(chosen) > 1:  # find out which one it is, each alone
                        for candidate in chosen:
                            self.apply_round(rule, [candidate])
                        return
                    self.refuse(chosen[0], f"cannot be checked: it raised {type(error).__name__}: {reason(error)}")
                    return
                reasons = {key: fault for key, item in evidence.items() if (fault := item.fault)}
                if not reasons:
                    self.accept(rule, before, after.program, after.records, twin.program, evidence)
                    return
                failed = {key: evidence[key] for key in reasons}
            for candidate in chosen:
                if candidate.id in failed:
                    self.refuse(candidate, reasons[candidate.id], failed[candidate.id])
            chosen = [candidate for candidate in chosen if candidate.id not in failed]

    def attempt(self, rule: Pass, before: Program, chosen: list[Candidate]) -> Round:
        """One transaction; a pass that fails at it is to blame."""
        try:
            outcome = self.context.apply(rule, before, chosen)
        except PassFault as fault:
            at = tuple(c for c in chosen if c.id == fault.candidate) or tuple(chosen)
            self.blame(rule, str(fault), self.context.call(rule, before, at))
            return Round(failed={candidate.id: str(fault) for candidate in chosen})
        for candidate in chosen:
            if candidate.id in outcome.raised:
                self.blame(rule, outcome.failed[candidate.id], self.context.call(rule, before, (candidate,)))
        return outcome

    def accept(
        self,
        rule: Pass,
        before: Program,
        after: Program,
        records: Sequence[Record],
        twin: Program,
        evidence: dict[str, Evidence],
    ) -> None:
        """Write a checked round down, and go on from what it left."""
        self.record(rule, after, records, evidence, before)
        for record in records:
            self.found.maker.update(dict.fromkeys((*record.created, *record.constants), record.candidate.id))
        self.found.program = after
        self.oracle.learn(twin)

    def record(
        self, rule: Pass, after: Program, records: Sequence[Record], evidence: dict[str, Evidence], before: Program
    ) -> None:
        """Write down the steps of a round."""
        self.found.size_change.update(size_changes(before, after, records))
        for record in records:
            self.found.steps.append(self.step(rule, record, after))
            self.barred.add(record.candidate.id)
            self.registry.event("candidate", id=record.candidate.id, rule=rule.name)
        self.found.evidence.update(evidence)
        self.round += 1

    def step(self, rule: Pass, record: Record, after: Program) -> Step:
        """What a candidate did, as a step of a plan."""
        maker = self.found.maker
        needs = {maker[name] for name in record.candidate.footprint if name in maker}
        made = {n: value for n in record.constants if isinstance(value := after.attributes.get(n), torch.Tensor)}
        self.found.tensors.update(record.candidate.tensors)
        if record.candidate.fidelity is not Fidelity.EXACT:
            self.found.tensors.update(made)
        made |= record.candidate.tensors
        digests = {name: tensor_digest(value) for name, value in made.items()}
        return Step(record.candidate, rule.spec(), self.round, tuple(sorted(needs)), digests)

    def refuse(self, candidate: Candidate, reason: str, evidence: Evidence | None = None) -> None:
        """Write down why a candidate is not taken; it is not looked at again."""
        self.barred.add(candidate.id)
        self.found.refusals.append(Refusal(candidate, reason, evidence))

    def blame(self, rule: Pass, fault: str, call: Call | None = None) -> None:
        """Write down what a pass did wrong, once."""
        self.found.faults.setdefault(rule.name, f"{self.owner(rule)}: {rule.name} {fault}")
        if call is not None:
            self.found.broken.setdefault(rule.name, call)

    def owner(self, rule: Pass) -> str:
        """The distribution that brings a pass."""
        return self.registry.owners.get(("passes", rule.name), "unregistered")


def _size(program: Program) -> tuple[int, int]:
    return sum(1 for _ in program.calls), program.weight_bytes


def choose(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The first candidates that go together in one round: footprints disjoint from writes, one of each choice."""
    chosen: list[Candidate] = []
    written: set[str] = set()
    touched: set[str] = set()
    choices: set[str] = set()
    for candidate in candidates:
        if candidate.writes & touched or candidate.footprint & written or candidate.choice in choices:
            continue
        chosen.append(candidate)
        written |= candidate.writes
        touched |= candidate.footprint
        if candidate.choice is not None:
            choices.add(candidate.choice)
    return chosen
