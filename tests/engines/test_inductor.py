"""What is particular to AOTInductor."""

from __future__ import annotations

from pathlib import Path

import pytest

from fxopt.contracts.engine import Artifact
from fxopt_plugins.engines.inductor import Inductor
from tests.engines.nets import case
from tests.engines.test_outputs import assert_close, make


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert "install g++ or clang++" in (Inductor.available() or "")


@pytest.mark.slow
def test_an_artifact_runs_where_it_was_moved_to_and_leaves_no_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, inputs = case("convolutions")
    engine = make("inductor")
    (tmp_path / "made").mkdir()
    engine.emit(net, tmp_path / "made")
    artifact = Artifact.read((tmp_path / "made").rename(tmp_path / "moved"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    call = engine.load(artifact, artifact.stages[0])
    assert not list((tmp_path / "temporary").iterdir())
    assert_close(call([value.numpy() for value in inputs]), [value.numpy() for value in net.run(inputs)])
