"""Snapshots of rewrites: compared up to names, and never written where a side computes something else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fxopt.errors import InputError
from fxopt.ir.text import to_text
from fxopt.registry import Registry
from fxopt.testing import zoo
from fxopt.testing.plugin import UPDATE
from fxopt.testing.snapshots import Snapshot, check_snapshot
from tests.testing import seeded
from tests.testing.test_built_in_passes import SUBJECTS

FOLDER = Path(__file__).parents[1] / "snapshots"
WRONG = [
    (seeded.ForgetsEps, zoo.residual, "in float64"),
    (seeded.ClaimsToBeExact, zoo.residual, "in float64"),
    (seeded.WrongInFloat32Only, zoo.residual, "rounding error"),
    (seeded.WrongAtBatch3, zoo.dynamic_batch, "the whole program differs from the original"),
    (seeded.TakesOneBranch, zoo.nested_graph, "in float64"),
    (seeded.RaisesInApply, zoo.residual, "NotImplementedError"),
]


def snapshot(folder: Path, rule: type[seeded.Pass], program: seeded.Program, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with nothing but the pass and the program before it; the pass is the only one that is registered."""
    registry = Registry()
    registry.passes[rule.name] = rule
    monkeypatch.setattr(Registry, "load", lambda *_: registry)
    path = folder / "case.fx"
    path.write_text(f"fxopt snapshot 1\npass {rule.name}\n== before\n{to_text(program, digests=False)}")
    return path


def test_the_update_flag_writes_what_a_pass_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = snapshot(tmp_path, seeded.FoldNorm, zoo.matched_value_is_an_output(), monkeypatch)
    with pytest.raises(AssertionError, match=f"`after` cannot be read.*{UPDATE}"):
        check_snapshot(path)
    check_snapshot(path, update=True)
    check_snapshot(path)
    assert "batch_norm: conv2d has 2 users" in path.read_text()


def test_names_of_what_a_pass_makes_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = snapshot(tmp_path, seeded.Clamp, zoo.residual(), monkeypatch)
    check_snapshot(path, update=True)
    assert "__clamp_min_" in path.read_text()
    path.write_text(path.read_text().replace("__clamp_min_", "__other_"))
    check_snapshot(path)


def test_another_result_fails_and_shows_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = snapshot(tmp_path, seeded.Clamp, zoo.residual(), monkeypatch)
    check_snapshot(path, update=True)
    path.write_text(path.read_text().replace(", 0.0)", ", 0.5)", 1))
    with pytest.raises(AssertionError, match=r"(?s)gives another program.*\n- .*0\.5.*\n\+ .*0\.0"):
        check_snapshot(path)


def test_another_decline_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = snapshot(tmp_path, seeded.FoldNorm, zoo.matched_value_is_an_output(), monkeypatch)
    check_snapshot(path, update=True)
    path.write_text(path.read_text().replace("has 2 users", "has 3 users"))
    with pytest.raises(AssertionError, match="declines otherwise"):
        check_snapshot(path)


@pytest.mark.parametrize("update", [False, True], ids=["compared", "updated"])
@pytest.mark.parametrize(("rule", "program", "words"), WRONG, ids=[rule.__name__ for rule, *_ in WRONG])
def test_a_wrong_result_is_never_blessed(
    rule: type[seeded.Pass],
    program: zoo.Specimen,
    words: str,
    update: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = snapshot(tmp_path, rule, program(), monkeypatch)
    before = path.read_text()
    with pytest.raises(AssertionError, match=words):
        check_snapshot(path, update=update)
    assert path.read_text() == before


def test_what_is_no_snapshot_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = snapshot(tmp_path, seeded.Clamp, zoo.residual(), monkeypatch)
    for text, words in (
        ("fxopt snapshot 1\npass clamp\n", "a section `== before`"),
        (path.read_text().replace("pass clamp", "pass clam"), "clam"),
        (path.read_text().replace("aten.relu", "aten.rely"), "line"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            check_snapshot(path)


CONFTEST = """
from fxopt.registry import Registry
from tests.testing.seeded import ForgetsEps
registry = Registry()
registry.passes["fold_norm"] = ForgetsEps
Registry.load = lambda *_: registry
"""


def test_pytest_collects_snapshots_and_its_flag_does_not_bless_a_wrong_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = snapshot(tmp_path, seeded.ForgetsEps, zoo.residual(), monkeypatch)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "program.fx").write_text(zoo.residual().text())  # no snapshot
    before, root = path.read_text(), Path(__file__).parents[2]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        f"pythonpath={root}",
        "--rootdir",
        tmp_path,
        UPDATE,
        tmp_path,
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed" in run.stdout
    assert "differs from the original by" in run.stdout
    assert path.read_text() == before


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_built_in_pass_has_snapshots_of_what_it_does_and_declines(name: str) -> None:
    found = [Snapshot.parse(path.read_text()) for path in (FOLDER / name).glob("*.fx")]
    assert {Registry.load().make_pass(item.spec).name for item in found} == {name}
    assert any(item.before != item.after for item in found)
    _, near_misses = SUBJECTS[name]
    assert any(item.declines for item in found) == bool(near_misses)
