"""An artifact says where it was checked, and elsewhere is checked again."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fxopt
from fxopt import FxoptWarning, InputError, Program
from fxopt.compiler import stamp
from fxopt.compiler.check import check
from fxopt.compiler.journal import Journal
from fxopt.compiler.load import load
from fxopt.compiler.workshop import Workshop
from fxopt.contracts.cost import Budget
from fxopt.ir.quantized import operators
from fxopt.measure import Worker
from fxopt.registry import Registry
from fxopt_plugins.engines.schemes import ONNX_RUNTIME
from fxopt_plugins.targets.cpu import Cpu
from tests.engines.nets import program
from tests.engines.test_outputs import make

HERE = Path(__file__).parents[2]
IMAGE = (1, 16, 8, 8)


class Layers(nn.Module):
    """Two convolutions on integers, whose weights use the given bits: image (1, 16, 8, 8) to (1, 16, 8, 8)."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.top = 2 ** (bits - 1) - 1
        random = torch.Generator().manual_seed(0)
        for index in range(2):
            weight = torch.randint(-self.top, self.top + 1, (16, 16, 3, 3), generator=random)
            self.register_buffer(f"weight{index}", weight.to(torch.int8))
        self.register_buffer("scale", torch.full((16,), 0.1 / self.top))

    def forward(self, x: Tensor) -> Any:
        qd = operators()
        for index in range(2):
            numbers = ((0.02, 128), (0.01, 0))[index]
            x = qd.quantize_per_tensor(x, *numbers, 0, 255, torch.uint8)
            x = qd.dequantize_per_tensor(x, *numbers, 0, 255, torch.uint8)
            weight = qd.dequantize_per_channel(
                getattr(self, f"weight{index}"), self.scale, None, 0, -self.top, self.top, torch.int8
            )
            x = F.conv2d(x, weight, padding=1).relu()
        return x


def stamped(folder: Path, engine: str, found: Program) -> Path:
    """The artifact of a Program, stamped with this machine."""
    folder.mkdir(exist_ok=True)
    runtime = Registry.load().make_engine(engine)
    artifact = runtime.emit(found, folder)
    call = runtime.load(artifact, artifact.stages[0])
    stamp.write(
        folder,
        Cpu(),
        {engine: runtime.version()},
        [torch.randn(IMAGE, generator=torch.Generator().manual_seed(0)).numpy()],
        lambda values: [torch.from_numpy(np.array(v)) for v in call([value.numpy() for value in values])],
        found,
        unlike=False,
    )
    return folder


def quantized(bits: int) -> Program:
    return program(Layers(bits), torch.randn(IMAGE))


def elsewhere(folder: Path) -> Path:
    """As if it had been checked on a machine without the first instruction set of this one, and with one that is not here."""
    file = folder / "checked.json"
    data = json.loads(file.read_text())
    file.write_text(json.dumps({**data, "isa": [*data["isa"][1:], "matrices"]}))
    return folder


def said(folder: Path, **options: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(folder, **options)
    return [str(item.message) for item in caught if issubclass(item.category, FxoptWarning)]


def test_on_the_machine_where_it_was_checked_nothing_is_said(tmp_path: Path) -> None:
    assert said(stamped(tmp_path, "eager", quantized(8))) == []


def test_another_machine_is_named_and_told_that_outputs_are_the_same(tmp_path: Path) -> None:
    first = Cpu().machine().isa[0]
    (text,) = said(elsewhere(stamped(tmp_path, "eager", quantized(8))))
    assert "\n" not in text
    assert f"this machine has no matrices, this machine has {first} besides" in text
    assert "what it gave there (off by 0.0e+00" in text


def test_another_version_of_the_engine_is_said(tmp_path: Path) -> None:
    folder = stamped(tmp_path, "eager", quantized(8))
    text = (folder / "checked.json").read_text().replace(torch.__version__, "1.0")
    (folder / "checked.json").write_text(text)
    (text,) = said(folder)
    assert f"eager is {torch.__version__}, and was 1.0" in text


def test_who_asks_for_no_recheck_gets_none(tmp_path: Path) -> None:
    assert said(elsewhere(stamped(tmp_path, "eager", quantized(8))), recheck=False) == []


SCRIPT = """
import sys, warnings
from dataclasses import replace
from fxopt import load
from fxopt_plugins.engines.schemes import ONNX_RUNTIME
from fxopt_plugins.targets.cpu import Cpu
machine = Cpu.machine
Cpu.machine = lambda self: replace(machine(self), isa=("avx2",))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    load(sys.argv[1])
print(*(item.message for item in caught if item.category.__name__ == "FxoptWarning"), sep="\\n")
"""


@pytest.mark.parametrize("bits", [8, 7])
def test_sums_that_saturate_elsewhere_are_told_with_the_figure(bits: int, tmp_path: Path) -> None:
    make("openvino")
    if not {"avx512_vnni", "avx_vnni"} & set(Cpu().machine().isa):
        pytest.skip("this CPU has no instruction for products of 8 bits, so nothing can be taken from it")
    folder = stamped(tmp_path / "model", "openvino{threads=1}", quantized(bits))
    environment = {"ONEDNN_MAX_CPU_ISA": "AVX2", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE, check=True)
    (text,) = run.stdout.splitlines()
    assert ("OTHER OUTPUTS" in text) == (bits == 8)
    assert ("fxopt replay" in text) == (bits == 8)
    assert f"off by {'0.0e+00' if bits == 7 else ''}" in text


def test_the_bound_lies_between_rounding_and_saturation(tmp_path: Path) -> None:
    found = quantized(8)
    stamped(tmp_path, "eager", found)
    here = stamp.Stamp.read(tmp_path)
    assert here is not None

    def run(values: Any, change: Any) -> list[np.ndarray[Any, Any]]:
        (output,) = found.run([torch.from_numpy(value) for value in values])
        return [change(output).numpy()]

    def step_off(output: Tensor) -> Tensor:
        return output + output.abs().max() / 256 * torch.randint(-1, 2, output.shape)

    assert here.recheck(lambda values: run(values, step_off)).ok
    assert not here.recheck(lambda values: run(values, lambda output: output.clamp(max=float(output.max()) * 0.9))).ok


def test_inputs_of_the_probe_reach_the_ends_of_every_range(tmp_path: Path) -> None:
    found = quantized(8)
    stamped(tmp_path, "eager", found)
    calls: list[Tensor] = []
    here = stamp.Stamp.read(tmp_path)
    assert here is not None
    here.recheck(lambda values: [calls.append(torch.from_numpy(values[0])) or found.run(calls[-1:])[0].numpy()])
    share = [float(((value / 0.02 + 128).round().clamp(0, 255) % 255 == 0).float().mean()) for value in calls]
    assert share[0] < 0.1
    assert share[-1] > 0.5


def test_a_recipe_may_be_as_far_off_as_its_own_rounding(tmp_path: Path) -> None:
    inputs = [torch.randn(IMAGE).numpy()]

    def float_model(values: list[Tensor]) -> list[Tensor]:
        return [values[0] * 2]

    class Original:
        def run(self, values: list[Tensor]) -> list[Tensor]:
            return [values[0] * 2.06]

    stamp.write(tmp_path, Cpu(), {}, inputs, float_model, Original(), unlike=True)  # type: ignore[arg-type]
    bounds = json.loads((tmp_path / "checked.json").read_text())["bounds"]
    assert [bound for _, bound in bounds] == pytest.approx([0.06 / 2.06] * 3, rel=1e-3)


def test_an_artifact_that_fails_elsewhere_is_told_so(tmp_path: Path) -> None:
    stamped(tmp_path, "eager", quantized(8))
    here = stamp.Stamp.read(tmp_path)
    assert here is not None

    def fails(values: Any) -> Any:
        raise RuntimeError("no such\ninstruction")

    found = here.recheck(fails)
    assert not found.ok
    assert found.text == "it FAILS here (RuntimeError: no such instruction)"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("checked.json", b"{", "checked.json: damaged"),
        ("checked.json", b'{"version": 1}', "checked.json: damaged .target is missing"),
        ("checked.json", b'{"version": 9}', "schema version 9"),
        ("checked.npz", b"not a zip", "checked.npz: damaged"),
        ("checked.npz", None, "checked.npz: damaged"),
    ],
)
def test_a_damaged_stamp_is_one_clear_line(file: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    folder = elsewhere(stamped(tmp_path, "eager", quantized(8)))
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_a_stamp_is_no_part_of_the_models_size(tmp_path: Path) -> None:
    found, engine = quantized(8), Registry.load().make_engine("eager")
    (tmp_path / "bare").mkdir()
    size = engine.emit(found, tmp_path / "bare").size_bytes()
    assert load(stamped(tmp_path / "stamped", "eager", found)).artifact.size_bytes() == size


@pytest.mark.serial
@pytest.mark.usefixtures("few_rounds")
def test_what_ships_is_stamped_and_a_check_elsewhere_fails_where_outputs_are_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4))
    fxopt.optimize(model, torch.randn(2, 16), engine="eager", threads=1, budget=Budget(time_limit_s=5), out=out)
    assert (out / "baseline" / "checked.json").exists()
    assert json.loads((out / "model" / "checked.json").read_text())["isa"] == list(Cpu().machine().isa)
    elsewhere(out / "model")
    moved = check(out)
    assert moved.ok
    assert any(line.startswith("machine: ok: this machine has no matrices") for line in moved.lines)
    with np.load(out / "model" / "checked.npz") as arrays:
        spoiled = {name: array * 2 if name.startswith("output") else array for name, array in arrays.items()}
    np.savez(out / "model" / "checked.npz", **spoiled)
    spoilt = check(out)
    assert not spoilt.ok
    assert [item.name for item in spoilt.checks if not item.ok] == ["machine"]


@pytest.mark.parametrize(("name", "bits"), [("Saturates", 7), ("SaturatesSoon", None)])
def test_a_run_keeps_what_it_found_of_an_engines_sums_also_when_it_is_resumed(
    name: str, bits: int | None, tmp_path: Path
) -> None:
    engine, found = f"tests.verify.saturation_engines:{name}", quantized(8)
    for resume in (False, True):
        journal = Journal(tmp_path, {}, resume)
        with Worker() as worker:
            workshop = Workshop(journal, worker, found, [], None)
            scheme = workshop.scheme(engine, ONNX_RUNTIME)
            assert scheme.weight_bits == (() if bits is None else (bits,))
            assert "aten.matmul" not in scheme.integer_ops | scheme.float_output_ops
            assert "aten.linear" in scheme.integer_ops
        journal.release()
        assert workshop.weight_bits == {engine: bits}
