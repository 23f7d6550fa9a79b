"""Every engine computes what the Program computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fxopt.contracts.engine import Artifact, Engine, FlatCallable
from fxopt.ir.program import Program
from fxopt_plugins.engines import fxopt_engines
from tests.engines.nets import CASES, case

ENGINES = {engine.name: engine for engine in fxopt_engines()}
QUICK = [name for name in ENGINES if name != "inductor"]
FOR_GPUS = ("tensorrt", "onnxruntime_cuda", "onnxruntime_tensorrt", "inductor_gpu")


def make(name: str) -> Engine:
    """An engine with one thread; the test is skipped where its runtime is missing."""
    if reason := ENGINES[name].available():
        pytest.skip(reason)
    return ENGINES[name](threads=1)


def emitted(engine: Engine, program: Program, folder: Path) -> FlatCallable:
    """What the engine loads of what it has emitted."""
    engine.emit(program, folder)
    artifact = Artifact.read(folder)
    return engine.load(artifact, artifact.stages[0])


def assert_close(found: list[np.ndarray], wanted: list[np.ndarray]) -> None:
    assert [array.shape for array in found] == [array.shape for array in wanted]
    assert [array.dtype for array in found] == [array.dtype for array in wanted]
    for left, right in zip(found, wanted, strict=True):
        scale = np.abs(right.astype(float)).max(initial=1e-6)
        assert np.abs(left.astype(float) - right.astype(float)).max(initial=0) <= 1e-3 * scale


@pytest.mark.parametrize("engine", [*QUICK, pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("net", CASES)
def test_outputs_are_those_of_the_program(engine: str, net: str, tmp_path: Path) -> None:
    program, inputs = case(net)
    runtime = make(engine)
    faults = list(runtime.unsupported(program))
    if (engine, net) == ("inductor_gpu", "condition"):
        assert [fault.reason for fault in faults] == ["torch.export.save cannot write a nested graph"]
        return
    assert not faults
    call = emitted(runtime, program, tmp_path)
    assert_close(call([value.numpy() for value in inputs]), [value.numpy() for value in program.run(inputs)])


@pytest.mark.parametrize("engine", QUICK)
def test_a_dynamic_batch_takes_any_size_in_its_range(engine: str, tmp_path: Path) -> None:
    program, inputs = case("convolutions")
    call = emitted(make(engine), program, tmp_path)
    for size in (1, 7):
        sample = inputs[0][:1].expand(size, -1, -1, -1).contiguous()
        assert_close(call([sample.numpy()]), [value.numpy() for value in program.run([sample])])


@pytest.mark.parametrize("engine", QUICK)
def test_inputs_need_not_be_contiguous_or_writable(engine: str, tmp_path: Path) -> None:
    program, inputs = case("convolutions")
    call = emitted(make(engine), program, tmp_path)
    strided = np.asfortranarray(inputs[0].numpy())
    strided.flags.writeable = False
    assert_close(call([strided]), [value.numpy() for value in program.run(inputs)])


@pytest.mark.parametrize("engine", QUICK)
def test_an_output_outlives_the_next_call(engine: str, tmp_path: Path) -> None:
    program, inputs = case("convolutions")
    call = emitted(make(engine), program, tmp_path)
    first = call([inputs[0].numpy()])[0]
    kept = first.copy()
    call([np.zeros_like(inputs[0].numpy())])
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("engine", QUICK)
def test_the_manifest_records_how_the_engine_was_told_to_run(engine: str, tmp_path: Path) -> None:
    program, _ = case("unused input")
    make(engine).emit(program, tmp_path)
    options = Artifact.read(tmp_path).options
    assert options.get("threads") == (None if engine in FOR_GPUS else 1)  # the host's are of no account there
    assert options["precision"] == ("f32" if engine in ("openvino", *FOR_GPUS) else "as written")
    assert options["versions"]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_artifact_runs_on_one_thread_of_two(engine: str, tmp_path: Path) -> None:
    program, inputs = case("convolutions")
    make(engine)  # or the test is skipped
    runtime = ENGINES[engine](threads=2)
    told = runtime.emit(program, tmp_path).options
    (tuning,) = runtime.tunings(told, {"float32"})
    assert tuning == {"threads": 1}
    Artifact.change(tmp_path, tuning)
    artifact = Artifact.read(tmp_path)
    assert not list(runtime.tunings(artifact.options, ()))
    call = runtime.load(artifact, artifact.stages[0])
    assert_close(call([value.numpy() for value in inputs]), [value.numpy() for value in program.run(inputs)])


@pytest.mark.parametrize(("dtypes", "found"), [({"bfloat16"}, [{"precision": "bf16"}]), (set(), [])])
def test_what_is_in_floats_is_tried_in_bfloat16_where_the_cpu_has_it(dtypes: set[str], found: list[object]) -> None:
    told = {"threads": 1, "precision": "f32"}
    assert list(ENGINES["openvino"]().tunings(told, dtypes)) == found
