"""The steps of a plan: what they need of one another, and how any part of them is applied to a Program."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from fxopt.compiler.context import NOTHING, Context
from fxopt.contracts.candidate import Step
from fxopt.errors import PassFault
from fxopt.ir.edit import Record
from fxopt.ir.program import Program
from fxopt.registry import Registry


def closure(steps: Sequence[Step], wanted: Collection[str]) -> list[Step]:
    """The wanted steps and all that they need, in order."""
    by_id = {step.id: step for step in steps}
    kept: set[str] = set()
    front = list(wanted)
    while front:
        identity = front.pop()
        if identity not in kept:
            kept.add(identity)
            front.extend(by_id[identity].needs)
    return [step for step in steps if step.id in kept]


def rewritten(
    program: Program, steps: Sequence[Step], registry: Registry, context: Context
) -> tuple[Program, list[str], dict[str, str]]:
    """As `replay`; and, by name of a node that a step made, the step's id."""
    makers: dict[str, str] = {}

    def see(before: Program, after: Program, records: Sequence[Record]) -> None:
        for record in records:
            makers.update(dict.fromkeys(record.created, record.candidate.id))

    program, skipped = replay(program, steps, registry, context, see)
    return program, skipped, makers


def by_round(steps: Sequence[Step]) -> Iterator[tuple[int, list[Step]]]:
    """Steps by round, in ascending order; those of one round are of one pass."""
    for number in sorted({step.round for step in steps}):
        yield number, [step for step in steps if step.round == number]


def replay(
    program: Program,
    steps: Sequence[Step],
    registry: Registry,
    context: Context = NOTHING,
    see: Callable[[Program, Program, Sequence[Record]], None] = lambda before, after, records: None,
) -> tuple[Program, list[str]]:
    """Apply steps round by round, unchecked. A step is applied only where its pass offers it again.

    Args:
        program: what they were found on, or its twin.
        steps: in order.
        registry: where passes come from.
        context: as in the search that found them.
        see: told of each round: the Program before and after it, and what each step did.

    Returns:
        The rewritten Program, and the ids of steps that were not offered or could not be applied (what they rely on
        was left out).
    """
    skipped: list[str] = []
    for _, group in by_round(steps):
        rule = registry.make_pass(group[0].spec)
        try:
            offered = {candidate.id: candidate for candidate in context.propose(rule, program).candidates}
        except PassFault as fault:  # as in a search, it loses its own rewrites
            context.failed.setdefault(rule.name, (str(fault), context.call(rule, program)))
            offered = {}
        skipped += [step.id for step in group if step.id not in offered]
        wanted = [offered[step.id] for step in group if step.id in offered]
        while wanted:
            try:
                outcome = context.apply(rule, program, wanted)
            except PassFault as fault:
                context.failed.setdefault(rule.name, (str(fault), context.call(rule, program, wanted)))
                skipped += [candidate.id for candidate in wanted]
                break
            if outcome.program is not None:
                see(program, outcome.program, outcome.records)
                program = outcome.program
                break
            skipped += outcome.failed
            wanted = [candidate for candidate in wanted if candidate.id not in outcome.failed]
    return program, skipped
