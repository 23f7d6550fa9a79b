"""TorchScript files are converted, keep their form, and are refused where their code reaches out."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_map

from tests.frontends.loading import export, load, refusal


class Scripted(nn.Module):
    """A default argument, and a tuple that holds a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())

    def forward(self, x: torch.Tensor, twice: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        y = self.conv(x)
        if twice:
            y = y * 2
        return y, {"mean": y.mean((2, 3))}


class Added(nn.Module):
    """Two inputs."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], -1) + y


def scripted(path: Path, module: nn.Module | None = None) -> Path:
    torch.jit.save(torch.jit.script((module or Scripted()).eval()), path)
    return path


def traced(path: Path) -> Path:
    torch.jit.save(torch.jit.trace(Added().eval(), (torch.randn(2, 2, 3), torch.randn(2, 6))), path)
    return path


def assert_computes_the_same(path: Path, program: Any, *args: torch.Tensor) -> None:
    mine, original = program.module()(*args), torch.jit.load(path)(*args)
    tree_map(torch.testing.assert_close, mine, original)


def test_keeps_arguments_defaults_and_nested_results(tmp_path: Path) -> None:
    path = scripted(tmp_path / "m.pt")
    loaded = load(path, "x=2x3x8x8")
    assert loaded.source == f"TorchScript file {path}"
    assert_computes_the_same(path, export(loaded), torch.randn(2, 3, 8, 8))


def test_keeps_a_dynamic_batch(tmp_path: Path) -> None:
    path = scripted(tmp_path / "m.pt")
    program = export(load(path, "x=Nx3x8x8,N=1..16@1"))
    assert_computes_the_same(path, program, torch.randn(7, 3, 8, 8))


def test_the_converted_module_is_and_stays_in_evaluation_mode(tmp_path: Path) -> None:
    module = load(scripted(tmp_path / "m.pt"), "x=2x3x8x8").module
    assert module is not None
    assert not any(part.training for part in module.eval().modules())


def test_a_static_input_stays_static(tmp_path: Path) -> None:
    assert export(load(scripted(tmp_path / "m.pt"), "x=2x3x8x8")).range_constraints == {}


def test_converts_a_trace_of_two_inputs(tmp_path: Path) -> None:
    path = traced(tmp_path / "m.pt")
    program = export(load(path, "x=Nx2x3,N=1..8@4", "y=Nx6"))
    assert_computes_the_same(path, program, torch.randn(5, 2, 3), torch.randn(5, 6))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no example for input x, y; describe it, like --input x=1x3x224x224 --input y=1x3x224x224"),
        (["x=2x2x3"], "no example for input y"),
        (["x=2x2x3", "z=2x6"], "has no input 'z'"),
        (["x=2x2x3", "y=2x7"], "torch cannot convert this TorchScript"),
    ],
)
def test_says_in_one_line_what_does_not_fit(tmp_path: Path, flags: list[str], message: str) -> None:
    assert message in refusal(traced(tmp_path / "m.pt"), *flags)


class Saves(nn.Module):
    """Writes a file through the one operator of TorchScript that does."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "trace")
        return x


class Maps(nn.Module):
    """Maps a file."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.from_file("trace", shared=True, size=4)


@pytest.mark.parametrize("module", [Saves(), Maps()])
def test_refuses_code_that_reaches_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: nn.Module
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "its code uses torch." in refusal(scripted(tmp_path / "m.pt", module), "x=4")
    assert not (tmp_path / "trace").exists()


def test_a_file_cut_off_is_refused_in_one_line(tmp_path: Path) -> None:
    path = scripted(tmp_path / "m.pt")
    path.write_bytes(path.read_bytes()[:-100])
    assert "not a whole archive" in refusal(path, "x=2x3x8x8")


def test_a_damaged_member_is_named_with_its_file(tmp_path: Path) -> None:
    path = scripted(tmp_path / "m.pt")
    with zipfile.ZipFile(path) as file:
        (code,) = (info for info in file.infolist() if info.filename.endswith("test_torchscript.py"))
    data = bytearray(path.read_bytes())
    data[code.header_offset + 4 : code.header_offset + 8] = b"\xff" * 4
    data[code.header_offset + 100 : code.header_offset + 400] = b"\xff" * 300
    path.write_bytes(data)
    assert f"{path}: the archive is damaged at code/" in refusal(path, "x=2x3x8x8")


def test_damaged_code_is_refused_in_one_line(tmp_path: Path) -> None:
    path = scripted(tmp_path / "m.pt")
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, b"class (" if name.endswith(".py") else data)
    assert "torch.jit.load failed" in refusal(path, "x=2x3x8x8")
