"""torchao's flow for int8 on x86: PyTorch 2 export quantization, compiled by AOTInductor."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Artifact
from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet
from fxopt_plugins.engines.common import missing, thread_count, versions
from fxopt_plugins.engines.inductor import Inductor

if TYPE_CHECKING:
    import numpy as np

    from fxopt.ir.program import Program

_PACKAGE = "model.pt2"


@dataclass(frozen=True)
class X86Inductor(Inductor):
    """The engine `inductor` with torchao's quantizer."""

    recipes: ClassVar[Mapping[str, str]] = {
        "x86": "X86InductorQuantizer with its default configuration",
        "x86_reduced": "the same with activations of 7 bits, for CPUs whose sums of 8 bits saturate",
    }

    @classmethod
    def recipe_available(cls, recipe: str) -> str | None:
        return super().recipe_available(recipe) or missing("torchao", "peers")

    def quantize(
        self, recipe: str, program: Program, samples: Iterable[Sequence[np.ndarray[Any, Any]]], out: Path
    ) -> Artifact:
        import torch
        from torch._inductor import aoti_compile_and_package

        if reason := self.recipe_available(recipe):
            raise EngineError(reason)
        hush = contextlib.redirect_stderr(io.StringIO())  # torchao tells of CUDA libraries that it cannot load
        with hush, quiet("torchao"):
            from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
            from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        config = x86.get_default_x86_inductor_quantization_config(reduce_range=recipe.endswith("reduced"))
        exported = program.exported()
        prepared = prepare_pt2e(exported.module(), x86.X86InductorQuantizer().set_global(config))
        example = None
        with torch.no_grad():
            for batch in samples:
                example = tuple(torch.from_numpy(array) for array in batch)
                prepared(*example)
        if example is None:
            raise EngineError("needs samples")
        converted = convert_pt2e(prepared)
        threads = thread_count(self.threads)
        torch.set_num_threads(threads)  # the code that Inductor writes fixes what it finds here
        with quiet("torch._inductor", "torch._dynamo", "torch.export"), torch.no_grad():
            package, freezing = str((out / _PACKAGE).absolute()), {"freezing": True}
            aoti_compile_and_package(
                torch.export.export(converted, example), package_path=package, inductor_configs=freezing
            )
        told = {"threads": threads, "recipe": recipe, "freezing": True, "versions": versions("torch", "torchao")}
        return Artifact.write(out, self.name, _PACKAGE, program.interface, told)
