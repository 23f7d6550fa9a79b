"""`int8`: what engines make of it, how far it is off, and what it declines."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt import Candidate, Observed, QuantScheme, StaleCandidate
from fxopt.compiler.context import Context
from fxopt.compiler.offers import offer
from fxopt.compiler.search import follow, search
from fxopt.compiler.steps import replay
from fxopt.contracts.passes import View
from fxopt.data import Data
from fxopt.ir.observe import observe
from fxopt.ir.program import Program
from fxopt.ir.quantized import bounds, is_dequantize, is_quantize
from fxopt.ir.samples import sample_inputs
from fxopt.ir.statistics import Statistics
from fxopt.ir.twin import double
from fxopt.registry import Registry
from fxopt.testing import captured
from fxopt_passes.quantize.int8 import Int8
from fxopt_passes.quantize.weights import Int8Weight
from fxopt_plugins.engines.onnx_export import export_onnx
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO, TENSORRT
from tests.engines.nets import program
from tests.engines.test_outputs import make
from tests.passes.apply import apply
from tests.passes.quantize.calibrated import calibration, offered, residual_network, view_of
from tests.passes.quantize.test_regions import BRANCHES, PADDED, branches, padded

SCHEMES = {"onnxruntime": ONNX_RUNTIME, "openvino": OPENVINO, "tensorrt": TENSORRT}
IMAGES = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(5))


def on_integers(found: Program, scheme: QuantScheme, rule: Int8 | None = None) -> Program:
    return apply(found, rule or Int8(), offered(found, scheme, rule))


def error(found: Program, other: Program, *inputs: Tensor) -> float:
    """Relative error in the root mean square."""
    ours, theirs = other.run(inputs)[0], found.run(inputs)[0]
    return float((ours - theirs).norm() / theirs.norm())


def reasons(found: Program, view: View) -> str:
    assert list(Int8().propose(found, view)) == []
    return "\n".join(decline.reason for decline in view.declines)


# -- what engines make of it -----------------------------------------------------------------------------------------


def right_anywhere(scheme: QuantScheme) -> QuantScheme:
    """With weights of 7 bits, whose sums saturate on no CPU."""
    return replace(scheme, weight_bits=(7,))


def test_onnxruntime_runs_everything_on_integers(tmp_path: Path) -> None:
    quantized = on_integers(residual_network(), right_anywhere(ONNX_RUNTIME))
    engine = make("onnxruntime")
    artifact = engine.emit(quantized, tmp_path)
    kinds = Counter(kernel.kind for kernel in engine.fused_kernels(artifact).kernels)
    layers = {"QLinearConv": 5, "QLinearAdd": 2, "QLinearGlobalAveragePool": 1, "QGemm": 1, "QuantizeLinear": 1}
    assert {kind: kinds[kind] for kind in layers} == layers
    assert not {"Conv", "FusedConv", "Gemm", "Add", "Relu", "DequantizeLinear"} & kinds.keys()
    (found,) = engine.load(artifact, artifact.stages[0])([IMAGES.numpy()])
    np.testing.assert_allclose(found, quantized.run([IMAGES])[0].numpy(), atol=0.02 * np.abs(found).max())


def test_onnxruntime_splits_integers(tmp_path: Path) -> None:
    program = captured(branches, torch.randn(2, 8, 8, 8), **BRANCHES)
    quantized = on_integers(program, right_anywhere(ONNX_RUNTIME))
    engine = make("onnxruntime")
    artifact = engine.emit(quantized, tmp_path)
    kinds = Counter(kernel.kind for kernel in engine.fused_kernels(artifact).kernels)
    assert (kinds["QLinearConv"], kinds["QLinearAdd"], kinds["Split"]) == (4, 1, 1)
    assert kinds["DequantizeLinear"] == 2  # before the one activation in floats, and at the end
    inputs = sample_inputs(program)
    (found,) = engine.load(artifact, artifact.stages[0])([value.numpy() for value in inputs])
    expected = quantized.run(inputs)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize(("name", "scheme"), [("onnxruntime", ONNX_RUNTIME), ("openvino", OPENVINO)])
def test_uneven_padding_is_done_by_the_integer_kernel_of_its_layer(
    name: str, scheme: QuantScheme, tmp_path: Path
) -> None:
    program = captured(padded, torch.randn(2, 8, 9, 9), **PADDED)
    quantized = on_integers(program, right_anywhere(scheme))
    engine = make(name)
    artifact = engine.emit(quantized, tmp_path)
    kernels = engine.fused_kernels(artifact).kernels
    assert not [kernel for kernel in kernels if kernel.kind.lower().startswith("pad")]
    layers = [kernel for kernel in kernels if "conv" in kernel.kind.lower()]
    assert [kernel.dtype for kernel in layers] == ["uint8"] * 3
    inputs = sample_inputs(program)
    (found,) = engine.load(artifact, artifact.stages[0])([value.numpy() for value in inputs])
    expected = quantized.run(inputs)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())
    floats = program.run(inputs)[0].numpy()
    assert np.abs(expected - floats).mean() < 0.05 * np.abs(floats).max()


def test_openvino_runs_every_layer_on_integers(tmp_path: Path) -> None:
    quantized = on_integers(residual_network(), right_anywhere(OPENVINO))
    engine = make("openvino")
    artifact = engine.emit(quantized, tmp_path)
    kinds = [kernel.kind for kernel in engine.fused_kernels(artifact).kernels]
    layers = [kind for kind in kinds if kind.startswith(("Convolution", "FullyConnected", "Pooling", "Reduce"))]
    assert len(layers) == 8
    assert all(kind.lower().endswith("i8") for kind in layers)
    assert not [kind for kind in kinds if kind.startswith(("Eltwise", "Add", "Subgraph"))]
    (found,) = engine.load(artifact, artifact.stages[0])([IMAGES.numpy()])
    np.testing.assert_allclose(found, quantized.run([IMAGES])[0].numpy(), atol=0.02 * np.abs(found).max())


def test_tensorrt_gets_what_it_documents(tmp_path: Path) -> None:
    def forward(self: Any, x: Tensor) -> Any:
        x = self.stem(x).relu()
        y = self.narrow(F.relu6(self.deep(F.relu6(self.wide(x)))))
        return self.last((x + y).relu())

    layers = {
        "stem": nn.Conv2d(3, 8, 3),
        "wide": nn.Conv2d(8, 16, 1),
        "deep": nn.Conv2d(16, 16, 3, padding=1, groups=16),
        "narrow": nn.Conv2d(16, 8, 1),
        "last": nn.Conv2d(8, 8, 3, bias=False),
    }
    found = captured(forward, torch.randn(2, 3, 8, 8), **layers)
    model = onnx.load(export_onnx(on_integers(found, TENSORRT), tmp_path))
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    maker = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert stored[node.input[2]].dtype == np.int8
            assert not stored[node.input[2]].any()
        if node.op_type == "Add":
            assert sorted(maker[name].op_type for name in node.input) == ["Conv", "DequantizeLinear"]
        if node.op_type == "Conv":
            depthwise = any(item.name == "group" and item.i > 1 for item in node.attribute)
            weight = maker[node.input[1]].op_type if node.input[1] in maker else "float"
            assert weight == ("float" if depthwise else "DequantizeLinear")
            assert len(node.input) == 2 or stored[node.input[2]].dtype == np.float32
    assert Counter(node.op_type for node in model.graph.node)["Add"] == 1


def test_neighbours_share_what_is_between_them(tmp_path: Path) -> None:
    found = residual_network()
    candidates = offered(found, ONNX_RUNTIME)
    counts = []
    for chosen in (candidates[1:2], candidates[2:3], candidates[1:3]):
        folder = tmp_path / str(len(counts))
        folder.mkdir()
        model = onnx.load(export_onnx(apply(found, Int8(), chosen), folder))
        counts.append(sum(node.op_type == "QuantizeLinear" for node in model.graph.node))
    assert counts[2] == counts[0] + counts[1] - 1


def test_a_product_of_activations_has_zero_points_of_zero_where_the_engine_wants_it() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        query, value = self.query(x), self.value(x)
        return (query @ x.transpose(1, 2)).softmax(-1) @ value

    layers = {"query": nn.Linear(8, 8), "value": nn.Linear(8, 8)}
    found = on_integers(captured(forward, torch.randn(2, 5, 8), **layers), OPENVINO)
    products = [node for node in found.calls if node.target is torch.ops.aten.matmul.default]
    assert len(products) == 2
    kinds = []
    for node in products:
        for value in node.all_input_nodes:
            while not is_dequantize(value):
                (value,) = value.all_input_nodes
            assert value.args[2] == 0
            kinds.append(str(value.args[5]).removeprefix("torch."))
    assert kinds == ["int8", "int8", "uint8", "int8"]


# -- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", SCHEMES)
@pytest.mark.parametrize("observer", ["measured", "minmax", "mse", "entropy"])
def test_outputs_are_near_those_in_float(engine: str, observer: str) -> None:
    rule = Int8(observer=observer)
    found = residual_network()
    bound = 0.1 if observer == "entropy" else 0.05  # which cuts off more of few samples
    assert error(found, on_integers(found, SCHEMES[engine], rule), IMAGES) < bound


def test_integers_in_the_twin_are_those_of_the_program() -> None:
    found = residual_network()
    candidates = offered(found, ONNX_RUNTIME)
    ours, theirs = (apply(source, Int8(), candidates) for source in (found, double(found)))
    for name, value in ours.attributes.items():
        assert isinstance(value, Tensor)
        if not value.is_floating_point():
            other = theirs.attributes[name]
            assert isinstance(other, Tensor)
            assert torch.equal(value, other), name


def test_weights_keep_to_the_bits_that_were_found_exact() -> None:
    scheme = replace(ONNX_RUNTIME, weight_bits=(7,))
    found = on_integers(residual_network(), scheme)
    weights = [value for value in found.attributes.values() if isinstance(value, Tensor) and value.dtype == torch.int8]
    assert len(weights) == 6
    assert max(int(value.abs().max()) for value in weights) <= 63
    assert {bounds(node) for node in found.calls if is_dequantize(node) and "channel" in str(node.target)} >= {
        (-63, 63)
    }


def test_correction_takes_the_mean_error_out_of_the_bias() -> None:
    torch.manual_seed(1)
    layer = captured(lambda s, x: s.layer(x), torch.randn(4, 16), layer=nn.Linear(16, 8))
    data = Data.read(torch.randn(64, 16) + 2, layer.interface, "calib")
    scheme = replace(ONNX_RUNTIME, weight_bits=(4,))  # so that weights are what is off
    samples = [batch.inputs[0] for batch in data.batches()]

    def shift(correction: bool) -> float:
        rule = Int8(correction=correction)
        after = apply(layer, rule, list(rule.propose(layer, view_of(layer, scheme, data))))
        changes = torch.cat([after.run([x])[0] - layer.run([x])[0] for x in samples])
        return float(changes.mean(0).abs().max())

    assert shift(True) < 0.2 * shift(False)


def test_second_order_rounding_brings_a_net_nearer_to_itself_on_unseen_samples() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1, groups=4), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(512, 10)),
    )
    found = program(net, torch.randn(2, 3, 6, 6), dynamic=True)
    samples, fresh = (torch.randn(300, 3, 1, 1) + 0.3 * torch.randn(300, 3, 6, 6) for _ in range(2))
    data = Data.read(samples, found.interface, "calib")
    scheme = replace(ONNX_RUNTIME, weight_bits=(5,))  # so that weights are what is off
    expected = found.run([fresh])[0]

    def error(rounding: str, correction: bool) -> float:
        rule = Int8(rounding=rounding, correction=correction)
        after = apply(found, rule, list(rule.propose(found, view_of(found, scheme, data))))
        return float((after.run([fresh])[0] - expected).norm())

    for correction in (True, False):
        assert error("gptq", correction) < 0.9 * error("nearest", correction)


def test_a_layer_without_bias_gets_one_that_corrects_it() -> None:
    layer = captured(lambda s, x: s.layer(x), torch.randn(4, 16), layer=nn.Linear(16, 8, bias=False))
    (node,) = (node for node in on_integers(layer, ONNX_RUNTIME).calls if "linear" in str(node.target))
    assert len(node.args) == 3
    (node,) = (n for n in on_integers(layer, ONNX_RUNTIME, Int8(correction=False)).calls if "linear" in str(n.target))
    assert len(node.args) == 2


def test_channels_without_weights_keep_their_bias() -> None:
    layer = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        layer.weight[1] = 0
        layer.weight[2] *= 1e-12
    found = captured(lambda s, x: s.layer(x), IMAGES, layer=layer)
    quantized = on_integers(found, OPENVINO)
    torch.testing.assert_close(quantized.run([IMAGES])[0][:, 1:3], found.run([IMAGES])[0][:, 1:3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("keep", [True, False])
def test_a_mean_over_both_axes_becomes_the_pooling_that_has_a_kernel(keep: bool) -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return self.last(self.first(x).relu().mean((2, 3), keepdim=keep))

    last: nn.Module = nn.Conv2d(8, 4, 1) if keep else nn.Linear(8, 4)
    batch = ({0: torch.export.Dim("N", min=1, max=64)},)
    found = captured(forward, IMAGES, dynamic=batch, first=nn.Conv2d(3, 8, 3), last=last)
    quantized = on_integers(found, ONNX_RUNTIME)
    operators = [str(node.target).split(".")[1] for node in quantized.calls]
    assert "adaptive_avg_pool2d" in operators
    assert "mean" not in operators
    for count in (1, 8):
        assert error(found, quantized, IMAGES[:count]) < 0.05


# -- any part of it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", SCHEMES)
def test_any_subset_of_regions_can_be_applied(engine: str) -> None:
    found = residual_network()
    candidates = offered(found, SCHEMES[engine])
    assert not any(one.conflicts_with(other) for one, other in combinations(candidates, 2))
    for size in range(1, len(candidates) + 1):
        for chosen in combinations(candidates, size):
            quantized = apply(found, Int8(), chosen)
            assert error(found, quantized, IMAGES) < 0.05
            assert any(map(is_quantize, quantized.calls))


def test_regions_that_others_left_alone_are_offered_again() -> None:
    found = residual_network()
    before = {candidate.id for candidate in offered(found, ONNX_RUNTIME)}
    stored = [item for item in Int8Weight().propose(found, View("int8_weight")) if item.site == ("conv2d_2",)]
    after = {candidate.id for candidate in offered(apply(found, Int8Weight(), stored), ONNX_RUNTIME)}
    assert len(before) == 4
    assert len(after) == 3
    assert after < before


def test_what_was_fitted_is_not_fitted_again() -> None:
    found = residual_network()
    candidates = offered(found, ONNX_RUNTIME)
    known: dict[str, Tensor] = {}
    for candidate in candidates:
        known |= candidate.tensors
    again = list(Int8().propose(found, View("int8", scheme=ONNX_RUNTIME, _fitted=known)))
    assert again == candidates
    ours, theirs = apply(found, Int8(), again), apply(found, Int8(), candidates)
    assert ours.text() == theirs.text()


def test_what_was_observed_for_one_engine_serves_the_next() -> None:
    found = residual_network()
    notes: dict[Any, Any] = {}
    asked: list[set[str]] = []

    def observed(names: Collection[str], gradients: bool) -> Iterator[Mapping[str, Observed]]:
        asked.append(set(names))
        data = calibration(found)
        assert data is not None
        return observe(found, data, names, gradients)

    def proposed(scheme: QuantScheme, notes: dict[Any, Any]) -> list[Candidate]:
        return list(Int8().propose(found, View("int8", scheme=scheme, _observe=observed, _notes=lambda: notes)))

    proposed(ONNX_RUNTIME, notes)
    first, *_ = asked.copy()
    asked.clear()
    after = proposed(OPENVINO, notes)
    assert all(names < first for names in asked)
    asked.clear()
    again = proposed(OPENVINO, notes)
    assert not asked
    alone = proposed(OPENVINO, {})
    for one, two, three in zip(after, again, alone, strict=True):
        assert one.fitted.keys() == two.fitted.keys() == three.fitted.keys()
        for name, value in one.fitted.items():
            torch.testing.assert_close(value, two.fitted[name])
            torch.testing.assert_close(value, three.fitted[name])


def test_a_region_that_is_not_what_it_was_is_stale() -> None:
    found = residual_network()
    (candidate,) = offered(found, ONNX_RUNTIME)[1:2]
    with found.edit() as edit:
        second = edit.node("conv2d_2")
        second.replace_input_with(edit.node("relu_1"), edit.call(torch.ops.aten.neg.default, (edit.node("relu_1"),)))
    with pytest.raises(StaleCandidate, match="not what it was"):
        apply(edit.program, Int8(), [candidate])


# -- what is declined ------------------------------------------------------------------------------------------------


def test_engines_without_integers_get_nothing() -> None:
    found, data = residual_network(), calibration(residual_network())
    assert "no integer kernels" in reasons(found, view_of(found, None, data))
    assert "no integer kernels" in reasons(found, view_of(found, replace(ONNX_RUNTIME, native={}), data))
    wrong = replace(ONNX_RUNTIME, weight_bits=())
    assert reasons(found, view_of(found, wrong, data)) == "integer sums of this engine are wrong on this machine"


def test_it_needs_calibration_data() -> None:
    found = residual_network()
    assert set(reasons(found, view_of(found, ONNX_RUNTIME)).split("\n")) == {"it needs calibration data (--calib)"}


def test_values_that_are_no_numbers_are_named() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        return self.last((self.first(x) * 0 - 1).sqrt())

    layers = {"first": nn.Linear(4, 4), "last": nn.Linear(4, 4)}
    found = captured(forward, torch.randn(3, 4), **layers)
    view = view_of(found, ONNX_RUNTIME, calibration(found))
    candidates: list[Candidate] = list(Int8().propose(found, view))
    assert [candidate.site for candidate in candidates] == [("linear",)]
    assert [decline.reason for decline in view.declines] == ["sqrt is NaN or infinite on the calibration data"]


def test_constant_values_have_a_scale() -> None:
    found = captured(lambda s, x: s.last(x * 0), torch.randn(3, 4), last=nn.Linear(4, 4))
    (value,) = on_integers(found, ONNX_RUNTIME).run([torch.randn(3, 4)])
    assert bool(value.isfinite().all())
    torch.testing.assert_close(value, found.run([torch.randn(3, 4)])[0], atol=1e-3, rtol=1e-3)


def test_one_sample_is_enough() -> None:
    found = residual_network()
    data = Data.read(IMAGES[:1], found.interface, "calib")
    candidates = list(Int8().propose(found, view_of(found, ONNX_RUNTIME, data)))
    assert error(found, apply(found, Int8(), candidates), IMAGES[:1]) < 0.05


@pytest.mark.parametrize("options", [{"observer": "median"}, {"weights": "kl"}])
def test_unknown_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is .* not '(median|kl)'"):
        Int8(**options)


def test_what_is_fitted_is_finite_and_in_order() -> None:
    dtype = torch.float64
    for candidate in offered(residual_network(), ONNX_RUNTIME):
        ranges = candidate.fitted["ranges"]
        assert ranges.dtype == dtype
        assert ranges.shape == (len(candidate.parameters["symmetric"]), 2)
        assert bool((ranges[:, 0] <= 0).all())
        assert bool((ranges[:, 1] >= 0).all())
        assert all(math.isfinite(float(value.abs().sum())) for value in candidate.fitted.values())


def test_layers_that_share_their_weights_are_quantized_each() -> None:
    shared = nn.Conv2d(3, 3, 3, padding=1)
    found = program(nn.Sequential(shared, nn.ReLU(), shared), IMAGES)
    assert error(found, on_integers(found, ONNX_RUNTIME), IMAGES) < 0.05


def test_a_plan_is_followed_with_the_bits_that_are_right_where_it_is() -> None:
    found, registry = residual_network(), Registry.load()
    data = calibration(found)
    assert data is not None
    eight = Context(statistics=Statistics(data), scheme=replace(ONNX_RUNTIME, weight_bits=(8,)))
    seven = replace(eight, scheme=replace(ONNX_RUNTIME, weight_bits=(7,)))
    planned = offer(search(found, [], registry), [Int8()], registry, eight).steps
    followed = follow(found, planned, registry, seven)
    assert followed.refusals == []
    assert [step.candidate.site for step in followed.steps] == [step.candidate.site for step in planned]
    assert {step.candidate.parameters["bits"] for step in followed.steps} == {7}
    assert {step.id for step in followed.steps}.isdisjoint(step.id for step in planned)
    program, skipped = replay(found, followed.steps, registry, replace(seven, fitted=followed.tensors))
    assert not skipped
    weights = [bounds(node) for node in program.calls if is_dequantize(node) and "channel" in str(node.target)]
    assert (-63, 63) in weights
    assert (-127, 127) not in weights


def test_two_ways_to_fit_a_region_are_two_candidates() -> None:
    found = residual_network()
    ways = [offered(found, ONNX_RUNTIME, Int8(weights=weights)) for weights in ("mse", "minmax")]
    ways.append(offered(found, ONNX_RUNTIME, Int8(rounding="gptq")))
    ids = [{candidate.id for candidate in way} for way in ways]
    assert ids[0].isdisjoint(ids[1] | ids[2])
