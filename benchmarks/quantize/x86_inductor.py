"""torchao's flow for int8 on x86: PyTorch 2 export quantization of the module, compiled by AOTInductor.

It recognises layers by what export notes down about the module's calls, which a Program does not keep; so it starts from
the module, in a process of its own. What comes of it is an artifact of the engine `inductor`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.apart import apart
from fxopt.contracts.engine import Artifact
from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet

RECIPES = ("x86", "x86_reduced")  # the second with activations of 7 bits, for CPUs whose sums of 8 bits saturate
_PACKAGE = "model.pt2"


class Flat(nn.Module):
    """A module of one output as one that gives a tuple, as the engine expects it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> tuple[Tensor]:
        return (self.net(*inputs),)


def quantize(name: str, recipe: str, samples: Path, threads: int, out: Path) -> None:
    """Write the artifact of a model of the benchmark.

    Args:
        name: of the model.
        recipe: one of `RECIPES`.
        samples: a file that `fxopt.measure.samples.write` has made.
        threads: that one call may use.
        out: the new folder of the artifact.

    Raises:
        EngineError: torchao is missing or fails, or it found nothing to quantize.
    """
    if importlib.util.find_spec("torchao") is None:
        raise EngineError("torchao is not installed: pip install 'fxopt[peers]'")
    with apart() as pool:
        if error := pool.submit(_quantize, name, recipe, samples, threads, out).result():
            raise EngineError(f"torchao: {recipe}: {error}")


def _quantize(name: str, recipe: str, samples: Path, threads: int, out: Path) -> str | None:
    """Why it failed, in this process."""
    try:
        # It tells of CUDA libraries that it cannot load.
        with contextlib.redirect_stderr(io.StringIO()), quiet("torch.utils._pytree", "torch.export", "torch._inductor"):
            return _write(name, recipe, samples, threads, out)
    except Exception as error:  # noqa: BLE001 - whatever it raises is its line in the table
        return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _write(name: str, recipe: str, samples: Path, threads: int, out: Path) -> str | None:
    from torch._inductor import aoti_compile_and_package
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    from benchmarks.quantize.models import task
    from fxopt.ir.capture import capture, export, positional_names
    from fxopt.ir.quantized import is_quantize
    from fxopt.measure.samples import Samples
    from fxopt_plugins.engines.common import versions

    module, inputs = task(name).build()
    interface = capture(export(module, inputs), names=positional_names(module)).interface
    config = x86.get_default_x86_inductor_quantization_config(reduce_range=recipe.endswith("reduced"))
    with torch.no_grad():
        exported = torch.export.export(Flat(module), inputs).module()
        prepared = prepare_pt2e(exported, x86.X86InductorQuantizer().set_global(config))
        for batch in Samples(samples):
            prepared(*map(torch.from_numpy, batch))
        converted = convert_pt2e(prepared)
        if not any(map(is_quantize, converted.graph.nodes)):
            return "finds nothing in this model to quantize"
        out.mkdir(parents=True)
        torch.set_num_threads(threads)  # the code that Inductor writes fixes what it finds here
        package = str((out / _PACKAGE).absolute())
        exported = torch.export.export(converted, inputs)
        aoti_compile_and_package(exported, package_path=package, inductor_configs={"freezing": True})
    told = {"threads": threads, "recipe": recipe, "freezing": True, "versions": versions("torch", "torchao")}
    Artifact.write(out, "inductor", _PACKAGE, interface, told)
    return None
