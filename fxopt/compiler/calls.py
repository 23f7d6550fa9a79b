"""One call of a pass, and what comes of it. Whatever a pass raises becomes a `PassFault`, or a candidate that failed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fxopt.contracts.candidate import Candidate, Fidelity
from fxopt.errors import DataError, PassFault, StaleCandidate
from fxopt.ir.shapes import same_kind
from fxopt.user_code import one_line, raised

if TYPE_CHECKING:
    import torch

    from fxopt.contracts.passes import Decline, Pass, View
    from fxopt.contracts.quantization import QuantScheme
    from fxopt.ir.edit import Edit, Record
    from fxopt.ir.program import Program


@dataclass(frozen=True)
class Call:
    """What is needed to make a call again: `propose` on a Program, or `apply` of candidates where there are any.

    Attributes:
        spec: the pass with its options.
        program: what it was called on.
        candidates: what was applied, with what was fitted for them.
        scheme: how the engine wanted its integers, as the pass was told.
        fitted: what `propose` was told was fitted before, as in `Candidate.tensors`.
    """

    spec: str
    program: Program
    candidates: tuple[Candidate, ...] = ()
    scheme: QuantScheme | None = None
    fitted: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposal:
    """What a pass had to say about a Program, and whether it has asked for calibration data."""

    candidates: list[Candidate]
    declines: list[Decline]
    asked: bool = False


@dataclass(frozen=True)
class Round:
    """What came of applying candidates in one transaction.

    Attributes:
        program: the outcome; None if a candidate failed.
        records: what each candidate did.
        failed: why, by candidate id.
        raised: ids of those that failed because the pass raised what it should not.
        error: what it raised last, where it ran in this process.
    """

    program: Program | None = None
    records: list[Record] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    raised: frozenset[str] = frozenset()
    error: BaseException | None = None


def propose(rule: Pass, program: Program, view: View) -> Proposal:
    """Ask a pass for its candidates.

    Raises:
        PassFault: it raised.
        DataError: it asked for statistics, and the program fails on the calibration data.
    """
    try:
        candidates = list(rule.propose(program, view))
    except DataError:
        raise
    except (Exception, SystemExit) as error:
        raise PassFault(f"propose raised {raised(error)}") from error
    for candidate in candidates:
        if fault := _malformed(rule, candidate):
            raise PassFault(f"propose offers what is no candidate: {fault}")
    return Proposal(candidates, view.declines, view.asked)


def _malformed(rule: Pass, candidate: Any) -> str | None:
    """What is wrong with the form of what a pass offers as a candidate."""
    if not isinstance(candidate, Candidate):
        return one_line(repr(candidate))
    if candidate.rule != rule.name:
        return f"its rule is {candidate.rule!r}"
    groups: tuple[Any, ...] = (candidate.site, candidate.reads, candidate.writes)
    kinds = (tuple, frozenset, frozenset)
    if not all(isinstance(group, kind) for group, kind in zip(groups, kinds, strict=True)):
        return "its site is no tuple, or its reads or writes no frozenset"
    if not candidate.site or not all(isinstance(name, str) for group in groups for name in group):
        return f"its site {one_line(repr(candidate.site))}, reads and writes have to be names of nodes"
    if not isinstance(candidate.fidelity, Fidelity) or type(candidate.choice) not in (str, type(None)):
        return f"its fidelity is {candidate.fidelity!r} and its choice {one_line(repr(candidate.choice))}"
    try:
        json.dumps(dict(candidate.parameters))
    except (TypeError, ValueError) as error:
        return f"its parameters are no JSON values: {error}"
    return None


def apply(
    rule: Pass,
    program: Program,
    candidates: Sequence[Candidate],
    fitted: Mapping[str, torch.Tensor],
    tell: Callable[[str], None] = lambda identity: None,
) -> Round:
    """Apply candidates in one transaction; none reads what another writes, so that all that fail are found at once.

    Args:
        rule: the pass.
        program: what to rewrite.
        candidates: of that pass.
        fitted: as in `Edit`.
        tell: told the id of each candidate before it is applied.
    """
    edit = program.edit(fitted)
    failed: dict[str, str] = {}
    faulty, last = set(), None
    for candidate in candidates:
        tell(candidate.id)
        try:
            with edit.step(candidate):
                rule.apply(edit, candidate)
        except StaleCandidate as error:
            failed[candidate.id] = f"its site is gone: {error}"
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a pass may raise anything; it loses its rewrite, not the run
            failed[candidate.id] = f"apply raised {raised(error)}"
            faulty.add(candidate.id)
            last = error
    if failed:
        return Round(failed=failed, raised=frozenset(faulty), error=last)
    return _finish(rule, edit, candidates, fitted)


def _finish(rule: Pass, edit: Edit, candidates: Sequence[Candidate], fitted: Mapping[str, torch.Tensor]) -> Round:
    try:
        with edit:
            pass
    except Exception as error:  # noqa: BLE001 - a rewrite that leaves no sound graph
        if len(candidates) == 1:
            return Round(failed={candidates[0].id: f"leaves no sound graph: {raised(error)}"})
        failed: dict[str, str] = {}
        for candidate in candidates:  # find out which ones it is, each alone
            failed |= apply(rule, edit.before, [candidate], fitted).failed
        if not failed:
            failed = {item.id: "leaves no sound graph together with others" for item in candidates[1:]}
        return Round(failed=failed)
    if (changed := _changed_output(edit.before, edit.program)) is not None:
        if len(candidates) == 1:
            return Round(failed={candidates[0].id: changed})
        each = [apply(rule, edit.before, [candidate], fitted) for candidate in candidates]
        failed = {key: reason for single in each for key, reason in single.failed.items()}
        return Round(failed=failed or dict.fromkeys((item.id for item in candidates), changed))
    return Round(edit.program, edit.records)


def _changed_output(before: Program, after: Program) -> str | None:
    """Which output is no longer of the type that the model promises, and how."""
    for index, (old, new) in enumerate(zip(before.outputs, after.outputs, strict=True)):
        was, now = old.meta["val"], new.meta["val"]
        if not same_kind(was, now):
            return f"output {index} was {before.shapes.type_text(was)}, and becomes {after.shapes.type_text(now)}"
    return None
