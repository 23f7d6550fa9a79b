"""The engines' own quantization recipes: what they write loads, runs on integers, and is near the floats."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.quantize.peers import has_dot_products
from fxopt.contracts.engine import Artifact
from fxopt.errors import EngineError
from fxopt.ir.program import Program
from fxopt.measure import Limits, Worker, samples
from fxopt.registry import Registry
from fxopt_plugins.engines import recipes_onnxruntime, recipes_openvino
from fxopt_plugins.engines.openvino import OpenVino
from fxopt_plugins.engines.schemes import ONNX_RUNTIME
from tests.engines.nets import ConvNet, case, program
from tests.engines.quantized_nets import quantized
from tests.engines.test_outputs import ENGINES, make

RECIPES = [(engine.name, recipe) for engine in ENGINES.values() for recipe in engine.recipes]
FAILING = "tests.engines.failing_recipes:Quantizes"
Batches = list[list[np.ndarray]]


class Block(nn.Module):
    """Attention with two heads and an MLP: (N, 6, 16) to (N, 6, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(16), nn.LayerNorm(16)
        self.project, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(self.before(x)).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.between(x))


NETS: dict[str, tuple[type[nn.Module], tuple[int, ...]]] = {
    "convolutions": (ConvNet, (3, 16, 16)),
    "transformer": (Block, (6, 16)),
}


def net(name: str) -> tuple[Program, Batches]:
    """The named network with a dynamic batch, and four batches of its inputs."""
    torch.manual_seed(0)
    model, shape = NETS[name]
    batches = [torch.randn(8, *shape) for _ in range(4)]
    return program(model(), batches[0], dynamic=True), [[x.numpy()] for x in batches]


def by_recipe(engine: str, recipe: str, program: Program, batches: Any, folder: Path) -> Artifact:
    """What the recipe writes; the test is skipped where it cannot run here."""
    runtime = make(engine)
    if reason := runtime.recipe_available(recipe):
        pytest.skip(reason)
    folder.mkdir(exist_ok=True)
    runtime.quantize(recipe, program, batches, folder)
    return Artifact.read(folder)


def _sums_are_right_in(recipe: str) -> bool:
    """Whether sums of 8-bit products saturate nowhere, by the CPU or by the recipe's own doing."""
    cpu = Registry.load().make_target("cpu").machine()
    return recipe.endswith("reduced") or has_dot_products(cpu)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("engine", "recipe"), RECIPES)
def test_a_recipe_runs_on_integers_near_the_floats(engine: str, recipe: str, name: str, tmp_path: Path) -> None:
    source, batches = net(name)
    artifact = by_recipe(engine, recipe, source, batches, tmp_path)
    (found,) = make(engine).load(artifact, artifact.stages[0])(batches[0])
    expected = source.run([torch.from_numpy(batches[0][0])])[0].numpy()
    near = 0.05 if _sums_are_right_in(recipe) else 0.2
    assert 0 < np.linalg.norm(found - expected) < near * np.linalg.norm(expected)
    graph = make(engine).fused_kernels(artifact)
    assert graph.signature
    assert {"uint8", "int8"} & set().union(*graph.dtypes().values())
    assert graph.dtypes().keys() <= {node.name for node in source.nodes}


@pytest.mark.parametrize(("engine", "recipe"), RECIPES)
def test_a_recipe_leaves_one_model_that_can_be_profiled(engine: str, recipe: str, tmp_path: Path) -> None:
    source, batches = net("convolutions")
    artifact = by_recipe(engine, recipe, source, batches, tmp_path)
    assert len([file for file in tmp_path.iterdir() if file.suffix in (".onnx", ".xml")]) == 1
    assert not [file for file in tmp_path.iterdir() if file.is_dir()]
    assert artifact.options["recipe"] == recipe
    kernels = make(engine).profile(artifact, batches[0])
    assert sum(kernel.milliseconds or 0 for kernel in kernels) > 0


@pytest.mark.parametrize(("engine", "recipe"), [("onnxruntime", "static_u8s8"), ("openvino", "nncf")])
def test_inputs_and_outputs_keep_their_order(engine: str, recipe: str, tmp_path: Path) -> None:
    source, inputs = case("transformer")
    arrays = [value.numpy() for value in inputs]
    artifact = by_recipe(engine, recipe, source, [arrays], tmp_path)
    found = make(engine).load(artifact, artifact.stages[0])(arrays)
    assert [value.shape for value in found] == [tuple(value.shape) for value in source.run(inputs)]


@pytest.mark.parametrize(("engine", "recipe"), RECIPES)
def test_the_same_data_give_the_same_weights(engine: str, recipe: str, tmp_path: Path) -> None:
    source, batches = net("transformer")
    found = []
    for part in ("a", "b"):
        by_recipe(engine, recipe, source, batches, tmp_path / part)
        weights = {"onnxruntime": "model.onnx", "openvino": "model.bin"}[engine]
        found.append((tmp_path / part / weights).read_bytes())
    assert found[0] == found[1]


def test_recipes_share_a_calibration_only_on_the_same_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxruntime.quantization import quantize_static
    from onnxruntime.quantization.calibrate import MinMaxCalibrater

    if "calibration_cache_path" not in inspect.signature(quantize_static).parameters:
        pytest.skip("this ONNX Runtime cannot take ranges that are known")
    calibrated = []
    collect = MinMaxCalibrater.collect_data
    monkeypatch.setattr(MinMaxCalibrater, "collect_data", lambda *a: calibrated.append(1) or collect(*a))
    recipes_onnxruntime._ranges.clear()
    source, batches = net("convolutions")

    def model(recipe: str, data: Batches, folder: str) -> bytes:
        by_recipe("onnxruntime", recipe, source, data, tmp_path / folder)
        return (tmp_path / folder / "model.onnx").read_bytes()

    model("static_u8s8", batches, "first")
    shared = model("static_s8s8", batches, "shared")
    assert len(calibrated) == 1
    other = model("static_s8s8", [[2 * array for array in batch] for batch in batches], "other")
    assert len(calibrated) == 2
    recipes_onnxruntime._ranges.clear()
    assert model("static_s8s8", batches, "alone") == shared != other


def test_seven_bits_are_seven_bits(tmp_path: Path) -> None:
    import onnx

    source, batches = net("convolutions")
    largest = {}
    for recipe in ("static_u8s8", "static_u8s8_reduced"):
        by_recipe("onnxruntime", recipe, source, batches, tmp_path / recipe)
        stored = onnx.load(tmp_path / recipe / "model.onnx").graph.initializer
        weights = [onnx.numpy_helper.to_array(t) for t in stored if t.data_type == onnx.TensorProto.INT8]
        largest[recipe] = max(int(np.abs(values.astype(int)).max(initial=0)) for values in weights)
    assert largest == {"static_u8s8": 127, "static_u8s8_reduced": 64}


def test_dynamic_needs_no_samples_and_says_where_there_is_no_linear_layer(tmp_path: Path) -> None:
    source, _ = net("transformer")
    assert by_recipe("onnxruntime", "dynamic", source, [], tmp_path / "linear")
    convolution = program(nn.Conv2d(3, 4, 3), torch.randn(1, 3, 8, 8))
    with pytest.raises(EngineError, match="finds nothing in this model to quantize"):
        by_recipe("onnxruntime", "dynamic", convolution, [], tmp_path / "convolution")


@pytest.mark.parametrize(("engine", "recipe"), [("onnxruntime", "static_u8s8"), ("openvino", "nncf")])
def test_no_samples_are_refused(engine: str, recipe: str, tmp_path: Path) -> None:
    source, _ = net("convolutions")
    with pytest.raises((EngineError, ValueError), match="samples|No data is collected"):
        by_recipe(engine, recipe, source, [], tmp_path)


def test_a_program_of_integers_is_refused(tmp_path: Path) -> None:
    source, inputs, _ = quantized("mlp", ONNX_RUNTIME)
    with pytest.raises(EngineError, match="onnxruntime: dynamic: the program holds integers already"):
        by_recipe("onnxruntime", "dynamic", source, [[x.numpy() for x in inputs]], tmp_path)


def test_a_recipe_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "nncf" else find(name, *more))
    line = r"nncf is not installed: pip install 'fxopt\[nncf\]'"
    assert OpenVino.recipe_available("nncf") == line.replace("\\", "")
    with pytest.raises(EngineError, match=line):
        OpenVino().quantize("nncf", net("convolutions")[0], [], tmp_path)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_unknown_recipe_is_one_line(engine: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=f"{engine} has no recipe 'magic'"):
        make(engine).quantize("magic", net("convolutions")[0], [], tmp_path)


def test_nncf_is_fed_single_samples_and_no_more_than_it_looks_at() -> None:
    dynamic, batches = net("convolutions")
    fed = list(recipes_openvino._small(dynamic, batches * 20))
    assert {x.shape for (x,) in fed} == {(1, 3, 16, 16)}
    assert len(fed) == 300
    np.testing.assert_array_equal(fed[9][0], batches[1][0][1:2])
    static = program(ConvNet().eval(), torch.randn(8, 3, 16, 16))
    assert [x.shape[0] for (x,) in recipes_openvino._small(static, batches * 20)] == [8] * 38


def test_samples_are_read_as_they_were_written_more_than_once(tmp_path: Path) -> None:
    batches = [[np.full((2, 3), number, np.float32), np.array(number)] for number in range(12)]
    samples.write(tmp_path / "samples.npz", iter(batches))
    stored = samples.Samples(tmp_path / "samples.npz")
    for _ in range(2):
        for found, wanted in zip(stored, batches, strict=True):
            assert [array.dtype for array in found] == [array.dtype for array in wanted]
            assert all(map(np.array_equal, found, wanted))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of a saved Program and file of samples."""
    folder = tmp_path_factory.mktemp("saved")
    source, batches = net("convolutions")
    (folder / "program").mkdir()
    source.save(folder / "program")
    samples.write(folder / "samples.npz", batches)
    return folder / "program", folder / "samples.npz"


def failure(worker: Worker, recipe: str, saved: tuple[Path, Path], out: Path) -> str:
    """The line of a recipe that fails, which leaves nothing behind."""
    with pytest.raises(EngineError) as caught:
        worker.quantize(FAILING, recipe, *saved, out)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{FAILING}: {recipe}: quantize: ")


def test_a_recipe_that_fails_is_one_line_and_the_worker_serves_on(saved: tuple[Path, Path], tmp_path: Path) -> None:
    with Worker() as worker:
        assert failure(worker, "raises", saved, tmp_path / "a") == "ValueError: range of node conv2d"
        assert failure(worker, "dies", saved, tmp_path / "b").startswith("was killed by SIGABRT")
        worker.limits = Limits(build_s=2)
        assert failure(worker, "hangs", saved, tmp_path / "c") == "gave no answer in 2 s"
        worker.limits = Limits()
        written = [worker.quantize(FAILING, "writes", *saved, tmp_path / part).path / "half" for part in "de"]
    assert written[0].read_text() == written[1].read_text()


@pytest.mark.parametrize(("engine", "recipe"), [("onnxruntime", "static_u8s8"), ("openvino", "nncf")])
def test_a_worker_quantizes(engine: str, recipe: str, saved: tuple[Path, Path], tmp_path: Path) -> None:
    if reason := make(engine).recipe_available(recipe):
        pytest.skip(reason)
    with Worker() as worker:
        artifact = worker.quantize(f"{engine}{{threads=1}}", recipe, *saved, tmp_path / "out")
        graph = worker.graph(engine, artifact.path)
    (dtype,) = graph.dtypes()["conv2d"]
    assert dtype in ("uint8", "int8")  # signed at the input, where the CPU has products of signed integers
