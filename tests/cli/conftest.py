"""A compiler that does nothing but remember what it was asked."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import fxopt.compiler.optimize as compiler
from fxopt.cli import main
from fxopt.compiler.progress import Progress
from fxopt.compiler.request import Request
from tests.report.ledgers import ledger


@dataclass
class FakeCompiler:
    """Answers with the sample ledger, or raises `error`."""

    requests: list[Request] = field(default_factory=list)
    error: BaseException | None = None

    def __call__(self, request: Request, progress: Progress) -> Any:
        self.requests.append(request)
        with progress.phase("measure", 3):
            progress.advance()
            progress.detail("half way")
            progress.note("a note")
            if self.error is not None:
                raise self.error
        return types.SimpleNamespace(ledger=ledger(), out=request.out)


@pytest.fixture
def compiler_(monkeypatch: pytest.MonkeyPatch) -> FakeCompiler:
    fake = FakeCompiler()
    monkeypatch.setattr(compiler, "optimize_model", fake)
    return fake


@dataclass
class Answer:
    status: int
    out: str
    err: str


@pytest.fixture
def fxopt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Answer]:
    """`fxopt("optimize", "m.pt2")` runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        status = main(arguments)
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    return run
