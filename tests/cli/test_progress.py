"""Progress on a terminal, and the lack of it elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fxopt.cli.progress import TerminalProgress, make_progress
from fxopt.compiler.progress import NULL


def test_it_is_silent_where_standard_error_is_no_terminal() -> None:
    assert make_progress() is NULL


def test_a_phase_that_is_done_is_ticked_and_notes_are_kept() -> None:
    file = io.StringIO()
    progress = TerminalProgress(Console(file=file, force_terminal=True, width=100))
    with progress.phase("measure", 10):
        progress.advance()
        progress.detail("openvino")
        progress.note("a [note] as it is")
    assert "✓" in file.getvalue()
    assert "a [note] as it is" in file.getvalue()


def test_a_phase_that_fails_is_not_ticked() -> None:
    file = io.StringIO()
    progress = TerminalProgress(Console(file=file, force_terminal=True, width=100))
    with pytest.raises(ValueError, match="broken"), progress.phase("build"):
        raise ValueError("broken")
    assert "build" in file.getvalue()
    assert "✓" not in file.getvalue()
