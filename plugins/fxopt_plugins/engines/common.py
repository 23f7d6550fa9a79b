"""What engines share: finding a runtime, threads, and dtypes that cannot pass through NumPy."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.engine import Engine, FlatCallable, Unsupported
from fxopt.errors import EngineError
from fxopt.measure import least_disturbed, undisturbed

if TYPE_CHECKING:
    import numpy as np
    import torch

    from fxopt.ir.program import Program

_LEAST_PROFILED, _MOST_PROFILED, _PROFILE_S, _BURST_S = 8, 40, 0.3, 0.06
_COMPLEX = frozenset({"complex64", "complex128"})


@dataclass(frozen=True)
class TorchEngine(Engine):
    """An engine that comes with PyTorch."""

    @classmethod
    def version(cls) -> str:
        return importlib.metadata.version("torch")

    def unsupported(self, program: Program) -> Iterable[Unsupported]:
        return without_numpy(program)

    @staticmethod
    def on_arrays(run: Callable[[list[torch.Tensor]], Iterable[torch.Tensor]]) -> FlatCallable:
        """A callable on tensors as one on arrays."""
        import numpy as np
        import torch

        def call(inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
            with torch.no_grad():
                tensors = [torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in inputs]
                return [value.detach().contiguous().numpy() for value in run(tensors)]

        return call


@dataclass(frozen=True)
class OnnxEngine(Engine):
    """An engine that takes ONNX, and comes in a package and an extra of its own name."""

    bfloat16_ops: ClassVar[frozenset[str]] = frozenset()  # whose kernels in bfloat16 can be relied on

    @classmethod
    def available(cls) -> str | None:
        return missing(cls.name, cls.extra or cls.name)

    @classmethod
    def version(cls) -> str:
        return importlib.metadata.version(cls.name)

    def unsupported(self, program: Program) -> Iterable[Unsupported]:
        from fxopt_plugins.engines.onnx_translation import untranslatable

        return [*without_numpy(program, _COMPLEX), *untranslatable(program), *in_bfloat16(program, self.bfloat16_ops)]

    def told(self, *packages: str, **options: Any) -> dict[str, Any]:
        """What is recorded in an artifact: the engine's options, and the versions of what it was made with."""
        return {
            "threads": thread_count(self.threads),
            **options,
            "versions": versions(self.name, "torch", "onnxscript", *packages),
        }

    def tunings(self, told: Mapping[str, Any], dtypes: Collection[str]) -> Iterable[Mapping[str, Any]]:
        """One thread, with which a short call may be faster: starting others and waiting for them takes time."""
        if told["threads"] > 1:
            yield {"threads": 1}

    @contextlib.contextmanager
    def by_recipe(self, recipe: str, program: Program, out: Path) -> Iterator[Path]:
        """A folder for what a recipe needs on the way; it lies in `out`, so that nothing is left where it is killed."""
        from fxopt_plugins.engines.onnx_quantized import has_integers

        if reason := self.recipe_available(recipe):
            raise EngineError(reason)
        if has_integers(program):
            raise EngineError(f"{self.name}: {recipe}: the program holds integers already; a recipe starts from floats")
        before = tempfile.tempdir
        with tempfile.TemporaryDirectory(dir=out) as scratch:
            tempfile.tempdir = scratch  # the tools make files of their own
            try:
                yield Path(scratch)
            finally:
                tempfile.tempdir = before


def profiled_calls(call: Callable[[], None], threads: int) -> tuple[int, list[int]]:
    """Make calls whose layers are timed: two that set up memory, then some in bursts.

    Args:
        call: makes one.
        threads: that it is done in.

    Returns:
        How many calls were made, and which of them count, from 0: of those during which cores were shared with nobody, if any,
        the fastest.
    """
    took: list[float] = []

    def timed() -> float:
        begun = time.monotonic()
        call()
        took.append(time.monotonic() - begun)
        return took[-1]

    timed()
    one_s = timed()

    def burst() -> range:
        first, begun = len(took), time.monotonic()
        while len(took) == first or time.monotonic() - begun < _BURST_S:
            timed()
        return range(first, len(took))

    seconds = min(max(_PROFILE_S, _LEAST_PROFILED * one_s), _MOST_PROFILED * one_s)
    alone = [index for calls in undisturbed(burst, seconds, threads) for index in calls]
    return len(took), [alone[index] for index in least_disturbed([took[index] for index in alone])]


def typical(times: Sequence[float]) -> float:
    """The mean of the middle half: on a shared machine a kernel now and then takes a hundred times as long as it does."""
    cut = len(times) // 4
    middle = sorted(times)[cut : len(times) - cut]
    return sum(middle) / len(middle)


def aten(*names: str) -> frozenset[str]:
    """ATen operators by the names that a `QuantScheme` has for them."""
    return frozenset(f"aten.{name}" for name in names)


def thread_count(threads: int) -> int:
    """`threads`, or as many as this process may use for 0."""
    return threads or len(os.sched_getaffinity(0))


def missing(package: str, extra: str) -> str | None:
    """None if the package is installed, else what to install. Imports nothing."""
    if importlib.util.find_spec(package) is not None:
        return None
    return f"{package} is not installed: pip install 'fxopt[{extra}]'"


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package name."""
    return {package: importlib.metadata.version(package) for package in packages}


def without_numpy(program: Program, also: frozenset[str] = frozenset()) -> Iterator[Unsupported]:
    """Inputs and outputs whose dtype NumPy lacks (bfloat16), or is one of `also`."""
    barred = {"bfloat16"} | also
    border = [node for node in program.nodes if node.op == "placeholder"] + list(program.outputs)
    for node in border:
        dtype = str(node.meta["val"].dtype).removeprefix("torch.")
        if dtype in barred or dtype.startswith(("float8", "quint", "qint")):
            yield Unsupported(node.name, f"{dtype} cannot cross the border of this engine")


def _operator(target: Any) -> str:
    """An operator without its overload, like `"aten.conv2d"`."""
    return str(target).rpartition(".")[0]


def in_bfloat16(program: Program, known: frozenset[str]) -> Iterator[Unsupported]:
    """Calls that compute in bfloat16 and are not among the known operators; casts do not compute.

    ONNX Runtime has no kernels for most of them, and OpenVINO dies of a segmentation fault on some.
    """
    import torch

    for node in program.calls:
        value = node.meta["val"]
        cast = node.target == torch.ops.aten._to_copy.default  # noqa: SLF001
        if (
            isinstance(value, torch.Tensor)
            and value.dtype == torch.bfloat16
            and not cast
            and _operator(node.target) not in known
        ):
            yield Unsupported(node.name, f"{node.target} in bfloat16 has no kernel that can be relied on")
