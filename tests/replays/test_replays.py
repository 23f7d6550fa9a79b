"""Plans that are kept lead where they led, the search finds them still, and the changelog says why they last changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fxopt.compiler.search import before_precision
from fxopt.compiler.steps import replay
from fxopt.contracts.candidate import Step
from fxopt.ir.text import to_text
from tests.replays import update
from tests.replays.models import MODELS
from tests.replays.replays import (
    EXACT,
    FOLDER,
    UPDATE,
    Kept,
    built_ins,
    difference,
    explained,
    explanations,
    program,
    written,
)

each_model = pytest.mark.parametrize("model", MODELS)


def fail_if_changed(model: str, what: str, lines: str) -> None:
    if lines:
        pytest.fail(
            f"{what} of {model} changed. If that is meant, say why in a fragment of changelog.d/, in a line "
            f"`- Plans change: {model}: why`, then run {UPDATE}\n{lines}",
            pytrace=False,
        )


@each_model
def test_the_steps_of_a_plan_lead_to_the_program_that_is_kept(model: str) -> None:
    kept = Kept.read(FOLDER / model)
    found = kept.follow()
    refused = "\n".join(f"{refusal.candidate.id}: {refusal.reason}" for refusal in found.refusals)
    fail_if_changed(model, "what becomes of the steps", refused)
    fail_if_changed(model, "the program after the steps", difference(kept.after, to_text(found.program, digests=False)))
    unchecked, skipped = replay(found.source, found.steps, built_ins(), EXACT)
    assert (to_text(unchecked), skipped) == (to_text(found.program), [])


@each_model
def test_the_search_finds_the_plan_that_is_kept(model: str) -> None:
    kept = Kept.read(FOLDER / model)
    found = Kept.search(kept.before)
    fail_if_changed(model, "the steps that the search finds", difference(kept.steps, found.steps))
    fail_if_changed(model, "the program that the search finds", difference(kept.after, found.after))


@each_model
def test_the_changelog_says_why_the_plan_is_what_it_is(model: str) -> None:
    kept = Kept.read(FOLDER / model)
    assert explained(model, kept.digest, explanations()), (
        f"no line `Plans change: {model}: why <!-- {kept.digest} -->` in changelog.d/ or CHANGELOG.md: do not edit the"
        f" files of a plan, but run {UPDATE}; a release moves these lines to CHANGELOG.md as they are"
    )


@each_model
def test_a_kept_graph_reads_back_as_it_was_written(model: str) -> None:
    text = Kept.read(FOLDER / model).before
    assert to_text(program(text), digests=False) == text


def test_every_folder_is_of_a_model() -> None:
    assert {path.name for path in FOLDER.iterdir() if (path / "before.fx").exists()} == set(MODELS)


def test_the_plans_of_all_models_together_use_most_built_in_passes() -> None:
    lines = [line for model in MODELS for line in Kept.read(FOLDER / model).steps.splitlines()]
    used = {json.loads(line)["candidate"]["rule"] for line in lines}
    assert len(used) > len(before_precision(built_ins().make_passes(None))) * 2 / 3


def test_a_line_of_the_changelog_explains_one_state_of_one_model() -> None:
    line = "- Plans change: net: padding is folded. <!-- 0123456789ab -->"
    assert explained("net", "0123456789ab", line)
    assert not explained("net", "0123456789ac", line)
    assert not explained("other", "0123456789ab", line)
    assert not explained("net", "0123456789ab", "- Plans change: net: <!-- 0123456789ab -->")


# -- the command that updates them -----------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one kept plan, `branches`, that lacks its last step."""
    monkeypatch.setattr(update, "MODELS", {"branches": MODELS["branches"]})
    (tmp_path / "changelog.d").mkdir()
    (tmp_path / "CHANGELOG.md").touch()
    shutil.copytree(FOLDER / "branches", tmp_path / "branches")
    steps = tmp_path / "branches" / "steps.json"
    steps.write_text("".join(steps.read_text().splitlines(keepends=True)[:-1]))
    return tmp_path


def run(root: Path, *arguments: str) -> int:
    try:
        return update.main(arguments, root, root)
    except SystemExit as stop:
        return int(str(stop.code))


@pytest.mark.parametrize(
    ("fragment", "says"),
    [
        (None, "--because"),
        ("- something else\n", "needs a new line `- Plans change: branches: why`"),
        ("- Plans change: branches:\n", "needs a new line"),
        ("- Plans change: branches: of old. <!-- 0123456789ab -->\n", "needs a new line"),
    ],
    ids=["no fragment", "another subject", "no reason", "the reason of another change"],
)
def test_the_update_refuses_what_no_new_line_explains(
    root: Path, capsys: pytest.CaptureFixture[str], fragment: str | None, says: str
) -> None:
    before = Kept.read(root / "branches")
    file = root / "changelog.d" / "why.md"
    if fragment is not None:
        file.write_text(fragment)
    assert run(root, *(["--because", str(file)] if fragment is not None else [])) == 2
    assert says in capsys.readouterr().err
    assert Kept.read(root / "branches") == before
    assert fragment is None or file.read_text() == fragment


def test_the_update_takes_no_file_outside_the_changelog(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "why.md").write_text("- Plans change: branches: a reason.\n")
    assert run(root, "--because", str(root / "why.md")) == 2
    assert "no fragment in changelog.d/" in capsys.readouterr().err


def test_the_update_marks_the_line_that_explains_it(root: Path) -> None:
    old = "- Plans change: branches: of old. <!-- 0123456789ab -->\n"
    file = root / "changelog.d" / "why.md"
    file.write_text(old + "- Plans change: branches: a reason.\n- Plans change: other: why.\n")
    assert not explained("branches", Kept.read(root / "branches").digest, explanations(root))
    assert run(root, "--because", str(file)) == 0
    kept = Kept.read(root / "branches")
    assert kept == Kept.read(FOLDER / "branches")
    assert file.read_text() == (
        f"{old}- Plans change: branches: a reason. <!-- {kept.digest} -->\n- Plans change: other: why.\n"
    )
    assert explained("branches", kept.digest, explanations(root))
    assert run(root, "--because", str(file)) == 0, "nothing is left to explain"


def test_a_difference_is_shown_as_lines() -> None:
    found = difference("a\nb\nc\n", "a\nB\nc\n").splitlines()
    assert found[:2] == ["--- committed", "+++ found"]
    assert "-b" in found and "+B" in found
    assert difference("a\n", "a\n") == ""
    assert difference("", "x\n" * 500).endswith("lines more)")


def test_a_step_is_kept_without_digests_of_tensors() -> None:
    step = Kept.read(FOLDER / "branches").follow().steps[0]
    assert step.tensors
    kept = Step.from_json(json.loads(written([step])))
    assert (kept.candidate, kept.spec, kept.round, kept.needs) == (step.candidate, step.spec, step.round, step.needs)
    assert not kept.tensors
