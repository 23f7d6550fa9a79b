"""The contract of an engine: an existing runtime that fxopt emits to, loads from, and reads back."""

from __future__ import annotations

import abc
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fxopt.contracts.memory import MemoryUse
from fxopt.contracts.options import Configurable
from fxopt.contracts.quantization import QuantScheme
from fxopt.errors import EngineError

if TYPE_CHECKING:
    import numpy as np

    from fxopt.ir.interface import Interface
    from fxopt.ir.program import Program

FlatCallable = Callable[[Sequence["np.ndarray[Any, Any]"]], list["np.ndarray[Any, Any]"]]


@dataclass(frozen=True)
class Stage:
    """One file of an artifact that one engine runs."""

    engine: str
    file: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Artifact:
    """A directory with a manifest of stages and a dispatch rule; `fxopt.load` gives one callable for it.

    Attributes:
        path: the directory.
        stages: what runs, in order. Values pass between stages by name.
        dispatch: how stages follow one another; `"sequence"` is the only rule yet.
        options: what the engine was told (threads, precision, ...), as recorded for the report.
    """

    path: Path
    stages: tuple[Stage, ...]
    dispatch: str = "sequence"
    options: Mapping[str, Any] = field(default_factory=dict)

    MANIFEST: ClassVar[str] = "manifest.json"
    CHECKED: ClassVar[tuple[str, str]] = ("checked.json", "checked.npz")  # where it was checked, and a probe of it

    def size_bytes(self) -> int:
        """Bytes of all files that the stages need."""
        beside = (self.MANIFEST, *self.CHECKED)
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file() and file.name not in beside)

    def write_manifest(self, interface: Mapping[str, Any]) -> None:
        """Write manifest.json; `interface` is `program.interface.to_json()`, so that a call can be bound without torch.fx."""
        data = {
            "version": 1,
            "dispatch": self.dispatch,
            "options": dict(self.options),
            "stages": [
                {**stage.__dict__, "inputs": list(stage.inputs), "outputs": list(stage.outputs)}
                for stage in self.stages
            ],
            "interface": interface,
        }
        (self.path / self.MANIFEST).write_text(json.dumps(data, indent=1))

    @classmethod
    def write(
        cls, path: Path, engine: str, file: str, interface: Interface, options: Mapping[str, Any] | None = None
    ) -> Self:
        """Write the manifest of an artifact of one stage, which takes all inputs of the model and gives all outputs.

        Args:
            path: the directory.
            engine: name of the engine.
            file: what the engine loads, relative to `path`.
            interface: of the Program that was emitted.
            options: what the engine was told.
        """
        stage = Stage(engine, file, tuple(item.name for item in interface.inputs), interface.outputs)
        artifact = cls(path, (stage,), options=options or {})
        artifact.write_manifest(interface.to_json())
        return artifact

    @classmethod
    def read(cls, path: Path) -> Self:
        """The artifact in a directory (its manifest must be there)."""
        data = json.loads((path / cls.MANIFEST).read_text())
        stages = tuple(Stage(s["engine"], s["file"], tuple(s["inputs"]), tuple(s["outputs"])) for s in data["stages"])
        return cls(path, stages, data["dispatch"], data["options"])

    def interface(self) -> Interface:
        """Inputs and outputs of the Program that was emitted, as the manifest has them."""
        from fxopt.ir.interface import Interface

        return Interface.from_json(json.loads((self.path / self.MANIFEST).read_text())["interface"])

    @classmethod
    def change(cls, path: Path, options: Mapping[str, Any]) -> None:
        """Change options of the artifact in a directory."""
        file = path / cls.MANIFEST
        data = json.loads(file.read_text())
        data["options"] |= options
        file.unlink()  # it may be shared with another artifact
        file.write_text(json.dumps(data, indent=1))


@dataclass(frozen=True)
class Kernel:
    """One node of the graph that the engine really runs.

    Attributes:
        name: the engine's name for it.
        kind: operator or execution type, like `"Conv+Clip"`, `"brgemm_avx512_f32"`.
        covers: names of the Program's nodes (or the ONNX nodes made from them) that it covers, where the engine tells.
        milliseconds: time of one call, where profiled.
        dtype: what it computes with, like `"float32"`, `"bfloat16"`, `"uint8"`. None where it only moves or converts
            values, or the engine does not tell.
    """

    name: str
    kind: str
    covers: tuple[str, ...] = ()
    milliseconds: float | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class EngineGraph:
    """What the engine made of an artifact.

    Attributes:
        kernels: in execution order.
        signature: digest of structure, attributes, shapes and dtypes, free of names and of weight values. Two builds
            with the same signature run the same kernels. None where the engine cannot tell.
    """

    kernels: tuple[Kernel, ...]
    signature: str | None

    def dtypes(self) -> dict[str, frozenset[str]]:
        """What each of the Program's nodes is computed with, as far as the engine tells; several where kernels differ.

        An engine may run in floats what a Program has between DQ and Q, and on integers what it does not: this is where
        it shows.
        """
        found: dict[str, set[str]] = {}
        for kernel in self.kernels:
            for node in kernel.covers if kernel.dtype else ():
                found.setdefault(node, set()).add(str(kernel.dtype))
        return {node: frozenset(names) for node, names in found.items()}


@dataclass(frozen=True)
class Unsupported:
    """A node that an engine cannot run, said before emission."""

    node: str
    reason: str


@dataclass(frozen=True)
class Engine(Configurable, abc.ABC):
    """An existing runtime. Subclasses are frozen dataclasses; `threads` and precision are options, never defaults of the runtime.

    All methods but `available`, `version`, `recipe_available` and `tunings` may crash or hang; the compiler calls them in a
    worker process. What `load` writes beside an artifact must not change its files: other artifacts may share them.
    """

    name: ClassVar[str]
    extra: ClassVar[str | None] = None  # pip extra that brings it, for the message when it is missing
    quant_scheme: ClassVar[QuantScheme | None] = None
    recipes: ClassVar[Mapping[str, str]] = {}  # the runtime's own ways to quantize: name to a line of help
    remedies: ClassVar[Collection[str]] = ()  # recipes that are of use only where sums of 8-bit weights saturate
    lossy_options: ClassVar[Collection[str]] = ()  # those that let the runtime round what the program does not
    memory: ClassVar[MemoryUse] = MemoryUse()
    targets: ClassVar[tuple[str, ...]] = ()  # of others, that `--engine auto` tries it for beside the engines they name

    threads: int = field(default=0, metadata={"help": "threads that one call may use; 0: what --threads says"})

    @classmethod
    @abc.abstractmethod
    def available(cls) -> str | None:
        """None if it can run here, else one line that says what is missing and how to get it. Must be quick."""

    @classmethod
    @abc.abstractmethod
    def version(cls) -> str:
        """The runtime's version; only called where available."""

    def unsupported(self, program: Program) -> Iterable[Unsupported]:
        """Nodes that `emit` would fail on. Called before emission."""
        return ()

    @abc.abstractmethod
    def emit(self, program: Program, out: Path) -> Artifact:
        """Write the program into the empty directory `out`, manifest included."""

    @classmethod
    def recipe_available(cls, recipe: str) -> str | None:
        """None if the recipe can run here, else one line that says what is missing and how to get it. Must be quick."""
        return None if recipe in cls.recipes else f"{cls.name} has no recipe {recipe!r}"

    def quantize(
        self, recipe: str, program: Program, samples: Iterable[Sequence[np.ndarray[Any, Any]]], out: Path
    ) -> Artifact:
        """Let the runtime's own tool quantize the program, and write what comes of it as `emit` does.

        Args:
            recipe: one of `recipes`.
            program: in floats.
            samples: calibration data, batches as flat inputs. It may be gone through more than once.
            out: an empty directory.

        Raises:
            EngineError: there is no such recipe, or it found nothing to quantize.
        """
        raise EngineError(self.recipe_available(recipe) or f"{self.name}: {recipe} is listed, but not implemented")

    def tunings(self, told: Mapping[str, Any], dtypes: Collection[str]) -> Iterable[Mapping[str, Any]]:
        """Other values of its options under which an artifact may run faster here. Must be quick, and import nothing.

        Those that change one of `lossy_options` are tried where quality may drop, and judged by it. Under the others an
        artifact must give what it gives, but for rounding.

        Args:
            told: the artifact's `options`.
            dtypes: that the target computes in, as in its `Capabilities`.

        Returns:
            changes to `told`, each to be tried by itself, which `load` heeds.
        """
        return ()

    @abc.abstractmethod
    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        """A callable from the stage's flat input arrays to its flat output arrays.

        Where the device has a clock of its own the callable may have a method `timer(inputs, calls)`, which gives nanoseconds
        of each call by it, int64 of shape (calls,): the way of values to the device and back does not count.
        """

    def fused_kernels(self, artifact: Artifact) -> EngineGraph:
        """What the engine really runs, read back from it. Without such means: no kernels, no signature."""
        return EngineGraph((), None)

    @classmethod
    def has_profile(cls) -> bool:
        """Whether it tells what each of its kernels takes."""
        return cls.profile is not Engine.profile

    def profile(self, artifact: Artifact, inputs: Sequence[np.ndarray[Any, Any]]) -> tuple[Kernel, ...]:
        """Kernels with their milliseconds over a few calls; empty where the engine has no per-node profile."""
        return ()

    def peak_bytes(self, artifact: Artifact, inputs: Sequence[np.ndarray[Any, Any]]) -> int | None:
        """Most bytes that what the kernels write takes at once in a call, by the engine's own report; None without one."""
        return None


def in_sequence(
    stages: Sequence[Stage], calls: Sequence[FlatCallable], inputs: Sequence[str], outputs: Sequence[str]
) -> FlatCallable:
    """One callable for stages that pass values on by name.

    Args:
        stages: of an artifact, in order.
        calls: what the engines have loaded, one a stage.
        inputs: names of the flat inputs.
        outputs: names of the flat outputs.
    """

    def run(arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        values = dict(zip(inputs, arrays, strict=True))
        for stage, call in zip(stages, calls, strict=True):
            values.update(zip(stage.outputs, call([values[name] for name in stage.inputs]), strict=True))
        return [values[name] for name in outputs]

    return run


def signature_of(parts: Iterable[object]) -> str:
    """The digest for `EngineGraph.signature` over parts in a canonical order."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]
