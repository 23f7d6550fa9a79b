"""Emission in the worker: the Program goes in as a folder, the artifact comes out whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxopt.errors import EngineError
from fxopt.measure import Worker

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fxopt.ir.capture import capture, export

    folder = tmp_path_factory.mktemp("program")
    capture(export(torch.nn.Linear(3, 2), (torch.ones(1, 3),))).save(folder)
    return folder


def test_emits_and_reads_back_with_one_warm_worker(program: Path, tmp_path: Path) -> None:
    with Worker() as worker:
        assert worker.unsupported("tests.measure.engines:Honest", program)[0].node == "x"
        first = worker.emit("tests.measure.engines:Honest", program, tmp_path / "a")
        second = worker.emit("tests.measure.engines:Honest{work=2}", program, tmp_path / "b")
        assert (first.path / "file").exists()
        assert second.stages[0].engine == "honest"


@pytest.mark.parametrize(("kind", "says"), [("FailsToEmit", "out of ideas"), ("EmitsNoManifest", "manifest")])
def test_a_failed_emission_leaves_nothing_behind(program: Path, tmp_path: Path, kind: str, says: str) -> None:
    with Worker() as worker:
        with pytest.raises(EngineError, match=says):
            worker.emit(f"tests.measure.engines:{kind}", program, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert worker.emit("tests.measure.engines:Honest", program, tmp_path / "out").stages
