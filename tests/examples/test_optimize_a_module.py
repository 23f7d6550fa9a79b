"""The example of the Python interface runs and gives what the module gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples import optimize_a_module


@pytest.mark.slow
@pytest.mark.usefixtures("few_rounds")
def test_leaves_a_model_that_answers_like_the_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = optimize_a_module.main(str(tmp_path / "out"))
    printed = capsys.readouterr().out
    assert result.ledger["result"]["verdict"] in printed
    assert float(printed.split("largest difference:")[1]) < 1e-4
