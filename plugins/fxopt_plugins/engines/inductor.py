"""TorchInductor, compiled ahead of time: C++ that the compiler of this machine makes for this machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fxopt.contracts.engine import Artifact, EngineGraph, FlatCallable, Stage
from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet
from fxopt_plugins.engines.common import TorchEngine, thread_count, versions

if TYPE_CHECKING:
    from fxopt.ir.program import Program

_PACKAGE = "model.pt2"


@contextmanager
def _unpacking() -> Iterator[None]:
    """Let packages be unpacked into a folder that is gone at once.

    torch removes it when the model dies, which it may not do before its process is killed; what was loaded stays mapped, and
    a folder that is gone is no fault then.
    """
    before = os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix="fxopt-inductor-") as folder:
        os.environ["TMPDIR"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before


@dataclass(frozen=True)
class Inductor(TorchEngine):
    """AOTInductor with frozen weights. The number of threads is compiled in."""

    name: ClassVar[str] = "inductor"

    @classmethod
    def available(cls) -> str | None:
        if shutil.which("g++") or shutil.which("clang++"):
            return None
        return "inductor needs a C++ compiler: install g++ or clang++ (Debian: apt-get install g++)"

    def emit(self, program: Program, out: Path) -> Artifact:
        import torch
        from torch._inductor import aoti_compile_and_package

        threads = thread_count(self.threads)
        before = torch.get_num_threads()
        torch.set_num_threads(threads)  # the code that Inductor writes fixes what it finds here
        try:
            with quiet("torch._inductor", "torch._dynamo", "torch.export"), torch.no_grad():
                package = str((out / _PACKAGE).absolute())
                exported = _with_zero_points(program).exported()
                aoti_compile_and_package(exported, package_path=package, inductor_configs={"freezing": True})
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            raise EngineError(f"inductor: {type(error).__name__}: {lines[0]}") from error
        finally:
            torch.set_num_threads(before)
        options = {"threads": threads, "precision": "as written", "freezing": True, "versions": versions("torch")}
        return Artifact.write(out, self.name, _PACKAGE, program.interface, options)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        import torch
        from torch._inductor import aoti_load_package

        torch.set_num_threads(int(artifact.options["threads"]))
        with quiet("torch._inductor"), _unpacking():
            model = aoti_load_package(str((artifact.path / stage.file).absolute()))
        return self.on_arrays(lambda tensors: model(*tensors))

    def fused_kernels(self, artifact: Artifact) -> EngineGraph:
        from fxopt_plugins.engines.inductor_code import engine_graph

        return engine_graph(artifact.path / _PACKAGE)


def _with_zero_points(program: Program) -> Program:
    """The Program with zero-points of weights written out, without which Inductor fails."""
    import torch

    from fxopt.ir.quantized import argument, is_dequantize

    bare = [
        node.name
        for node in program.calls
        if is_dequantize(node) and "per_channel" in str(node.target) and argument(node, "zero_points") is None
    ]
    if not bare:
        return program
    with program.edit() as edit:
        for name in bare:
            node = edit.node(name)
            zeros = edit.constant(torch.zeros(argument(node, "scales").meta["val"].shape, dtype=torch.int64))
            args = (*node.args[:2], zeros, *node.args[3:])
            edit.replace(node, edit.call(node.target, args, node.kwargs))
    return edit.program
