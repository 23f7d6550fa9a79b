"""Whether integer sums hold on this machine is found out by running them."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fxopt import QuantScheme
from fxopt.measure import Worker
from fxopt.verify.saturation import exact_between_activations, exact_weight_bits
from fxopt_plugins.engines.schemes import ONNX_RUNTIME, OPENVINO, TENSORRT
from fxopt_plugins.targets.cpu import Cpu
from tests.engines.test_outputs import make


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.mark.parametrize(("name", "bits"), [("Saturates", 7), ("SaturatesSoon", None)])
def test_an_engine_that_saturates_is_found_out(name: str, bits: int | None, worker: Worker) -> None:
    assert exact_weight_bits(f"tests.verify.saturation_engines:{name}", ONNX_RUNTIME, worker) == bits


@pytest.mark.parametrize("scheme", [ONNX_RUNTIME, TENSORRT], ids=["u8", "s8"])
def test_exact_arithmetic_is_exact_with_all_bits(scheme: QuantScheme, worker: Worker) -> None:
    assert exact_weight_bits("eager", scheme, worker) == 8


def test_only_layers_that_the_engine_has_are_tested(worker: Worker) -> None:
    saturates = "tests.verify.saturation_engines:OnlyConvolutionsSaturate"
    linear = frozenset({"aten.linear"})
    alone = replace(ONNX_RUNTIME, integer_ops=linear, float_output_ops=linear, native={"int8": ()})
    assert exact_weight_bits(saturates, alone, worker) == 8
    assert exact_weight_bits(saturates, ONNX_RUNTIME, worker) == 7


@pytest.mark.parametrize(("engine", "scheme"), [("onnxruntime", ONNX_RUNTIME), ("openvino", OPENVINO)])
def test_real_engines_are_exact_with_seven_bits_at_least(engine: str, scheme: QuantScheme, worker: Worker) -> None:
    make(engine)  # skips where it is not installed
    assert exact_weight_bits(f"{engine}{{threads=1}}", scheme, worker) in (7, 8)


def test_a_kernel_for_inputs_as_they_come_is_tested_by_itself(worker: Worker) -> None:
    engine = "tests.verify.saturation_engines:SaturatesAsItComes"
    assert exact_weight_bits(engine, ONNX_RUNTIME, worker) == 7
    assert exact_weight_bits(engine, OPENVINO, worker) == 8  # has no such kernel, so none is tested


@pytest.mark.parametrize("scheme", [ONNX_RUNTIME, OPENVINO, TENSORRT], ids=["u8", "u8 and s8", "s8"])
def test_products_of_two_activations_are_tested_as_well(scheme: QuantScheme, worker: Worker) -> None:
    assert exact_between_activations("eager", scheme, worker)
    saturates = "tests.verify.saturation_engines:Saturates"
    assert exact_between_activations(saturates, scheme, worker) == (scheme is TENSORRT)  # 128 * 128 * 2 fits


@pytest.mark.parametrize(("engine", "scheme"), [("onnxruntime", ONNX_RUNTIME), ("openvino", OPENVINO)])
def test_real_engines_multiply_activations_right_where_the_cpu_helps(
    engine: str, scheme: QuantScheme, worker: Worker
) -> None:
    make(engine)
    exact = exact_between_activations(f"{engine}{{threads=1}}", scheme, worker)
    assert exact or not {"avx512_vnni", "avx_vnni"} & set(Cpu().machine().isa)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="caps the instruction sets of x86")
def test_an_engine_whose_kernels_saturate_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    make("openvino")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # as on a CPU without instructions for products of 8 bits
    with Worker() as worker:
        assert exact_weight_bits("openvino{threads=1}", OPENVINO, worker) == 7
