"""Searching and replaying: what needs what, vetoes, listeners, and passes that misbehave."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import fxopt
from fxopt.compiler.context import Context
from fxopt.compiler.search import MAX_ROUNDS, Search, choose, search
from fxopt.compiler.steps import closure, replay
from fxopt.contracts.candidate import Candidate, Fidelity, Stage, Step
from fxopt.contracts.passes import Pass, View
from fxopt.ir.capture import capture, export
from fxopt.ir.edit import Edit
from fxopt.ir.program import Program
from fxopt.registry import Registry

aten = torch.ops.aten


@dataclass(frozen=True)
class Swap(Pass):
    """Replaces each call of one operator by another."""

    old: ClassVar[Any]
    new: ClassVar[tuple[Any, ...]]

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for node in program.calls:
            if node.target is self.old:
                yield Candidate(self.name, (node.name,), frozenset({node.name}))

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        target, *args = self.new
        edit.replace(node, edit.call(target, (node.args[0], *args)))


class ToClamp(Swap):
    name = "to_clamp"
    old, new = aten.relu.default, (aten.clamp_min.default, 0.0)


class ToThreshold(Swap):
    """Finds only what `to_clamp` has made."""

    name = "to_threshold"
    old, new = aten.clamp_min.default, (aten.threshold.default, 0.0, 0.0)


class Loops(Swap):
    """Finds its own work again, for ever."""

    name = "loops"
    stage = Stage.CLEAN
    old, new = aten.relu.default, (aten.relu.default,)


class Lies(Swap):
    name = "lies"
    stage = Stage.CLEAN
    old, new = aten.relu.default, (aten.clamp_min.default, 0.1)


class RaisesInPropose(Swap):
    name = "raises"
    stage = Stage.CLEAN
    old, new = aten.relu.default, (aten.relu.default,)

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        yield from super().propose(program, view)
        raise ZeroDivisionError("by design")


class RaisesInApply(RaisesInPropose):
    propose = Swap.propose

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        super().apply(edit, candidate)
        raise ZeroDivisionError("by design")


class RaisesWithoutAMessage(RaisesInApply):
    def apply(self, edit: Edit, candidate: Candidate) -> None:
        raise AssertionError


class LeavesItsFootprint(RaisesInApply):
    def apply(self, edit: Edit, candidate: Candidate) -> None:
        node = edit.node(candidate.site[0])
        edit.replace(node.args[0], edit.call(aten.neg.default, (node.args[0],)))


class MakesACycle(RaisesInApply):
    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        edit.replace(node, edit.call(aten.relu.default, (next(iter(node.users)),)))


def program() -> Program:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    return capture(export(model, (10 * torch.randn(3, 4),)))


def registry(*passes: type[Pass], **hooks: Any) -> Registry:
    """A registry of these passes; `hooks` are implementations by name."""
    found = Registry()
    plugin = type("Plugin", (), {name: staticmethod(fxopt.hookimpl(hook)) for name, hook in hooks.items()})()
    plugin.fxopt_passes = lambda: list(passes)
    found.register(plugin, "test", "test-distribution")
    return found


def searched(*passes: type[Pass], **hooks: Any) -> tuple[Search, Registry]:
    plugins = registry(*passes, **hooks)
    return search(program(), plugins.make_passes(None), plugins), plugins


def operators(program: Program) -> list[str]:
    return [str(node.target).split(".")[1] for node in program.calls]


# -- what needs what ---------------------------------------------------------------------------------------------


def test_a_step_needs_the_step_whose_work_it_changes_and_no_other() -> None:
    found, _ = searched(ToThreshold, ToClamp)
    assert operators(found.program) == ["linear", "threshold", "linear", "threshold", "linear"]
    clamps, thresholds = found.steps[:2], found.steps[2:]
    assert [step.needs for step in clamps] == [(), ()]
    assert [step.needs for step in thresholds] == [(clamp.id,) for clamp in clamps]


def test_wanting_a_step_brings_what_it_needs_in_order() -> None:
    found, _ = searched(ToThreshold, ToClamp)
    last = found.steps[-1]
    assert [step.id for step in closure(found.steps, [last.id])] == [*last.needs, last.id]


def test_replaying_all_steps_gives_the_searched_program() -> None:
    found, plugins = searched(ToThreshold, ToClamp)
    again, skipped = replay(found.source, found.steps, plugins)
    assert (again.digest, skipped) == (found.program.digest, [])


def test_steps_read_back_from_json_replay_to_the_same_program() -> None:
    found, plugins = searched(ToThreshold, ToClamp)
    steps = [Step.from_json(step.to_json()) for step in found.steps]
    assert replay(found.source, steps, plugins)[0].digest == found.program.digest


def test_leaving_a_step_out_leaves_out_those_that_need_it() -> None:
    found, plugins = searched(ToThreshold, ToClamp)
    missing = found.steps[0]
    rest = [step for step in found.steps if step is not missing]
    again, skipped = replay(found.source, rest, plugins)
    assert skipped == [step.id for step in found.steps if missing.id in step.needs]
    assert operators(again) == ["linear", "relu", "linear", "threshold", "linear"]


def test_what_a_step_makes_has_the_same_name_whatever_else_is_left_out() -> None:
    found, plugins = searched(ToThreshold, ToClamp)
    part, _ = replay(found.source, closure(found.steps, [found.steps[-1].id]), plugins)
    assert {node.name for node in part.calls if "threshold" in str(node.target)} <= {
        node.name for node in found.program.calls
    }


def test_a_pass_whose_propose_raises_in_a_replay_costs_its_steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found, plugins = searched(ToThreshold, ToClamp)
    monkeypatch.setattr(ToClamp, "propose", lambda self, program, view: 1 / 0)
    again, skipped = replay(found.source, found.steps, plugins)
    assert operators(again) == operators(found.source)
    assert set(skipped) == {step.id for step in found.steps}


def test_a_step_whose_apply_raises_in_a_replay_costs_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    found, plugins = searched(ToThreshold, ToClamp)
    first, second, *thresholds = found.steps
    apply = ToClamp.apply

    def fails_once(self: ToClamp, edit: Edit, candidate: Candidate) -> None:
        if candidate.id == first.id:
            raise ZeroDivisionError("by design")
        apply(self, edit, candidate)

    monkeypatch.setattr(ToClamp, "apply", fails_once)
    again, skipped = replay(found.source, found.steps, plugins)
    assert operators(again) == ["linear", "relu", "linear", "threshold", "linear"]
    assert set(skipped) == {first.id, *(step.id for step in thresholds if first.id in step.needs)}
    assert second.id not in skipped


class Approximate(Swap):
    name = "approximate"
    stage = Stage.CLEAN
    old, new = aten.relu.default, (aten.clamp_min.default, 0.1)

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        for candidate in super().propose(program, view):
            yield dataclasses.replace(candidate, fidelity=Fidelity.APPROXIMATE)


def test_what_is_not_exact_is_refused_where_no_drop_is_allowed() -> None:
    plugins = registry(Approximate)
    found = search(program(), plugins.make_passes(None), plugins, Context(lossy=False))
    assert found.steps == []
    assert {refusal.reason for refusal in found.refusals} == {
        "it is approximate, and no drop of quality is allowed: see --max-drop"
    }
    assert len(search(program(), plugins.make_passes(None), plugins).steps) == 2


class Fails(Swap):
    """What it makes has the right shape and fails when it is run, but for the first relu."""

    name = "fails"
    stage = Stage.CLEAN
    old = aten.relu.default

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        if node.name == "relu":
            edit.replace(node, edit.call(aten.clamp_min.default, (node.args[0], 0.0)))
        else:
            index = edit.constant(torch.tensor([7]), "index")
            row = edit.call(aten.index_select.default, (node.args[0], 0, index))
            edit.replace(node, edit.call(aten.add.Tensor, (node.args[0], edit.call(aten.mul.Tensor, (row, 0)))))


def test_a_rewrite_that_cannot_be_run_is_refused_and_the_others_of_its_round_stay() -> None:
    found, _ = searched(Fails)
    assert len(found.steps) == 1
    (refusal,) = found.refusals
    assert "cannot be checked: it raised IndexError" in refusal.reason or "out of range" in refusal.reason


def test_every_step_carries_its_evidence() -> None:
    found, _ = searched(ToThreshold, ToClamp)
    assert [found.evidence[step.id].fault for step in found.steps] == [None] * 4


# -- one round ---------------------------------------------------------------------------------------------------


def candidate(site: str, writes: str = "", reads: str = "", choice: str | None = None) -> Candidate:
    return Candidate("rule", (site,), frozenset(writes or site), frozenset(reads), choice=choice)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        (candidate("a"), candidate("b"), True),
        (candidate("a", writes="ac"), candidate("b", writes="bc"), False),
        (candidate("a", reads="b"), candidate("b"), False),
        (candidate("a"), candidate("b", reads="a"), False),
        (candidate("a", reads="c"), candidate("b", reads="c"), True),
        (candidate("a", choice="x"), candidate("b", choice="x"), False),
        (candidate("a", choice="x"), candidate("b", choice="y"), True),
    ],
)
def test_a_round_holds_only_what_does_not_conflict(first: Candidate, second: Candidate, together: bool) -> None:
    assert choose([first, second]) == ([first, second] if together else [first])


# -- hooks -------------------------------------------------------------------------------------------------------


def test_a_veto_ends_in_refused_with_its_reason() -> None:
    first = next(node.name for node in program().calls if node.target is aten.relu.default)

    def veto(program: Program, candidate: Candidate) -> str | None:
        return "the customer likes this node" if candidate.site[0] == first else None

    found, _ = searched(ToClamp, fxopt_veto=veto)
    assert [(r.candidate.site[0], r.reason) for r in found.refusals] == [
        (first, "vetoed: the customer likes this node")
    ]
    assert operators(found.program) == ["linear", "relu", "linear", "clamp_min", "linear"]


def test_listeners_are_told_of_every_step() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    found, _ = searched(ToThreshold, ToClamp, fxopt_event=lambda kind, data: told.append((kind, data)))
    assert [data["id"] for kind, data in told if kind == "candidate"] == [step.id for step in found.steps]


# -- passes that misbehave ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [RaisesInPropose, RaisesInApply, RaisesWithoutAMessage, LeavesItsFootprint])
def test_a_pass_that_raises_costs_only_its_own_rewrites_and_is_blamed(rule: type[Pass]) -> None:
    found, _ = searched(rule, ToClamp)
    assert {step.candidate.rule for step in found.steps} == {"to_clamp"}
    assert "clamp_min" in operators(found.program)
    assert found.faults["raises"].startswith("test-distribution: raises ")
    assert "\n" not in found.faults["raises"]


def test_a_rewrite_that_makes_a_cycle_is_refused() -> None:
    found, _ = searched(MakesACycle, ToClamp)
    assert {step.candidate.rule for step in found.steps} == {"to_clamp"}
    assert all("cycle" in refusal.reason for refusal in found.refusals)
    assert found.refusals


def test_a_rewrite_that_is_not_exact_is_refused_with_the_error_found() -> None:
    found, _ = searched(Lies, ToClamp)
    assert {step.candidate.rule for step in found.steps} == {"to_clamp"}
    reasons = [refusal.reason for refusal in found.refusals if refusal.candidate.rule == "lies"]
    assert reasons
    assert all("in float64" in reason for reason in reasons)


def test_a_pass_without_end_is_stopped_and_blamed() -> None:
    found, _ = searched(Loops, ToClamp)
    assert len(found.steps) <= 2 * MAX_ROUNDS + 2
    assert "clamp_min" in operators(found.program)
    assert "does not come to an end" in found.faults["loops"]


def test_a_long_chain_is_folded_to_its_end_one_by_one() -> None:
    @dataclass(frozen=True)
    class FirstOfTwo(Swap):
        """Takes one of the first two relus in a row away."""

        name = "first_of_two"

        def propose(self, program: Program, view: View) -> Iterator[Candidate]:
            pairs = [node for node in program.calls if node.target is node.args[0].target is aten.relu.default]
            for node in pairs[:1]:
                yield Candidate(self.name, (node.name,), frozenset({node.name}), frozenset({node.args[0].name}))

        def apply(self, edit: Edit, candidate: Candidate) -> None:
            (node,) = edit.nodes(candidate)
            edit.replace(node, node.args[0])

    plugins = registry(FirstOfTwo)
    chain = capture(export(nn.Sequential(*(nn.ReLU() for _ in range(MAX_ROUNDS + 10))), (torch.randn(3, 4),)))
    found = search(chain, plugins.make_passes(None), plugins)
    assert found.faults == {}
    assert operators(found.program) == ["relu"]


def test_all_candidates_of_a_round_that_fail_are_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(Program, "edit", lambda self, *a, edit=Program.edit: started.append(self) or edit(self, *a))
    found, _ = searched(RaisesInApply)
    assert len(found.refusals) == 2
    assert len(started) == 1


def test_an_approximate_rewrite_is_not_admitted_as_exact() -> None:
    @dataclass(frozen=True)
    class Approximate(Lies):
        def propose(self, program: Program, view: View) -> Iterator[Candidate]:
            for found in super().propose(program, view):
                yield Candidate(found.rule, found.site, found.writes, fidelity=Fidelity.APPROXIMATE)

    found, _ = searched(Approximate)
    assert found.steps
    assert all(not found.evidence[step.id].exact and found.evidence[step.id].float64_error > 0 for step in found.steps)


class Widens(ToClamp):
    """Is right, and in double precision."""

    name = "widens"

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        (node,) = edit.nodes(candidate)
        clamp = edit.call(aten.clamp_min.default, (node.args[0], 0.0))
        wide = torch.float64 if node.meta["val"].dtype is torch.float32 else torch.float32
        edit.replace(node, edit.call(aten.to.dtype, (clamp, wide)))


def test_a_rewrite_that_changes_the_type_of_an_output_is_refused() -> None:
    plugins = registry(Widens)
    given = capture(export(nn.ReLU(), (torch.randn(2, 3),)))
    found = search(given, plugins.make_passes(None), plugins)
    (refusal,) = found.refusals
    assert "output 0 was float32[2, 3], and becomes float64[2, 3]" in refusal.reason
    assert found.program.digest == given.digest


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rule": "fold_batch_norm"}, "its rule is 'fold_batch_norm'"),
        ({"site": ()}, "names of nodes"),
        ({"site": (5,)}, "names of nodes"),
        ({"site": ["relu"]}, "its site is no tuple"),
        ({"writes": {"relu"}}, "no frozenset"),
        ({"choice": ["a"]}, "its choice"),
        ({"fidelity": "exact"}, "its fidelity"),
        ({"parameters": {"node": object()}}, "no JSON values"),
    ],
)
def test_what_is_no_candidate_is_the_fault_of_the_pass(changes: dict[str, Any], says: str) -> None:
    class Odd(ToClamp):
        name = "odd"

        def propose(self, program: Program, view: View) -> Iterator[Candidate]:
            for candidate in super().propose(program, view):
                yield dataclasses.replace(candidate, **changes)

    found, _ = searched(Odd, ToClamp)
    assert "propose offers what is no candidate" in found.faults["odd"]
    assert says in found.faults["odd"]
    assert {step.candidate.rule for step in found.steps} == {"to_clamp"}


def test_a_pass_that_fails_only_in_a_replay_is_known_there() -> None:
    tired = []

    class Tires(ToClamp):
        name = "tires"

        def propose(self, program: Program, view: View) -> Iterator[Candidate]:
            if tired:
                raise ZeroDivisionError("by design")
            yield from super().propose(program, view)

    found, plugins = searched(Tires)
    assert found.steps
    assert not found.faults
    tired.append(True)
    context = Context()
    unchanged, skipped = replay(found.source, found.steps, plugins, context)
    assert unchanged.digest == found.source.digest
    assert skipped == [step.id for step in found.steps]
    fault, call = context.failed["tires"]
    assert "propose raised ZeroDivisionError: by design (test_rewrite.py:" in fault
    assert call.program is found.source
