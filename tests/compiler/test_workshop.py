"""What artifacts give against what they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fxopt.compiler.journal import Journal
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.engine import Artifact
from fxopt.ir.capture import capture, export
from fxopt.measure import Limits, Worker
from tests.compiler.engines import CrashesAtRun, Lies, Misbehaves
from tests.compiler.lossy import Rounds


@pytest.mark.parametrize(
    ("engine", "fault"),
    [(Rounds, None), (Lies, "its outputs differ from PyTorch's by"), (CrashesAtRun, "was killed by SIGABRT")],
)
def test_an_artifact_that_does_not_give_what_its_program_gives_has_a_fault(
    engine: type[Misbehaves], fault: str | None, tmp_path: Path
) -> None:
    program = capture(export(nn.Linear(4, 4), (torch.randn(2, 4),)))
    spec = engine(threads=1).spec()
    journal = Journal(tmp_path / "out", {}, False)
    with Worker(Limits()) as worker:
        workshop = Workshop(journal, worker, program, [torch.randn(2, 4).numpy()], None)
        found = workshop.fault(spec, workshop.emit(spec, program), program)
    journal.release()
    assert found is None if fault is None else fault in str(found)


@pytest.mark.parametrize("links", [True, False])
def test_an_artifact_under_other_options_leaves_the_first_as_it_was(
    links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*paths: object) -> None:
        raise OSError("no links on this file system")

    if not links:
        monkeypatch.setattr("os.link", no_links)
    program = capture(export(nn.Linear(4, 4), (torch.randn(2, 4),)))
    spec = Rounds(threads=2).spec()
    journal = Journal(tmp_path / "out", {}, False)
    with Worker(Limits()) as worker:
        workshop = Workshop(journal, worker, program, [torch.randn(2, 4).numpy()], None)
        artifact = workshop.emit(spec, program)
        there = workshop.under(artifact, {"threads": 1})
        assert workshop.fault(spec, there, program) is None
    journal.release()
    assert [Artifact.read(path).options["threads"] for path in (artifact, there)] == [2, 1]
    assert there == workshop.under(artifact, {"threads": 1})
    assert Artifact.read(there).size_bytes() == Artifact.read(artifact).size_bytes()
