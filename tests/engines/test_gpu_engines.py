"""Engines for GPUs that are not here: what they emit, what that computes on the CPU, and the script that builds it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from fxopt.contracts.engine import Artifact, Engine
from fxopt.errors import InputError
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.measure.host import bind
from fxopt.registry import Registry
from fxopt.verify.error import worst
from fxopt_plugins.engines.inductor_gpu import InductorGpu
from fxopt_plugins.engines.onnxruntime_gpu import OnnxRuntimeCuda, OnnxRuntimeTensorRt
from fxopt_plugins.engines.schemes import TENSORRT
from fxopt_plugins.engines.tensorrt import SCRIPT, TensorRt
from tests.engines.nets import ConvNet, program
from tests.engines.quantized_nets import quantized

ENGINES = (TensorRt, OnnxRuntimeCuda, OnnxRuntimeTensorRt, InductorGpu)


def convolutions() -> Program:
    torch.manual_seed(0)
    return program(ConvNet().eval(), torch.randn(2, 3, 16, 16), dynamic=True)


def error(engine: Engine, model: Program, folder: Path) -> float:
    """Of the emitted artifact on the CPU against the Program."""
    engine.emit(model, folder)
    return error_of(engine, model, folder)


def error_of(engine: Engine, model: Program, folder: Path) -> float:
    inputs = sample_inputs(model, seed=0)
    found = bind(engine, Artifact.read(folder))([value.numpy() for value in inputs])
    expected = model.run(inputs)
    assert [value.dtype for value in found] == [value.numpy().dtype for value in expected]
    return worst([torch.from_numpy(np.array(value)) for value in found], expected)


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_float16_is_rounded_as_such_and_crosses_no_border(engine: type[Any], tmp_path: Path) -> None:
    (tmp_path / "f32").mkdir(), (tmp_path / "f16").mkdir()
    model = convolutions()
    assert error(engine(), model, tmp_path / "f32") < 1e-5
    half = error(engine(precision="f16"), model, tmp_path / "f16")
    assert 1e-5 < half < 1e-2
    Artifact.change(tmp_path / "f32", {"precision": "f16"})  # as a tuning does, of which nothing is emitted anew
    assert 1e-5 < error_of(engine(), model, tmp_path / "f32") < 1e-2


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_float16_is_the_one_tuning_and_is_lossy(engine: type[Any], tmp_path: Path) -> None:
    told = engine().emit(convolutions(), tmp_path).options
    assert list(engine().tunings(told, {"float32", "float16"})) == [{"precision": "f16"}]
    assert list(engine().tunings(told, {"float32"})) == []
    assert list(engine().tunings({**told, "precision": "f16"}, {"float16"})) == []
    assert engine.lossy_options == ("precision",)
    with pytest.raises(InputError, match="precision is f32 or f16, not 'int3'"):
        Registry.load().make_engine(f"{engine.name}{{precision=int3}}")


def test_tensorrt_gets_the_dtypes_that_it_is_to_compute_in(tmp_path: Path) -> None:
    TensorRt(precision="f16").emit(convolutions(), tmp_path)
    model = onnx.load(tmp_path / "model.onnx")
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert len(layers) == 3
    assert all(weights[node.input[1]] == half for node in layers)
    assert {value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)} == {single}


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_integers_between_q_and_dq_are_computed_exactly(precision: str, tmp_path: Path) -> None:
    model = quantized("residual stack", TENSORRT)[0]
    assert error(TensorRt(precision=precision), model, tmp_path) < (1e-5 if precision == "f32" else 0.05)
    graph = onnx.load(tmp_path / "model.onnx").graph
    dtype = onnx.TensorProto.FLOAT if precision == "f32" else onnx.TensorProto.FLOAT16
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    assert nodes
    for node in nodes:  # else a cast stands between DQ and layer, and they are not fused
        assert stored[node.input[1]].data_type == dtype
        assert stored[node.input[2]].data_type == onnx.TensorProto.INT8


# -- the script -----------------------------------------------------------------------------------------------------------


def script(folder: Path) -> ModuleType:
    """The script that an artifact holds, as a module."""
    spec = importlib.util.spec_from_file_location("build_engine", folder / SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_says_what_it_takes_and_needs_no_fxopt(tmp_path: Path) -> None:
    TensorRt().emit(convolutions(), tmp_path)
    found = subprocess.run(
        [sys.executable, "-I", str(tmp_path / SCRIPT), "--help"], capture_output=True, text=True, check=True
    )
    assert "--precision {f32,f16}" in found.stdout
    assert "fxopt" not in [
        line.split()[-1] for line in (tmp_path / SCRIPT).read_text().splitlines() if "import" in line
    ]


def test_the_script_builds_for_the_sizes_and_the_precision_of_the_manifest(tmp_path: Path) -> None:
    TensorRt(precision="f16").emit(convolutions(), tmp_path)
    module = script(tmp_path)
    options = module.arguments([])
    assert (options.precision, options.typed) == ("f16", True)
    assert options.onnx == tmp_path / "model.onnx"
    assert module.shapes(options.inputs["x"], options.dims) == ([1, 3, 16, 16], [2, 3, 16, 16], [64, 3, 16, 16])
    assert module.shapes(["N", 4], {"N": (1, 8, None)}) == ([1, 4], [8, 4], [32, 4])
    Artifact.change(tmp_path, {"written": "f32"})
    assert not module.arguments([]).typed


class Recorder:
    """Stands for TensorRT's module: takes every call, and keeps what was asked for."""

    __version__ = "10.3.0"

    def __init__(self, network: list[str]) -> None:
        self.asked: dict[str, Any] = {"flags": [], "profile": {}}
        kinds = [SimpleNamespace(type=kind) for kind in network]
        asked = self.asked
        self.Logger = type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None})
        self.NetworkDefinitionCreationFlag = SimpleNamespace(EXPLICIT_BATCH=0, STRONGLY_TYPED=1)
        self.BuilderFlag = SimpleNamespace(FP16="FP16", INT8="INT8", TF32="TF32")
        self.MemoryPoolType = SimpleNamespace(WORKSPACE=0)
        self.LayerType = SimpleNamespace(QUANTIZE="Q", DEQUANTIZE="DQ")
        found = SimpleNamespace(num_layers=len(kinds), get_layer=kinds.__getitem__)
        profile = SimpleNamespace(set_shape=lambda name, *ends: asked["profile"].update({name: ends}))
        config = SimpleNamespace(
            set_memory_pool_limit=lambda pool, size: asked.update(workspace=size),
            set_flag=asked["flags"].append,
            clear_flag=lambda flag: asked["flags"].append(f"no {flag}"),
            add_optimization_profile=lambda item: None,
        )
        builder = SimpleNamespace(
            create_network=lambda flags: asked.update(creation=flags) or found,
            create_builder_config=lambda: config,
            create_optimization_profile=lambda: profile,
            build_serialized_network=lambda network, config: b"an engine",
        )
        self.Builder = lambda logger: builder
        self.OnnxParser = lambda network, logger: SimpleNamespace(parse_from_file=lambda file: Path(file).exists())


@pytest.mark.parametrize(
    ("written", "precision", "network", "creation", "flags"),
    [
        ("f16", "f16", ["DQ"], 2, ["no TF32"]),
        ("f32", "f32", ["Q", "DQ"], 2, ["no TF32"]),
        ("f32", "f16", ["Conv"], 0, ["no TF32", "FP16"]),
        ("f32", "f16", ["Q", "DQ"], 0, ["no TF32", "FP16", "INT8"]),
    ],
)
def test_the_script_asks_tensorrt_for_no_more_than_the_model_leaves_open(
    written: str,
    precision: str,
    network: list[str],
    creation: int,
    flags: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    TensorRt(precision=written).emit(convolutions(), tmp_path)
    recorder = Recorder(network)
    monkeypatch.setitem(sys.modules, "tensorrt", recorder)
    module = script(tmp_path)
    module.build(module.arguments(["--precision", precision]))
    assert recorder.asked["creation"] == creation
    assert recorder.asked["flags"] == flags
    assert recorder.asked["profile"] == {"x": ([1, 3, 16, 16], [2, 3, 16, 16], [64, 3, 16, 16])}
    assert (tmp_path / "model.engine").read_bytes() == b"an engine"


def test_what_is_emitted_names_what_checked_it(tmp_path: Path) -> None:
    TensorRt().emit(convolutions(), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["options"]["precision"] == "f32"
    assert "ONNX Runtime" in manifest["options"]["versions"]["tensorrt"]
