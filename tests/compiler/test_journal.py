"""The journal: every entry is there whole or not at all, and only the run that wrote it goes on with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fxopt.compiler.journal import Journal, discard
from fxopt.errors import InputError

REQUEST = {"model": "abc"}


def test_what_is_remembered_is_computed_once_and_survives(tmp_path: Path) -> None:
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        return 7

    assert Journal(tmp_path, REQUEST, resume=False).remember("kind", "key", compute) == 7
    assert Journal(tmp_path, REQUEST, resume=True).remember("kind", "key", compute) == 7
    assert computed == [1]


def test_a_run_that_is_not_resumed_begins_anew(tmp_path: Path) -> None:
    Journal(tmp_path, REQUEST, resume=False).remember("kind", "key", lambda: 7)
    assert Journal(tmp_path, REQUEST, resume=False).remember("kind", "key", lambda: 8) == 8


def test_a_build_that_was_cut_short_is_built_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, REQUEST, resume=False)

    def half(draft: Path) -> None:
        draft.mkdir()
        (draft / "half").write_text("x")
        raise KeyboardInterrupt

    def whole(draft: Path) -> None:
        draft.mkdir()
        (draft / "whole").write_text("x")

    with pytest.raises(KeyboardInterrupt):
        journal.folder("key", half)
    journal.release()  # the end of its process
    folder = Journal(tmp_path, REQUEST, resume=True).folder("key", whole)
    assert [file.name for file in folder.iterdir()] == ["whole"]


def test_resuming_another_request_is_refused_and_spoils_nothing(tmp_path: Path) -> None:
    Journal(tmp_path, REQUEST, resume=False).remember("kind", "key", lambda: 7)
    with pytest.raises(InputError, match="another one.*leave out --resume"):
        Journal(tmp_path, {"model": "xyz"}, resume=True)
    assert Journal(tmp_path, REQUEST, resume=True).remember("kind", "key", lambda: 8) == 7


def test_resuming_where_nothing_is_unfinished_begins_anew(tmp_path: Path) -> None:
    assert Journal(tmp_path / "new", REQUEST, resume=True).remember("kind", "key", lambda: 7) == 7


def test_a_folder_with_foreign_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years")
    with pytest.raises(InputError, match="did not write; give another one"):
        Journal(tmp_path, REQUEST, resume=False)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("mine", ["journal/monday.md", "ledger.json", "journal"])
def test_files_of_others_that_are_called_like_ours_are_left_alone(tmp_path: Path, mine: str) -> None:
    file = tmp_path / mine
    file.parent.mkdir(exist_ok=True)
    file.write_text("{}")
    for resume in (False, True):
        with pytest.raises(InputError, match="did not write; give another one"):
            Journal(tmp_path, REQUEST, resume)
    assert file.read_text() == "{}"


def test_where_a_fault_left_its_reproducer_a_run_begins(tmp_path: Path) -> None:
    (tmp_path / "reproducers" / "20260101-000000").mkdir(parents=True)
    assert Journal(tmp_path, REQUEST, resume=False).remember("kind", "key", lambda: 7) == 7


def test_an_unfinished_run_beside_notes_goes_on(tmp_path: Path) -> None:
    Journal(tmp_path, REQUEST, resume=False).remember("kind", "key", lambda: 7)
    (tmp_path / "notes.txt").write_text("mine")
    assert Journal(tmp_path, REQUEST, resume=True).remember("kind", "key", lambda: 8) == 7


def test_a_journal_whose_removal_was_cut_short_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Journal(tmp_path, REQUEST, resume=False).remember("kind", "key", lambda: 7)
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: None)
    discard(tmp_path / "journal")
    monkeypatch.undo()
    assert Journal(tmp_path, REQUEST, resume=True).remember("kind", "key", lambda: 8) == 8


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="-o .*file.*: cannot write there") as caught:
        Journal(tmp_path / "file" / inside, REQUEST, resume=False)
    assert "\n" not in str(caught.value)


def test_a_folder_that_a_run_writes_into_is_refused_until_it_ends(tmp_path: Path) -> None:
    first = Journal(tmp_path, {}, resume=False)
    with pytest.raises(InputError, match="another run is writing there"):
        Journal(tmp_path, {}, resume=True)
    first.release()
    with pytest.raises(InputError, match="was another one"):
        Journal(tmp_path, {"model": "other"}, resume=True)
    Journal(tmp_path, {}, resume=True).release()
