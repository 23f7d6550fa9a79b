"""How engines come into the registry, and what they say where they cannot run."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from fxopt.errors import InputError
from fxopt.registry import Registry
from fxopt.testing import captured
from fxopt_plugins import engines
from fxopt_plugins.engines import fxopt_engines
from fxopt_plugins.engines.common import missing
from fxopt_plugins.engines.onnxruntime import OnnxRuntime
from fxopt_plugins.engines.openvino import OpenVino
from tests.engines.nets import Half, program


def registry() -> Registry:
    found = Registry()
    found.register(engines, "engines", "fxopt")
    return found


def test_the_hook_fxopt_engines_brings_those_for_cpus_and_for_gpus() -> None:
    for_gpus = ["tensorrt", "onnxruntime_cuda", "onnxruntime_tensorrt", "inductor_gpu"]
    assert list(registry().engines) == ["onnxruntime", "openvino", "inductor", "eager", *for_gpus]


def test_registering_engines_imports_no_runtime() -> None:
    script = """
import sys
from fxopt.registry import Registry
from fxopt_plugins import engines
registry = Registry()
registry.register(engines, "engines", "fxopt")
assert all(engine.available() is None or "install" in engine.available() for engine in registry.engines.values())
print(*[name for name in ("torch", "onnx", "onnxruntime", "openvino") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("spec", ["onnxruntime{threads=2, spinning=false}", "openvino{precision=bf16}", "eager"])
def test_options_are_printed_as_they_are_read(spec: str) -> None:
    assert registry().make_engine(spec).spec() == spec


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match="f32, bf16 or f16"):
        registry().make_engine("openvino{precision=int3}")


def test_a_missing_runtime_is_named_with_its_extra() -> None:
    assert missing("no_such_package", "openvino") == ("no_such_package is not installed: pip install 'fxopt[openvino]'")


@pytest.mark.parametrize("engine", fxopt_engines(), ids=lambda engine: engine.name)
def test_bfloat16_at_the_border_is_declined_before_emission(engine: type[engines.Engine]) -> None:
    found = list(engine().unsupported(program(Half(), torch.randn(2, 4).bfloat16())))
    assert next(entry.node for entry in found) == "x"
    assert "bfloat16" in found[0].reason


@pytest.mark.parametrize("engine", [OnnxRuntime, OpenVino], ids=lambda engine: engine.name)
def test_arithmetic_in_bfloat16_is_declined_before_emission_and_casts_are_not(engine: type[engines.Engine]) -> None:
    rounds = captured(lambda _, x: x.bfloat16().float() * 2, torch.randn(3))
    computes = captured(lambda _, x: (x.bfloat16() * 2).float(), torch.randn(3))
    assert [entry.node for entry in engine().unsupported(rounds)] == []
    assert [entry.node for entry in engine().unsupported(computes)] == ["mul"]
