"""What artifacts give against what they were made from."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from fxopt.compiler.journal import Journal
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.engine import Artifact
from fxopt.errors import EngineError, InputError
from fxopt.ir.capture import capture, export
from fxopt.measure import Limits, Worker
from tests.compiler.engines import CrashesAtBuild, CrashesAtRun, Hangs, Lies, Misbehaves, TellsItsProcess
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
        workshop.close()
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
        workshop.close()
    journal.release()
    assert [Artifact.read(path).options["threads"] for path in (artifact, there)] == [2, 1]
    assert there == workshop.under(artifact, {"threads": 1})
    assert Artifact.read(there).size_bytes() == Artifact.read(artifact).size_bytes()


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    program = capture(export(nn.Linear(4, 4), (torch.randn(2, 4),)))
    journal = Journal(tmp_path / "out", {}, False)
    with Worker(Limits()) as worker:
        found = Workshop(journal, worker, program, [torch.randn(2, 4).numpy()], None)
        yield found
        found.close()
    journal.release()


def test_one_process_runs_all_artifacts_of_an_engine_until_one_crashes(workshop: Workshop) -> None:
    def process(spec: str) -> int:
        with workshop.running(spec, workshop.emit(spec, workshop.original)) as run:
            return int(run([torch.zeros(2, 4)])[0])

    spec, crashes = TellsItsProcess(threads=1).spec(), CrashesAtRun(threads=1).spec()
    first = process(spec)
    assert process(spec) == first
    assert process(TellsItsProcess(threads=2).spec()) != first
    for _ in range(2):
        with pytest.raises(EngineError, match="was killed by SIGABRT"):
            process(crashes)
    workshop.close()
    assert process(spec) != first


def test_what_an_engine_fails_at_meanwhile_is_told_to_who_asks_for_it_again(workshop: Workshop) -> None:
    def build() -> Path:
        return workshop.emit(CrashesAtBuild(threads=1).spec(), workshop.original)

    after = threading.Event()
    with workshop.meanwhile([build, after.set]):
        assert after.wait(30)
    with pytest.raises(EngineError, match="emit"):
        build()


def test_what_an_engine_failed_at_is_not_tried_again(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = CrashesAtBuild(threads=1).spec()
    with pytest.raises(EngineError, match="emit") as first:
        workshop.emit(spec, workshop.original)
    monkeypatch.setattr(workshop.worker, "emit", lambda *_: pytest.fail("it is tried again"))
    with pytest.raises(EngineError) as second:
        workshop.emit(spec, workshop.original)
    assert str(first.value) == str(second.value)


@pytest.mark.parametrize("late", [False, True])
def test_no_job_is_begun_once_the_body_has_ended_or_time_is_out(workshop: Workshop, late: bool) -> None:
    begun, first, over = [], threading.Event(), threading.Event()
    workshop.deadline = time.monotonic() - 1 if late else None

    def job() -> None:
        begun.append(True)
        first.set()
        assert over.wait(30)

    threading.Timer(0.5, over.set).start()  # after the body
    with workshop.meanwhile([job, job]):
        assert late or first.wait(30)
    assert len(begun) == (0 if late else 1)


def test_where_the_body_fails_what_is_done_meanwhile_is_ended(workshop: Workshop) -> None:
    spec, started = Hangs(threads=1).spec(), threading.Event()
    artifact, begun = workshop.emit(spec, workshop.original), time.monotonic()

    def hang() -> None:
        workshop.worker.load(spec, artifact)
        started.set()
        workshop.worker.run(workshop.inputs)

    with pytest.raises(InputError, match="labels"), workshop.meanwhile([hang]):
        assert started.wait(30)
        raise InputError("labels do not fit")
    assert time.monotonic() - begun < workshop.worker.limits.run_s / 2


def test_what_is_no_fault_of_an_engine_is_raised(workshop: Workshop) -> None:
    def fails() -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"), workshop.meanwhile([fails]):
        pass
