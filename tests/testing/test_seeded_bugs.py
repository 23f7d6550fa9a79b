"""Each seeded bug is caught, and by the check that should catch it; the passes without a bug pass all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fxopt.testing import options, passes, zoo
from fxopt.testing.passes import pass_checks
from fxopt.testing.specimen import Specimen
from tests.testing import seeded

# bug, the check that catches it, where, and what it says
BUGS = [
    (seeded.ForgetsEps(), passes.fidelity_is_honest, zoo.residual, "in float64"),
    (seeded.ClaimsToBeExact(), passes.fidelity_is_honest, zoo.residual, "in float64"),
    (seeded.WrongInFloat32Only(), passes.fidelity_is_honest, zoo.residual, "rounding error"),
    (seeded.ApproximatesByNaN(), passes.fidelity_is_honest, zoo.residual, "no longer finite"),
    (seeded.ApproximatesByNothing(), passes.fidelity_is_honest, zoo.residual, "approximates nothing"),
    (seeded.ApproximatesWhereMeasured(), passes.other_sizes_give_the_same, zoo.dynamic_batch, "with N="),
    (seeded.IgnoresSharedWeights(), passes.fidelity_is_honest, zoo.shared_weights, "in float64"),
    (seeded.TakesOneBranch(), passes.fidelity_is_honest, zoo.nested_graph, "in float64"),
    (seeded.WrongAtBatch3(), passes.other_sizes_give_the_same, zoo.dynamic_batch, "with N="),
    (seeded.FixesADynamicSize(), passes.applying_leaves_the_input, zoo.dynamic_batch, r"was float32\[N.* is float32\[2"),
    (seeded.ChangesTheDtype(), passes.outputs_keep_their_types, zoo.unused_input, "was float32.* is float64"),
    (seeded.WritesIntoAView(), passes.calls_stay_functional, zoo.residual, "writes into its arguments"),
    (seeded.ClaimsAnotherShape(), passes.shapes_are_those_of_the_calls, zoo.unused_input, "claims to be"),
    (seeded.CallsAPythonFunction(), passes.result_survives_text, zoo.residual, "cannot be stored"),
    (seeded.WritesOutsideItsFootprint(), passes.changes_stay_inside_writes, zoo.residual, "changes .*, which is not among"),
    (seeded.LetsDieWhatItDoesNotWrite(), passes.changes_stay_inside_writes, zoo.residual, "makes conv2d.* dead"),
    (seeded.ReplacesWhatItDoesNotWrite(), passes.raises_nothing, zoo.residual, "not among its writes"),
    (seeded.WritesIntoAWeight(), passes.applying_leaves_the_input, zoo.residual, "has other values"),
    (seeded.WritesIntoANestedGraph(), passes.applying_leaves_the_input, zoo.nested_graph, "nested graph"),
    (seeded.MarksWhatItHasSeen(), passes.proposing_changes_nothing, zoo.residual, "meta data"),
    (seeded.TriesInPropose(), passes.proposing_changes_nothing, zoo.residual, "has other values"),
    (seeded.DoesNotLookAgain(), passes.stale_sites_raise, zoo.residual, "is wrong there"),
    (seeded.RemembersTheWeights(), passes.stale_sites_raise, zoo.residual, "the weights are others is wrong there"),
    (seeded.RaisesAnythingWhereStale(), passes.stale_sites_raise, zoo.residual, "raised KeyError"),
    (seeded.DependsOnTheOrder(), passes.disjoint_candidates_commute, zoo.residual, "another program"),
    (seeded.FindsItsOwnWork(), passes.comes_to_an_end, zoo.residual, "leave the graph no smaller"),
    (seeded.DoesNothing(), passes.comes_to_an_end, zoo.residual, "again after it was applied"),
    (seeded.HidesAnOption.limited(), passes.a_plan_replays, zoo.residual, "another program"),
    (seeded.RaisesInPropose(), passes.raises_nothing, zoo.scalars, "propose raised IndexError"),
    (seeded.RaisesInApply(), passes.raises_nothing, zoo.residual, "NotImplementedError: not for this site"),
    (seeded.NeverEndsItsPropose(), passes.raises_nothing, zoo.residual, "does not end"),
    (seeded.CountsItsCandidates(), passes.proposing_is_deterministic, zoo.residual, "other candidates"),
    (seeded.ProposesATuple(), passes.candidates_survive_json, zoo.residual, "parameters is"),
    (seeded.SaysTheSameTwice(), passes.candidates_name_what_is_there, zoo.residual, "two candidates have the id"),
    (seeded.NamesNoNode(), passes.candidates_name_what_is_there, zoo.residual, "no node"),
    (seeded.SaysNothingOfNearMisses(), passes.declines_a_near_miss, zoo.matched_value_is_an_output, "there is none"),
    (seeded.HasAListOption(), options.options_round_trip, None, "'axes' is of type"),
    (seeded.HastensByAnothersOption(), passes.haste_is_its_own, None, "cannot be made: .*'observer'"),
    (seeded.HasNoHelp(), options.is_documented, None, "'low' has no help"),
    (seeded.HasNoDocstring(), options.is_documented, None, "has no docstring"),
]  # fmt: skip


@pytest.mark.parametrize(("bug", "check", "where", "words"), BUGS, ids=[type(bug).__name__ for bug, *_ in BUGS])
def test_a_seeded_bug_is_caught(bug: seeded.Pass, check: Callable, where: Specimen | None, words: str) -> None:
    arguments = [bug, where()] if where else [bug]
    if check is passes.declines_a_near_miss:
        arguments.append("2 users")
    with pytest.raises(AssertionError, match=words):
        check(*arguments)


def test_every_check_catches_a_bug() -> None:
    caught = {check for _, check, _, _ in BUGS}
    alone = {passes.declines_a_near_miss, passes.haste_is_its_own, options.options_round_trip, options.is_documented}
    assert caught == {*passes.CHECKS, *alone}


def test_a_bug_harms_no_one_else() -> None:
    program = zoo.residual()
    digest = program.digest
    for rule in (seeded.WritesIntoAWeight(), seeded.TriesInPropose(), seeded.MarksWhatItHasSeen()):
        for check in passes.CHECKS:
            try:
                check(rule, program)
            except AssertionError:
                continue
    assert zoo.Program.parse(program.text(), dict(program.attributes)).digest == digest


@pytest.mark.parametrize(
    "check",
    [
        *pass_checks(seeded.Clamp()),
        *pass_checks(
            seeded.FoldNorm(), near_misses={"an output": (zoo.matched_value_is_an_output, "conv2d has 2 users")}
        ),
    ],
)
def test_a_correct_pass(check: Callable[[], None]) -> None:
    check()
