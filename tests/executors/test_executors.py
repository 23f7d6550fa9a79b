"""Executors: what they build is what is built here, and what goes wrong there is no reason for a run to fail."""

from __future__ import annotations

import importlib.util
import itertools
import types
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import fxopt
from fxopt import Executor, Registry, hookimpl
from fxopt.compiler import elsewhere
from fxopt.compiler import pool as pool_
from fxopt.compiler.journal import Journal
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.cost import Budget
from fxopt.errors import EngineError, InputError
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.measure import Limits, Worker
from fxopt.testing.specimen import captured
from fxopt_plugins.executors.dask import Dask
from fxopt_plugins.executors.processes import Processes

ENGINE = "onnxruntime{threads=1}"


def program(width: int) -> Program:
    torch.manual_seed(width)
    return capture(export(nn.Sequential(nn.Linear(4, width), nn.ReLU()), (torch.randn(1, 4),)))


@contextmanager
def workshop(folder: Path, pool: futures.Executor | None) -> Iterator[Workshop]:
    journal = Journal(folder, {}, resume=False)
    try:
        with Worker() as worker:
            yield Workshop(journal, worker, program(1), [], None, pool)
    finally:
        journal.release()


def fault(there: Workshop) -> str | None:
    assert there.pool is not None
    return there.pool.fault


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def executors() -> list[Executor]:
    return [Processes(workers=2), *([Dask(workers=2)] if importlib.util.find_spec("distributed") else [])]


@pytest.mark.parametrize("executor", executors(), ids=lambda executor: executor.name)
def test_builds_are_those_that_are_made_here(executor: Executor, tmp_path: Path) -> None:
    programs = [program(width) for width in (2, 3)]
    with (
        executor.open() as pool,
        workshop(tmp_path / "there", pool) as there,
        workshop(tmp_path / "here", None) as here,
    ):
        there.emit_ahead(ENGINE, programs)
        assert fault(there) is None
        before = {path.name for path in (tmp_path / "there" / "journal" / "builds").iterdir()}
        for item in programs:
            built = there.emit(ENGINE, item)
            assert built.name in before
            assert contents(built) == contents(here.emit(ENGINE, item))


def test_what_an_engine_refuses_there_is_told_by_the_build_here(tmp_path: Path) -> None:
    programs = [captured(lambda _, x, n=n: torch.linalg.svd(x)[1] * n, torch.randn(3, 3)) for n in (1.0, 2.0)]
    with Processes(workers=2).open() as pool, workshop(tmp_path / "out", pool) as there:
        there.emit_ahead(ENGINE, programs)
        assert fault(there) is None
        with pytest.raises(EngineError, match="onnxruntime"):
            there.emit(ENGINE, programs[0])


CALLS = [[torch.full((1, 4), float(number)), torch.full((1, 4), 0.5)] for number in range(11)]


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.layer(x) + y.sum(), self.layer(y)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every judgement after the first is worth an executor, which is sent two calls at once."""
    monkeypatch.setattr(pool_, "_LONG_S", 1e-9)
    monkeypatch.setattr(pool_, "_PART", 2 * 2 * 4 * 4)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each part that executors are given has."""
    found: list[int] = []
    genuine = elsewhere.run

    def run(engine: str, artifact: bytes, calls: bytes, place: str) -> bytes:
        found.append(len(elsewhere.unpack_arrays(calls)))
        return genuine(engine, artifact, calls, place)

    monkeypatch.setattr(elsewhere, "run", run)
    return found


def two_inputs(there: Workshop) -> Path:
    return there.emit(ENGINE, capture(export(TwoInputs(), tuple(CALLS[0]))))


def outputs(there: Workshop, artifact: Path) -> list[torch.Tensor]:
    with there.judging(ENGINE, artifact, lambda: iter(CALLS)) as run:
        return [value for call in CALLS for value in run(call)]


def outputs_here(there: Workshop, artifact: Path) -> list[torch.Tensor]:
    with there.running(ENGINE, artifact) as run:
        return [value for call in CALLS for value in run(call)]


def same(found: list[torch.Tensor], expected: list[torch.Tensor]) -> bool:
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("executor", executors(), ids=lambda executor: executor.name)
def test_samples_are_run_there_and_give_what_they_give_here(executor: Executor, tmp_path: Path) -> None:
    with executor.open() as pool, workshop(tmp_path / "out", pool) as there:
        artifact = two_inputs(there)
        here = outputs_here(there, artifact)
        assert same(outputs(there, artifact), here)
        assert same(outputs(there, artifact), here)
        assert there.pool is not None
        assert (there.pool.fault, there.pool.foreign) == (None, None)


@pytest.mark.usefixtures("at_once")
def test_of_what_is_run_there_a_call_of_each_part_is_run_here_as_well(
    tmp_path: Path, given: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Processes(workers=2).open() as pool, workshop(tmp_path / "out", pool) as there:
        artifact = two_inputs(there)
        outputs(there, artifact)
        assert given == []
        here: list[object] = []
        genuine = Worker.run
        monkeypatch.setattr(Worker, "run", lambda self, inputs: here.append(inputs) or genuine(self, inputs))
        outputs(there, artifact)
        assert sorted(given) == [1, 2, 2, 2, 2, 2]
        assert len(here) == len(CALLS) + len(given)  # parts are run by threads of this process


@pytest.mark.usefixtures("at_once")
def test_outputs_that_are_others_there_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = elsewhere.run

    def off(*arguments: Any) -> bytes:
        calls = elsewhere.unpack_arrays(genuine(*arguments))
        return elsewhere.pack_arrays([value + 1 for value in call] for call in calls)

    with Processes(workers=2).open() as pool, workshop(tmp_path / "out", pool) as there:
        artifact = two_inputs(there)
        here = outputs(there, artifact)
        monkeypatch.setattr(elsewhere, "run", off)
        assert same(outputs(there, artifact), here)
        assert there.pool is not None
        assert "outputs differ from those here" in (there.pool.foreign or "")


@pytest.mark.usefixtures("at_once")
def test_what_other_machines_give_does_not_count_and_they_are_not_asked_again(
    tmp_path: Path, given: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Processes(workers=2).open() as pool, workshop(tmp_path / "out", pool) as there:
        artifact = two_inputs(there)
        here = outputs(there, artifact)
        numbers = itertools.count()
        monkeypatch.setattr(elsewhere, "place_of", lambda engine: f"machine {next(numbers)}")
        assert same(outputs(there, artifact), here)
        assert there.pool is not None
        assert "machine 0" in (there.pool.foreign or "")
        assert there.pool.fault is None
        asked = len(given)
        outputs(there, artifact)
        assert len(given) == asked


@pytest.mark.usefixtures("at_once")
def test_a_part_that_does_not_come_back_is_run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine, lost = elsewhere.run, itertools.count()

    def run(*arguments: Any) -> bytes:
        if next(lost) == 0:
            raise EngineError("it was killed")
        return genuine(*arguments)

    with Processes(workers=1).open() as pool, workshop(tmp_path / "out", pool) as there:
        artifact = two_inputs(there)
        here = outputs(there, artifact)
        monkeypatch.setattr(elsewhere, "run", run)
        assert same(outputs(there, artifact), here)
        assert fault(there) is None


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("answer", [b"", b"no archive"])
def test_what_comes_back_damaged_is_a_fault_of_the_executor(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Processes(workers=2).open() as pool, workshop(tmp_path / "out", pool) as there:
        artifact = two_inputs(there)
        here = outputs(there, artifact)
        monkeypatch.setattr(elsewhere, "run", lambda *_: answer)
        assert same(outputs(there, artifact), here)
        assert fault(there) is not None


@pytest.mark.usefixtures("at_once")
def test_judgements_of_an_executor_that_fails_are_made_here(tmp_path: Path) -> None:
    with workshop(tmp_path / "out", Lost()) as there:
        artifact = two_inputs(there)
        assert same(outputs(there, artifact), outputs(there, artifact))
        assert (fault(there) or "").startswith("ConnectionError: the scheduler is gone")


def test_short_judgements_stay_here(tmp_path: Path) -> None:
    with workshop(tmp_path / "out", Lost()) as there:
        artifact = two_inputs(there)
        outputs(there, artifact)
        outputs(there, artifact)
        assert fault(there) is None


class Lost(futures.Executor):
    def submit(self, *_: object, **__: object) -> futures.Future:  # type: ignore[type-arg,override]
        found: futures.Future[bytes] = futures.Future()
        found.set_exception(ConnectionError("the scheduler is gone"))
        return found


class Closed(futures.Executor):
    def submit(self, *_: object, **__: object) -> futures.Future:  # type: ignore[type-arg,override]
        raise RuntimeError("cannot schedule new futures after shutdown")


@dataclass(frozen=True)
class Broken(Executor):
    """Loses what it is given."""

    name: ClassVar[str] = "broken"

    @contextmanager
    def open(self) -> Iterator[futures.Executor]:
        yield Lost()


def test_an_executor_that_fails_is_said_once_and_builds_are_made_here(tmp_path: Path) -> None:
    with Broken().open() as pool, workshop(tmp_path / "out", pool) as there:
        there.emit_ahead(ENGINE, [program(2), program(3)])
        assert (fault(there) or "").startswith("ConnectionError: the scheduler is gone")
        assert contents(there.emit(ENGINE, program(2)))


def test_one_that_takes_nothing_is_said_as_well(tmp_path: Path) -> None:
    with workshop(tmp_path / "out", Closed()) as there:
        there.emit_ahead(ENGINE, [program(2), program(3)])
        assert "cannot schedule" in (fault(there) or "")
        assert contents(there.emit(ENGINE, program(2)))


def test_one_that_never_answers_is_not_waited_for_longer_than_builds_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(futures.Executor):
        def submit(self, *_: object, **__: object) -> futures.Future:  # type: ignore[type-arg,override]
            return futures.Future()

    with workshop(tmp_path / "out", Silent()) as there:
        monkeypatch.setattr(there.worker, "limits", Limits(build_s=0.1))
        there.emit_ahead(ENGINE, [program(2), program(3)])
        assert (fault(there) or "").startswith("TimeoutError")


def test_one_that_does_not_begin_is_bad_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(self: Processes) -> None:
        raise OSError("no scheduler at tcp://host:1")

    monkeypatch.setattr(Processes, "open", refuse)
    with pytest.raises(InputError, match="--executor processes: OSError: no scheduler"):
        fxopt.optimize(nn.ReLU(), torch.ones(2), engine="eager", executor="processes", out=tmp_path / "out")


def test_packed_files_come_back(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"1")
    (tmp_path / "a" / "d").write_bytes(b"")
    elsewhere.unpack(elsewhere.pack(tmp_path / "a"), tmp_path / "e")
    assert (tmp_path / "e" / "b" / "c").read_bytes() == b"1"
    assert (tmp_path / "e" / "d").read_bytes() == b""


class Net(nn.Module):
    """With rewrites of two passes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.second(self.norm(self.first(x).relu()))
        return y.permute(0, 2, 3, 1).permute(0, 3, 1, 2).relu()


@pytest.mark.usefixtures("few_rounds")
def test_a_run_takes_its_builds_from_the_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    emit = elsewhere.emit

    def watched(engine: str, packed: bytes) -> bytes:
        given.append(engine)
        return emit(engine, packed)

    monkeypatch.setattr(elsewhere, "emit", watched)
    result = fxopt.optimize(
        Net().eval(),
        torch.randn(1, 3, 8, 8),
        engine=ENGINE,
        threads=1,
        executor="processes{workers=2}",
        budget=Budget(time_limit_s=60),
        out=tmp_path / "out",
    )
    assert result.ledger["faults"] == []
    assert set(given) == {ENGINE}


def test_an_executor_that_is_not_installed_is_bad_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Dask, "available", lambda self: "Dask is not installed: pip install 'fxopt[dask]'")
    with pytest.raises(InputError, match=r"--executor dask: Dask is not installed: pip install 'fxopt\[dask\]'"):
        fxopt.optimize(nn.ReLU(), torch.ones(2), engine="eager", executor="dask", out=tmp_path / "out")


def test_they_are_registered_as_other_plugins_are() -> None:
    registry = Registry.load()
    assert registry.executors.keys() >= {"processes", "dask"}
    assert registry.make_executor("dask{address=tcp://host:1}") == Dask(address="tcp://host:1")
    registry.register(types.SimpleNamespace(fxopt_executors=hookimpl(lambda: [Broken])), "mine", "mine")
    assert registry.make_executor("broken") == Broken()
