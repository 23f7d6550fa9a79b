"""Checks of passes: what a pass must keep to, whatever it rewrites.

Each check is a function of a pass and a program and raises AssertionError with one message. `pass_checks` makes test
cases of them; checks of one pass on one program share one `Record` of what the pass does there.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from fxopt.compiler.steps import replay
from fxopt.contracts.candidate import Candidate, Fidelity, Step
from fxopt.contracts.passes import Pass
from fxopt.errors import StaleCandidate
from fxopt.ir.graphs import copy_graph
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.ir.twin import as_inputs
from fxopt.registry import Registry
from fxopt.testing.cases import Fault, case, parameters
from fxopt.testing.options import is_documented, options_round_trip
from fxopt.testing.record import MOST, Record, Round, changed, copied, difference, form, look, same_bits, transaction
from fxopt.testing.sites import disturbed
from fxopt.testing.specimen import ProgramLike
from fxopt.testing.zoo import ZOO
from fxopt.user_code import raised
from fxopt.verify.error import worst
from fxopt.verify.fidelity import FLOAT64_BOUND, Oracle, check_whole

SEEDS = range(4)  # of the inputs that a whole program is compared on: enough for both ways of a condition
APPROXIMATE_BOUND = 0.5  # relative error of the outputs; what is further off approximates nothing


def pass_checks(
    *passes: Pass,
    programs: Mapping[str, ProgramLike] | None = None,
    near_misses: Mapping[str, tuple[ProgramLike, str]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Any]:
    """Make test cases of passes, as the values of `check` in a parametrised test that calls `check()`.

    Args:
        passes: what is checked.
        programs: programs with sites, by name, beside those of the zoo; one of them should have a site for each pass.
        near_misses: programs that look like a site and are none, each with a part of the reason for which each of the
            passes must decline.
        expected_failures: why a case fails, by its id; it must then fail.

    Raises:
        ValueError: an expected failure names no case.
    """
    everywhere: dict[str, ProgramLike] = {**ZOO, **(programs or {})}
    cases = []
    for rule in passes:
        name = rule.spec()
        cases += [case(check, name, rule) for check in (options_round_trip, is_documented, haste_is_its_own)]
        cases.append(case(finds_a_site, name, rule, *everywhere.values()))
        cases += [case(c, name, rule, item, program=where) for where, item in everywhere.items() for c in CHECKS]
        for where, (item, reason) in (near_misses or {}).items():
            cases.append(case(declines_a_near_miss, name, rule, item, reason, program=where))
    return parameters(cases, expected_failures or {})


def haste_is_its_own(rule: Pass) -> None:
    """What `hasty` names are options of the pass, with values that it takes."""
    try:
        dataclasses.replace(rule, **rule.hasty)
    except (TypeError, ValueError) as error:
        raise Fault(f"under its hasty options, {dict(rule.hasty)}, it cannot be made: {error}") from error


# -- what it proposes ------------------------------------------------------------------------------------------------


def finds_a_site(rule: Pass, *programs: Program) -> None:
    """Some program has a site; a pass that finds none would pass all other checks unseen."""
    if not any(Record.of(rule, program).looks[0].candidates for program in programs):
        raise Fault(f"it finds no site in any of {len(programs)} programs: give one that has a site with programs=")


def raises_nothing(rule: Pass, program: Program) -> None:
    """`propose` ends, and `apply` applies what was proposed, each by itself and all together."""
    record = Record.of(rule, program)
    for found in record.looks:
        if found.error is not None:
            raise Fault(f"propose raised {raised(found.error)}")
        if len(found.candidates) >= MOST:
            raise Fault(f"propose offers over {MOST} candidates and does not end")
    for done in _transactions(record):
        if done.error is not None:
            raise Fault(f"applying {_ids(done)} raised {raised(done.error)}")


def proposing_changes_nothing(rule: Pass, program: Program) -> None:
    """`propose` leaves the program as it was: nodes, their meta data, dynamic sizes, tensors, nested graphs."""
    record = Record.of(rule, program)
    seen = record.looks[0]
    fault = seen.retyped or changed(seen.program, record.program)
    if fault:
        raise Fault(f"propose changed the program: {fault}")


def proposing_is_deterministic(rule: Pass, program: Program) -> None:
    """The same program in another place of memory has the same candidates and declines, in the same order."""
    first, second = Record.of(rule, program).looks
    for what in ("candidates", "declines"):
        ours, theirs = getattr(first, what), getattr(second, what)
        if ours != theirs:
            odd = next((pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]), None)
            detail = f"{odd[0]} and {odd[1]}" if odd else f"{len(ours)} and {len(theirs)} of them"
            raise Fault(f"two copies of the program have other {what}: {detail}")


def candidates_name_what_is_there(rule: Pass, program: Program) -> None:
    """Site, reads and writes are nodes of the program, the rule is the pass, and ids are unique."""
    record = Record.of(rule, program)
    known: set[str] = set()
    for candidate in record.looks[0].candidates:
        if candidate.rule != rule.name:
            raise Fault(f"a candidate's rule is {candidate.rule!r}, not the pass's name {rule.name!r}")
        if not candidate.site or not candidate.writes:
            raise Fault(f"a candidate names no {'writes' if candidate.site else 'site'}")
        strangers = sorted(name for name in candidate.footprint if name not in record.program)
        if strangers:
            raise Fault(f"{candidate.id} names {strangers[0]!r}, which is no node")
        if candidate.id in known:
            raise Fault(f"two candidates have the id {candidate.id}: tell them apart by their parameters")
        known.add(candidate.id)


def candidates_survive_json(rule: Pass, program: Program) -> None:
    """A candidate, and a step of it, are equal to what is read back from their JSON: use lists, not tuples."""
    for candidate in Record.of(rule, program).looks[0].candidates:
        for item in (candidate, Step(candidate, rule.spec(), 0)):
            try:
                back = type(item).from_json(json.loads(json.dumps(item.to_json())))
            except (TypeError, ValueError) as error:
                raise Fault(f"{item.id} cannot be written as JSON: {raised(error)}") from error
            if back != item or back.id != item.id:
                raise Fault(f"{item.id} comes back from JSON as another: {_apart(back, item)}")


def declines_a_near_miss(rule: Pass, program: Program, reason: str) -> None:
    """A near miss that the author gives is declined for the reason that he gives, and not offered."""
    found = look(rule, copied(program))
    if found.error is not None:
        raise Fault(f"propose raised {raised(found.error)}")
    sites = {decline.site for decline in found.declines if reason in decline.reason}
    if not sites:
        given = "; ".join(f"{decline.site}: {decline.reason}" for decline in found.declines)
        raise Fault(f"no decline says {reason!r}; there is {given or 'none'}")
    offered = next((item for item in found.candidates if sites & item.writes), None)
    if offered:
        raise Fault(f"{offered.id} is offered at a site that is declined because {reason}")


# -- what it does ----------------------------------------------------------------------------------------------------


def applying_leaves_the_input(rule: Pass, program: Program) -> None:
    """The program that a transaction starts from is the same after it: its tensors are shared, and never written."""
    record = Record.of(rule, program)
    for done in [*record.alone, *record.rounds[:1]]:
        fault = done.retyped or changed(done.before, record.program)
        if fault:
            raise Fault(f"applying {_ids(done)} changed the program that it started from: {fault}")


def changes_stay_inside_writes(rule: Pass, program: Program) -> None:
    """What is not among a candidate's writes is there afterwards, with the same arguments but for what was replaced."""
    for done in _transactions(Record.of(rule, program)):
        if done.edit is None:
            continue
        before, after = done.before, done.edit.program
        writes = frozenset().union(*(item.writes for item in done.chosen))
        reads = Counter(name for item in done.chosen for name in item.reads)
        names = {old: new for record in done.edit.records for old, new in record.replaced}
        for node in before.nodes:
            if node.name in writes:
                continue
            if node.name not in after:
                # A constant may lose its last user, and so may what two candidates read, each without knowing of the other.
                if node.op != "get_attr" and reads[node.name] < 2:
                    raise Fault(f"{_ids(done)} makes {node.name} dead, which is not among its writes")
            elif form(after.node(node.name)) != form(node, names):
                raise Fault(f"{_ids(done)} changes {node.name}, which is not among its writes")
        for name in before.attributes.keys() & after.attributes.keys():
            ours, theirs = after.attributes[name], before.attributes[name]
            if isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor) and not same_bits(ours, theirs):
                raise Fault(f"{_ids(done)} changes the tensor {name}: a new value takes a new constant")


def shapes_are_those_of_the_calls(rule: Pass, program: Program) -> None:
    """The shape, strides and dtype that each node claims are those that its call gives."""
    record = Record.of(rule, program)
    results = [done.after for done in record.rounds if done.after]
    for after in (*results[:1], *results[1:][-1:]):  # the first and the last
        try:
            anew = Program.build(copy_graph(after.graph), after.attributes, after.interface)
        except Exception as error:
            raise Fault(f"what it leaves is no valid program: {raised(error)}") from error
        for ours, theirs in zip(after.nodes, anew.nodes, strict=True):
            claimed, given = _type(after, ours.meta.get("val")), _type(anew, theirs.meta.get("val"))
            if claimed != given:
                raise Fault(f"{ours.name} claims to be {claimed}, and is {given}")


def outputs_keep_their_types(rule: Pass, program: Program) -> None:
    """Outputs have the shapes and dtypes that they had, as claimed and as computed."""
    record = Record.of(rule, program)
    if not record.rounds:
        return
    before, after = record.program, record.final
    for name, old, new in zip(before.interface.outputs, before.outputs, after.outputs, strict=True):
        wanted, given = (p.shapes.type_text(node.meta["val"]) for p, node in ((before, old), (after, new)))
        if wanted != given:
            raise Fault(f"output {name} was {wanted}, and is {given}")
    inputs = sample_inputs(before)
    for name, ours, theirs in zip(before.interface.outputs, _run(after, inputs), _run(before, inputs), strict=True):
        if _value(ours) != _value(theirs):
            raise Fault(f"output {name} was {_value(theirs)}, and comes out as {_value(ours)}")


def calls_stay_functional(rule: Pass, program: Program) -> None:
    """No call writes into its arguments, which other values may share memory with."""
    for node in Record.of(rule, program).final.calls:
        if getattr(getattr(node.target, "_schema", None), "is_mutable", False):
            raise Fault(f"{node.name} calls {node.target}, which writes into its arguments")


def result_survives_text(rule: Pass, program: Program) -> None:
    """What it leaves prints as `.fx` text that reads back to the same."""
    record = Record.of(rule, program)
    if not record.rounds:
        return
    tensors = {k: v for k, v in record.final.attributes.items() if isinstance(v, torch.Tensor)}
    try:
        text = record.final.text()
        back = Program.parse(text, tensors).text()
    except Exception as error:
        raise Fault(f"what it leaves cannot be stored: {raised(error)}") from error
    if back != text:
        line = next(pair for pair in zip(text.splitlines(), back.splitlines(), strict=False) if pair[0] != pair[1])
        raise Fault(f"what it leaves reads back as another: {line[1]!r}, not {line[0]!r}")


def disjoint_candidates_commute(rule: Pass, program: Program) -> None:
    """Candidates that do not touch each other's nodes give one program in whatever order, together or one by one."""
    record = Record.of(rule, program)
    first = next(iter(record.rounds), None)
    if first is None or first.after is None or len(first.chosen) < 2:
        return
    backwards = transaction(rule, copied(record.program), first.chosen[::-1])
    apart = Round(record.program, [])
    for candidate in first.chosen:
        apart = transaction(rule, apart.after or copied(record.program), [candidate])
        if apart.error:
            break
    for done, how in ((backwards, "in reverse order"), (apart, "one by one")):
        if done.after is None:
            raise Fault(f"applied {how}, {_ids(first)} raised {raised(done.error or RuntimeError())}")
        fault = difference(done.after, first.after)
        if fault:
            raise Fault(f"applied {how}, {_ids(first)} give another program: {fault}")


def stale_sites_raise(rule: Pass, program: Program) -> None:
    """`apply` raises StaleCandidate where the site is gone; where it is another, it may also do what is right there."""
    record = Record.of(rule, program)
    for done in record.alone[:2]:
        if done.after is None:
            continue
        (candidate,) = done.chosen
        again = transaction(rule, copied(done.after), [candidate])
        if not isinstance(again.error, StaleCandidate):
            found = f"raised {raised(again.error)}" if again.error else "did something"
            raise Fault(f"{candidate.id} applied where its site is gone {found}, instead of raising StaleCandidate")
        origin: Oracle = record.program.memo(Oracle, Oracle)
        for twin, what in disturbed(origin.twin, candidate):
            other = transaction(rule, twin, [candidate])
            if other.error is not None and not isinstance(other.error, StaleCandidate):
                raise Fault(f"{candidate.id} applied where {what} raised {raised(other.error)}, not StaleCandidate")
            if other.after is None or candidate.fidelity is not Fidelity.EXACT:
                continue
            inputs = as_inputs(twin, sample_inputs(record.program))
            if worst(_run(other.after, inputs), _run(twin, inputs)) > FLOAT64_BOUND:
                raise Fault(f"{candidate.id} applied where {what} is wrong there: look at the site again in apply")


def fidelity_is_honest(rule: Pass, program: Program) -> None:
    """What is claimed exact is so, in float64 and in its own rounding; what approximates comes near, and stays finite.

    What needs recovery claims nothing of what it gives before that.
    """
    record = Record.of(rule, program)
    rounds = record.rounds
    if record.unchecked is not None:
        raise Fault(f"what {_ids(rounds[-1])} leaves cannot be run: {raised(record.unchecked)}")
    for done in rounds:
        for identity, evidence in done.evidence.items():
            if evidence.fault:
                raise Fault(f"{identity} {evidence.fault}")
    if not rounds or rounds[-1].after is None or _needs_recovery(record):
        return
    if _exact(record):
        whole = check_whole(record.program, record.final, record.twin, SEEDS)
        if whole.fault:
            raise Fault(f"the whole program {whole.fault}")
        return
    for seed in SEEDS:
        inputs = sample_inputs(record.program, seed=seed)
        error = worst(_run(record.final, inputs), _run(record.program, inputs))
        if error == float("inf"):
            raise Fault("outputs have another shape, or are no longer finite where they were")
        if error > APPROXIMATE_BOUND:
            raise Fault(f"outputs are off by {error:.2f} of their largest value: that approximates nothing")


def other_sizes_give_the_same(rule: Pass, program: Program) -> None:
    """At other sizes of dynamic dimensions the rewritten program still computes what the original does."""
    record = Record.of(rule, program)
    if not record.rounds or record.rounds[-1].after is None:
        return
    origin: Oracle = record.program.memo(Oracle, Oracle)
    for sizes in _other_sizes(record.program):
        inputs = sample_inputs(record.program, sizes=sizes, seed=2)
        doubles = as_inputs(origin.twin, inputs)
        expected = _run(origin.twin, doubles)
        where = ", ".join(f"{name}={size}" for name, size in sizes.items())
        try:
            error = worst(_run(record.twin, doubles), expected)
            native = worst(_run(record.final, inputs), _run(record.program, inputs))
        except Exception as problem:
            raise Fault(f"with {where} the result raises {raised(problem)}") from problem
        bound = FLOAT64_BOUND if _exact(record) else APPROXIMATE_BOUND
        if not _needs_recovery(record) and (error > bound or native == float("inf")):
            raise Fault(f"with {where} the result differs from the original by {error:.1e} in float64")


def comes_to_an_end(rule: Pass, program: Program) -> None:
    """Applied again and again, the pass finds nothing more to do."""
    reason = Record.of(rule, program).endless
    if reason:
        raise Fault(f"it comes to no fixpoint: it {reason}")


def a_plan_replays(rule: Pass, program: Program) -> None:
    """The steps, read back from JSON, are offered again on a copy of the program and give the same result."""
    record = Record.of(rule, program)
    if not record.rounds or record.rounds[-1].after is None:
        return
    steps = [Step(item, rule.spec(), index) for index, done in enumerate(record.rounds) for item in done.chosen]
    registry = Registry()
    registry.passes[rule.name] = type(rule)
    try:
        back = [Step.from_json(json.loads(json.dumps(step.to_json()))) for step in steps]
        after, skipped = replay(copied(record.program), back, registry)
    except Exception as error:
        raise Fault(f"replaying the steps raised {raised(error)}") from error
    if skipped:
        raise Fault(f"{skipped[0]} is not offered or not applied again when the steps are replayed")
    fault = difference(after, record.final)
    if fault:
        raise Fault(f"replaying the steps gives another program: {fault}")


ALONE: tuple[Callable[..., None], ...] = (options_round_trip, is_documented, haste_is_its_own, finds_a_site)
CHECKS: tuple[Callable[[Pass, Program], None], ...] = (
    raises_nothing,
    proposing_changes_nothing,
    proposing_is_deterministic,
    candidates_name_what_is_there,
    candidates_survive_json,
    applying_leaves_the_input,
    changes_stay_inside_writes,
    shapes_are_those_of_the_calls,
    outputs_keep_their_types,
    calls_stay_functional,
    result_survives_text,
    disjoint_candidates_commute,
    stale_sites_raise,
    fidelity_is_honest,
    other_sizes_give_the_same,
    comes_to_an_end,
    a_plan_replays,
)


def _transactions(record: Record) -> list[Round]:
    return [*record.alone, *record.rounds]


def _ids(done: Round) -> str:
    names = [item.id for item in done.chosen]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _exact(record: Record) -> bool:
    return all(item.fidelity is Fidelity.EXACT for done in record.rounds for item in done.chosen)


def _needs_recovery(record: Record) -> bool:
    return any(item.fidelity is Fidelity.NEEDS_RECOVERY for done in record.rounds for item in done.chosen)


def _run(program: Program, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs; inputs are copied, in case a call writes into them."""
    return program.run([value.clone() for value in inputs])


def _value(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _type(program: Program, value: Any) -> str:
    """Shape and dtype, with strides."""
    if isinstance(value, torch.Tensor):
        strides = ", ".join(program.shapes.size_text(step) for step in value.stride())
        return f"{program.shapes.type_text(value)} with strides ({strides})"
    if isinstance(value, (tuple, list)):
        return "(" + ", ".join(_type(program, item) for item in value) + ")"
    return program.shapes.type_text(value)


def _other_sizes(program: Program) -> Iterator[dict[str, int]]:
    """Sizes of the dynamic dimensions: the least, and some small ones that differ from each other."""
    dims = program.interface.dims
    given = [{dim.name: dim.min for dim in dims}]
    given += [{dim.name: dim.min + more + index for index, dim in enumerate(dims)} for more in (2, 4)]
    for sizes in given if dims else []:
        if all(dim.max is None or sizes[dim.name] <= dim.max for dim in dims):
            yield sizes


def _apart(found: Candidate | Step, expected: Candidate | Step) -> str:
    """The first field in which two candidates or steps differ."""
    for item in dataclasses.fields(expected):
        ours, theirs = getattr(found, item.name), getattr(expected, item.name)
        if isinstance(theirs, Candidate) and ours != theirs:
            return _apart(ours, theirs)
        if ours != theirs:
            return f"{item.name} is {ours!r}, not {theirs!r}"
    return "its id is another"
