"""Huffman coding of stored weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fxopt.compiler.load import load
from fxopt.errors import EngineError
from fxopt.ir.program import Program
from fxopt_passes.quantize.sharing import KMeans
from fxopt_plugins.engines.huffman import pack, unpacked
from tests.engines.test_outputs import make
from tests.passes.apply import captured
from tests.passes.quantize.kinds import quantized

ENGINES = ["onnxruntime", "openvino"]


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_a_file_comes_back_as_it_was(size: int, tmp_path: Path) -> None:
    content = np.random.default_rng(0).binomial(16, 0.5, size).astype(np.uint8).tobytes()
    file = tmp_path / "weights"
    file.write_bytes(content)
    assert unpacked(file) is None
    pack(file)
    assert not file.exists()
    assert unpacked(file) == content


def test_the_code_is_as_short_as_the_entropy_says(tmp_path: Path) -> None:
    values = np.random.default_rng(0).binomial(16, 0.5, 1_000_000).astype(np.uint8)
    shares = np.bincount(values) / len(values)
    bits = -(shares[shares > 0] * np.log2(shares[shares > 0])).sum()
    file = tmp_path / "weights"
    file.write_bytes(values.tobytes())
    pack(file)
    (packed,) = tmp_path.iterdir()
    assert packed.stat().st_size * 8 / len(values) < 1.03 * bits


def shared() -> tuple[Program, torch.Tensor]:
    """A net whose weights share 8 values a tensor."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(64, 512, 3), nn.ReLU(), nn.Conv2d(512, 64, 3), nn.Flatten(), nn.Linear(1024, 512))
    x = torch.randn(2, 64, 8, 8)
    return quantized(KMeans(clusters=8), captured(net, x, dynamic=True)), x


@pytest.mark.parametrize("engine", ENGINES)
def test_a_coded_model_computes_the_same_and_takes_the_bits_of_its_values(engine: str, tmp_path: Path) -> None:
    program, x = shared()
    outputs, sizes, graphs = [], [], []
    for huffman in (False, True):
        runtime = replace(make(engine), huffman=huffman)
        folder = tmp_path / str(huffman)
        folder.mkdir()
        artifact = runtime.emit(program, folder)
        outputs.append(runtime.load(artifact, artifact.stages[0])([x.numpy()])[0])
        graphs.append(runtime.fused_kernels(artifact).signature)
        sizes.append(artifact.size_bytes())
        assert runtime.profile(artifact, [x.numpy()])
    assert np.array_equal(*outputs)
    assert graphs[0] == graphs[1]
    assert sizes[0] / sizes[1] > 2.3  # 8 values need 3 bits of the 8 that each code has


@pytest.mark.parametrize("engine", ENGINES)
def test_a_coded_artifact_is_loaded_as_any_other(engine: str, tmp_path: Path) -> None:
    program, x = shared()
    replace(make(engine), huffman=True).emit(program, tmp_path)
    (expected,) = program.run([x])
    torch.testing.assert_close(load(tmp_path)(x), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_weights_in_a_file_of_their_own_are_not_coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fxopt_plugins.engines.onnx_export._EXTERNAL_BYTES", 1000)
    program = captured(nn.Linear(64, 65), torch.randn(2, 64))
    with pytest.raises(EngineError, match="not Huffman-coded"):
        replace(make("onnxruntime"), huffman=True).emit(program, tmp_path)
