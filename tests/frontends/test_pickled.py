"""Files of `torch.save`: modules only with `--trust-pickle`, state dicts never."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.frontends.archives import Payload
from tests.frontends.loading import export, load, refusal
from tests.frontends.models import Net


def saved(path: Path, value: Any, **options: Any) -> Path:
    torch.save(value, path, **options)
    return path


@pytest.mark.parametrize("zipped", [True, False])
def test_refuses_a_pickled_module_and_says_how_to_save_a_pt2(tmp_path: Path, zipped: bool) -> None:
    said = refusal(saved(tmp_path / "m.pt", Net(), _use_new_zipfile_serialization=zipped), "x=2x3x8x8")
    assert "runs code when it is loaded" in said
    assert "torch.export.save(torch.export.export(model, example_inputs), 'model.pt2')" in said


@pytest.mark.parametrize("zipped", [True, False])
def test_runs_nothing_while_it_refuses(tmp_path: Path, zipped: bool) -> None:
    trace = tmp_path / "trace"
    refusal(saved(tmp_path / "m.pth", Payload(trace), _use_new_zipfile_serialization=zipped))
    refusal(saved(tmp_path / "m.pt", {"a": torch.ones(2), "b": Payload(trace)}, _use_new_zipfile_serialization=zipped))
    assert not trace.exists()


def test_loads_a_pickled_module_that_is_trusted(tmp_path: Path) -> None:
    loaded = load(saved(tmp_path / "m.pt", torch.nn.Sequential(torch.nn.Linear(4, 2))), "input=3x4", trust_pickle=True)
    assert [note.rpartition(" ")[2] for note in loaded.notes] == ["--trust-pickle", "mode"]
    export(loaded)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_bare_state_dict_is_pointed_to_a_factory(tmp_path: Path, wrap: bool) -> None:
    state: Any = Net().state_dict()
    path = saved(tmp_path / "m.pth", {"model": state, "epoch": 1} if wrap else state)
    assert (
        f"is a bare state dict, weights without a model; give package.module:factory with --weights {path}"
        in refusal(path)
    )


def test_what_is_no_module_is_refused_even_if_trusted(tmp_path: Path) -> None:
    assert "holds a list, not a torch.nn.Module" in refusal(saved(tmp_path / "m.pt", [1, 2]), trust_pickle=True)


@pytest.mark.parametrize("trust", [True, False])
def test_a_file_cut_off_is_refused_in_one_line(tmp_path: Path, trust: bool) -> None:
    path = saved(tmp_path / "m.pt", Net())
    path.write_bytes(path.read_bytes()[:-200])
    assert "not a whole archive" in refusal(path, "x=2x3x8x8", trust_pickle=trust)


def test_bytes_that_are_no_pickle_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"hello there")
    assert "cannot be unpickled" in refusal(tmp_path / "m.pt", trust_pickle=True)


def test_needs_input(tmp_path: Path) -> None:
    assert "no example for input" in refusal(
        saved(tmp_path / "m.pt", torch.nn.Sequential(torch.nn.ReLU())), trust_pickle=True
    )
