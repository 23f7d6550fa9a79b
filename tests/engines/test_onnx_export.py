"""The ONNX model that ONNX Runtime and OpenVINO share."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from fxopt.errors import EngineError
from fxopt.ir.program import Program
from fxopt.registry import Registry
from fxopt.testing import captured
from fxopt_plugins.engines import onnx_export, onnx_registry
from fxopt_plugins.engines.onnx_export import export_onnx
from fxopt_plugins.engines.onnx_translation import untranslatable
from tests.engines.nets import CASES, case, program
from tests.engines.quantized_nets import quantized


def exported(program: Program, folder: Path) -> onnx.ModelProto:
    return onnx.load(export_onnx(program, folder))


def test_what_one_export_translates_its_own_way_the_next_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = case("transformer")
    own, scheme = case("convolutions")[0], Registry.load().engines["onnxruntime"].quant_scheme
    assert scheme is not None
    integers, *_ = quantized("depthwise separable", scheme)
    monkeypatch.setattr(onnx_export, "_exports", {})
    folders = [tmp_path / name for name in ("before", "others", "after")]
    for folder in folders:
        folder.mkdir()
    before = export_onnx(plain, folders[0]).read_bytes()
    export_onnx(own, folders[1])
    export_onnx(integers, folders[1], onnxruntime=True)
    monkeypatch.setattr(onnx_export, "_exports", {})
    made = onnx_registry._registry.cache_info().misses
    assert export_onnx(plain, folders[2]).read_bytes() == before
    assert onnx_registry._registry.cache_info().misses == made > 0


def test_exports_are_the_same_where_torch_keeps_its_registry_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "_exports", {})
    before = export_onnx(case("convolutions")[0], tmp_path).read_bytes()
    monkeypatch.setattr(onnx_export, "_exports", {})
    monkeypatch.setitem(sys.modules, "torch.onnx._internal.exporter._registration", None)
    assert export_onnx(case("convolutions")[0], tmp_path).read_bytes() == before


def test_border_and_axes_bear_the_names_of_the_interface(tmp_path: Path) -> None:
    net, _ = case("transformer")
    graph = exported(net, tmp_path).graph
    assert [value.name for value in graph.input] == ["tokens", "mask"]
    assert [value.name for value in graph.output] == list(net.interface.outputs)
    assert [axis.dim_param for axis in graph.input[0].type.tensor_type.shape.dim] == ["N", ""]


def test_an_output_that_is_a_constant_has_a_name_of_its_own(tmp_path: Path) -> None:
    constant = captured(lambda self, x: (x * 2, (self.table * 2).exp()), torch.randn(3), table=torch.randn(3))
    graph = exported(constant, tmp_path).graph
    names = [name for node in graph.node for name in node.output] + [tensor.name for tensor in graph.initializer]
    assert len(set(names)) == len(names)
    assert [value.name for value in graph.output] == ["mul", "exp"]


@pytest.mark.parametrize("net", ["convolutions", "transformer", "condition"])
def test_nothing_of_the_machine_stands_in_the_file(net: str, tmp_path: Path) -> None:
    model = exported(case(net)[0], tmp_path)
    assert not model.metadata_props
    assert not model.graph.metadata_props
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    data = (tmp_path / "model.onnx").read_bytes()
    assert b".py" not in data
    assert str(Path.home()).encode() not in data


def test_batch_norm_is_folded_on_the_way(tmp_path: Path) -> None:
    graph = exported(case("convolutions")[0], tmp_path).graph
    assert "conv2d+batch_norm" in [node.name for node in graph.node]
    assert "BatchNormalization" not in [node.op_type for node in graph.node]


class Decomposed(nn.Module):
    """Holds an operator that must be decomposed, after one that need not be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(self.norm(self.conv(x)), 2).relu()


def test_a_decomposed_node_is_named_after_the_node_it_came_from(tmp_path: Path) -> None:
    net = program(Decomposed(), torch.randn(1, 3, 10, 10))
    names = [node.name.partition("/")[0] for node in exported(net, tmp_path).graph.node]
    assert set(names) <= {"conv2d+batch_norm", "conv2d", "batch_norm", "adaptive_avg_pool2d", "relu"}


def test_engines_in_one_process_share_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, _ = case("unused input")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    export_onnx(net, tmp_path / "a")
    monkeypatch.setattr(onnx_export, "_translate", None)  # would raise if called
    export_onnx(net, tmp_path / "b")
    assert (tmp_path / "a" / "model.onnx").read_bytes() == (tmp_path / "b" / "model.onnx").read_bytes()


def test_what_torch_onnx_cannot_translate_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"^torch\.onnx: [^\n]+$"):
        export_onnx(program(NoTranslation(), torch.eye(3)), tmp_path)


def test_exports_that_are_kept_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "_KEPT_BYTES", 0)
    export_onnx(case("unused input")[0], tmp_path)
    assert not onnx_export._exports


def test_large_weights_lie_in_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "_EXTERNAL_BYTES", 100)
    monkeypatch.setattr(onnx_export, "_exports", {})
    net, _ = case("static")
    model = onnx.load(export_onnx(net, tmp_path), load_external_data=False)
    assert (tmp_path / "model.onnx.data").stat().st_size > 1000
    assert any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)


class NoTranslation(nn.Module):
    """Computes what ONNX has no operator for."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.qr(x)[0]


def test_a_node_without_translation_is_told_before_emission() -> None:
    found = untranslatable(program(NoTranslation(), torch.eye(3)))
    assert len(found) == 1
    assert "has no translation to ONNX" in found[0].reason


@pytest.mark.parametrize("name", CASES)
def test_folding_constants_first_changes_nothing_of_what_the_optimizer_makes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, _ = case(name)
    found = []
    for folder, fold in ((tmp_path / "first", onnx_export._fold), (tmp_path / "not", lambda model: None)):
        folder.mkdir()
        monkeypatch.setattr(onnx_export, "_fold", fold)
        onnx_export._exports.clear()
        graph = exported(net, folder).graph
        found.append((graph.node, graph.input, graph.output, {value.name: value for value in graph.initializer}))
    onnx_export._exports.clear()
    assert found[0] == found[1]
