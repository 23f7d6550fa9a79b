"""What may be done for one engine at the stage PRECISION: alternatives to one another, of which a planner takes some."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from fxopt.compiler.context import Context
from fxopt.compiler.search import Search, Searcher, choose
from fxopt.contracts.candidate import Fidelity, Stage
from fxopt.contracts.passes import Pass
from fxopt.errors import DataError
from fxopt.ir.edit import Record
from fxopt.ir.program import Program
from fxopt.registry import Registry
from fxopt.verify.fidelity import Evidence
from fxopt.verify.sensitivity import Round, sensitivities


def offer(
    found: Search,
    passes: Sequence[Pass],
    registry: Registry,
    context: Context,
    note: Callable[[str], None] = lambda text: None,
    weigh: Collection[str] | None = None,
) -> Search:
    """The search with the offers of passes of the stage PRECISION for one engine.

    Each such pass is asked once, on the Program that the search ended with, and what it offers is checked and fitted
    there. So the offers of two passes may be about the same nodes: no plan takes both.

    Args:
        found: what a search without these passes found.
        passes: all passes; the others are left aside.
        registry: where passes come from.
        context: its `scheme` is the engine's.
        note: told what is being done.
        weigh: the kinds of which it is found out what they cost in quality, beside offers of no kind; None: all; empty: nothing.

    Returns:
        A search with the steps of `found` and those that are offered; its Program is that of `found`.

    Raises:
        DataError: the program fails on the calibration data.
    """
    offers = _Offers(found, [rule for rule in passes if rule.stage >= Stage.PRECISION], registry, context, note)
    offers.run()
    offers.weigh(weigh)
    return offers.found


def prepare(
    found: Search,
    passes: Sequence[Pass],
    registry: Registry,
    context: Context,
    note: Callable[[str], None] = lambda text: None,
) -> Search:
    """The search with rewrites that prepare for lower precision; the arguments are those of `offer`."""
    return _Preparations(found, [rule for rule in passes if rule.prepares], registry, context, note).run()


class _GoingOn(Searcher):
    """A search that goes on from where another has ended."""

    def __init__(
        self,
        found: Search,
        passes: Sequence[Pass],
        registry: Registry,
        context: Context,
        note: Callable[[str], None],
    ) -> None:
        super().__init__(found.program, passes, registry, context, note)
        self.found = replace(
            found,
            twin=self.oracle.twin,
            steps=list(found.steps),
            evidence=dict(found.evidence),
            size_change=dict(found.size_change),
            tensors=dict(found.tensors),
            sensitivity={},
            maker=dict(found.maker),
            refusals=list(found.refusals),
            declines=list(found.declines),
            faults=dict(found.faults),
            broken=dict(found.broken),
        )
        self.known = self.found.declines
        self.round = max((step.round for step in found.steps), default=-1) + 1


class _Preparations(_GoingOn):
    def run(self) -> Search:
        super().run()
        self.found.declines = self.known + self.found.declines
        return self.found


class _Offers(_GoingOn):
    rounds: list[Round]  # of what is not exact

    def run(self) -> Search:
        self.rounds = []
        for rule in self.passes:
            if rule.name not in self.found.faults:
                self.note(rule.name)
                candidates = self.propose(rule)
                while candidates:  # more than once only where a pass offers alternatives of its own
                    chosen = choose(candidates)
                    self.apply_round(rule, chosen)
                    candidates = [candidate for candidate in candidates if candidate.id not in self.barred]
        self.found.declines = self.known + [decline for declines in self.declines.values() for decline in declines]
        return self.found

    def accept(
        self,
        rule: Pass,
        before: Program,
        after: Program,
        records: Sequence[Record],
        twin: Program,
        evidence: dict[str, Evidence],
    ) -> None:
        """Write the round down; the next pass starts from the same Program."""
        self.record(rule, after, records, evidence, before)
        lossy = [record for record in records if record.candidate.fidelity is not Fidelity.EXACT]
        if lossy:
            self.rounds.append((after, lossy))

    def weigh(self, kinds: Collection[str] | None) -> None:
        """Find out what the offers cost: all in one run over the data, and once for engines that get the same ones."""
        if self.context.statistics is None or (kinds is not None and not kinds):
            return

        def counts(record: Record) -> bool:
            return kinds is None or record.candidate.parameters.get("kind") in (None, *kinds)

        wanted = [(after, [record for record in records if counts(record)]) for after, records in self.rounds]
        known = self.context.statistics.notes(self.found.program, "sensitivity")
        self.note("sensitivity")
        try:
            known |= sensitivities(self.found.program, wanted, self.context.statistics.data, known.keys())
        except DataError as error:
            self.note(str(error))
        ids = {record.candidate.id for _, records in self.rounds for record in records}
        self.found.sensitivity = {identity: cost for identity, cost in known.items() if identity in ids}
