"""Publishing: OUT holds the old result or the new one, and a move that was cut short goes on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from fxopt.compiler import output
from fxopt.compiler.journal import Journal


class Killed(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


def stage(out: Path, mark: str, with_model: bool = True) -> None:
    folder = output.staging(Journal(out, {"model": mark}, resume=False).path)
    (folder / "ledger.json").write_text(mark)
    (folder / "report.md").write_text(mark)
    if with_model:
        for name in ("model", "baseline"):
            (folder / name).mkdir()
            (folder / name / "manifest.json").write_text(mark)


def holds(out: Path) -> dict[str, str]:
    return {str(file.relative_to(out)): file.read_text() for file in sorted(out.rglob("*")) if file.is_file()}


OLD, NEW = '{"fxopt": "old"}', '{"fxopt": "new"}'
WHOLE = ("baseline/manifest.json", "ledger.json", "model/manifest.json", "report.md")


def test_a_publication_replaces_the_former_and_leaves_no_journal(tmp_path: Path) -> None:
    for mark in (OLD, NEW):
        stage(tmp_path, mark)
        output.publish(tmp_path)
        assert holds(tmp_path) == dict.fromkeys(WHOLE, mark)


def test_a_former_model_goes_where_the_new_run_wrote_none(tmp_path: Path) -> None:
    stage(tmp_path, OLD)
    output.publish(tmp_path)
    stage(tmp_path, NEW, with_model=False)
    output.publish(tmp_path)
    assert holds(tmp_path) == {"ledger.json": NEW, "report.md": NEW}


def test_files_of_others_beside_a_result_stay(tmp_path: Path) -> None:
    stage(tmp_path, OLD)
    output.publish(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    stage(tmp_path, NEW)
    output.publish(tmp_path)
    assert holds(tmp_path) == {**dict.fromkeys(WHOLE, NEW), "notes.txt": "mine"}


@pytest.mark.parametrize("former", [False, True])
@pytest.mark.parametrize("action", ["replace", "rmtree"])
@pytest.mark.parametrize("late", [False, True])
def test_killed_at_any_move_it_rolls_back_or_forward_to_one_whole_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, former: bool, action: str, late: bool
) -> None:
    """`late`: the blow falls right after the action, not right before it."""
    module = {"replace": os, "rmtree": shutil}[action]
    real = getattr(module, action)
    for blow in range(30):
        out = tmp_path / str(blow)
        if former:
            stage(out, OLD)
            output.publish(out)
        stage(out, NEW)
        count = 0

        def strike(*args: object, blow: int = blow, **kwargs: object) -> None:
            nonlocal count
            count += 1
            if count == blow + 1 and not late:
                raise Killed
            real(*args, **kwargs)
            if count == blow + 1:
                raise Killed

        monkeypatch.setattr(module, action, strike)
        try:
            output.publish(out)
            finished = True
        except Killed:
            finished = False
        monkeypatch.setattr(module, action, real)
        committed = (out / "journal" / output.COMMIT).exists() or not (out / "journal").exists()
        output.roll_forward(out)
        shutil.rmtree(out / "journal", ignore_errors=True)
        expected = NEW if committed else OLD
        assert holds(out) == (dict.fromkeys(WHOLE, expected) if committed or former else {}), f"killed at {blow}"
        if finished:
            assert blow > 0
            return
    raise AssertionError("publishing never came to its end")


def test_without_a_commit_mark_nothing_is_moved(tmp_path: Path) -> None:
    stage(tmp_path, OLD)
    output.publish(tmp_path)
    stage(tmp_path, NEW)
    assert not output.roll_forward(tmp_path)
    shutil.rmtree(tmp_path / "journal")
    assert holds(tmp_path) == dict.fromkeys(WHOLE, OLD)
