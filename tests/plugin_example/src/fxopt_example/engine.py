"""An engine: ncnn, which runs networks of images from two files that its converter pnnx writes.

pnnx (a program in the package of that name) reads TorchScript, fuses, and writes `model.param`, a text of the layers,
and `model.bin`, their weights. ncnn alone is needed to load them.
"""

import importlib.metadata
import importlib.util
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt import Artifact, Engine, Program, hookimpl
from fxopt.contracts.engine import EngineGraph, FlatCallable, Kernel, Stage, Unsupported, signature_of
from fxopt.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from torch.fx import Node

PARAM, BIN = "model.param", "model.bin"

# Operators that pnnx translates, and ncnn computes, whatever their constants.
LAYERS = frozenset(
    {
        *("aten.conv2d.default", "aten.batch_norm.default", "aten.linear.default"),
        *("aten.relu.default", "aten.hardtanh.default", "aten.sigmoid.default", "aten.silu.default"),
        *("aten.hardswish.default", "aten.hardsigmoid.default"),
        *("aten.max_pool2d.default", "aten.avg_pool2d.default", "aten.adaptive_avg_pool2d.default"),
    }
)
BINARY = frozenset({"aten.add.Tensor", "aten.mul.Tensor"})
FLATTENING = frozenset({"aten.reshape.default", "aten.view.default", "aten.flatten.using_ints"})


@dataclass(frozen=True)
class Ncnn(Engine):
    """ncnn in float32, for networks of one image."""

    name: ClassVar[str] = "ncnn"
    targets: ClassVar[tuple[str, ...]] = ("cpu",)
    recipes: ClassVar[Mapping[str, str]] = {"half_weights": "weights of 16 bits, which are floats of 32 when they run"}

    @classmethod
    def available(cls) -> str | None:
        """Whether artifacts can be loaded; what emission needs beside, `unsupported` says."""
        if importlib.util.find_spec("ncnn") is None:
            return "ncnn is not installed: pip install 'fxopt-example[ncnn]'"
        return None

    @classmethod
    def version(cls) -> str:
        """ncnn's."""
        return importlib.metadata.version("ncnn")

    def unsupported(self, program: Program) -> Iterable[Unsupported]:
        """What is in the way, before anything is built: ncnn has no batch axis, and pnnx must find the one there is."""
        calls = list(program.calls)
        first = calls[0].name if calls else next(program.nodes).name
        if importlib.util.find_spec("pnnx") is None:
            yield Unsupported(
                first, "pnnx is not installed, which converts for ncnn: pip install 'fxopt-example[ncnn]'"
            )
        if len(program.interface.inputs) != 1 or not any(str(c.target) == "aten.conv2d.default" for c in calls):
            yield Unsupported(first, "ncnn is given networks of one image only: one input, and convolutions")
        if len(set(program.outputs)) < len(program.outputs):
            yield Unsupported(first, "a value is returned twice")
        yield from (Unsupported(node.name, "it is returned, and no call computes it") for node in _returned(program))
        for node in [node for node in program.nodes if node.op == "placeholder"] + calls:
            reason = _shape_fault(node) or (_call_fault(program, node) if node.op == "call_function" else None)
            if reason:
                yield Unsupported(node.name, reason)

    def emit(self, program: Program, out: Path) -> Artifact:
        """As the contract says."""
        return self._convert(program, out, half=False)

    def _convert(self, program: Program, out: Path, half: bool) -> Artifact:
        """Trace, and let pnnx convert; of its files only two go into the artifact."""
        import torch

        (given,) = program.interface.inputs
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # that tracing is deprecated is pnnx's concern
            torch.jit.trace(program.module(), torch.zeros(given.shape), check_trace=False).save(f"{folder}/model.pt")
            shape = ",".join(map(str, given.shape))
            command = [_pnnx(), "model.pt", f"inputshape=[{shape}]", f"fp16={half:d}"]
            files = [f"ncnnparam={out.absolute() / PARAM}", f"ncnnbin={out.absolute() / BIN}"]
            done = subprocess.run([*command, *files], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode or not (out / PARAM).exists():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            raise EngineError(f"pnnx: {last[0]}")
        options = {
            "threads": self.threads or len(os.sched_getaffinity(0)),
            "precision": "float32",
            "weights": "float16" if half else "float32",
            "shapes": [list(node.meta["val"].shape) for node in program.outputs],
            "versions": {name: importlib.metadata.version(name) for name in ("ncnn", "pnnx")},
        }
        return Artifact.write(out, self.name, PARAM, program.interface, options)

    def load(self, artifact: Artifact, stage: Stage) -> FlatCallable:
        """A callable on arrays. ncnn's arrays have no batch axis, so it is taken off and put back."""
        import ncnn
        import numpy as np

        net = ncnn.Net()
        net.opt.num_threads = int(artifact.options["threads"])
        # These default to true, and cost two digits of the outputs.
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        if net.load_param(str(artifact.path / PARAM)) or net.load_model(str(artifact.path / BIN)):
            raise EngineError(f"ncnn: {artifact.path / PARAM} cannot be loaded")
        shapes = artifact.options["shapes"]

        def call(inputs: Sequence["np.ndarray[Any, Any]"]) -> list["np.ndarray[Any, Any]"]:
            extractor = net.create_extractor()
            # Cloned, because a layer that works in place would write into the caller's array.
            extractor.input("in0", ncnn.Mat(np.ascontiguousarray(inputs[0][0])).clone())
            outputs = []
            for index, shape in enumerate(shapes):
                status, value = extractor.extract(f"out{index}")
                if status:
                    raise EngineError(f"ncnn: output {index} cannot be computed (status {status})")
                outputs.append(np.array(value).reshape(shape))
            return outputs

        return call

    def fused_kernels(self, artifact: Artifact) -> EngineGraph:
        """The layers as pnnx has fused them, which is all the fusing that there is: ncnn runs them one by one."""
        rows = [line.split() for line in (artifact.path / PARAM).read_text().splitlines()[2:]]
        kernels = tuple(Kernel(name, kind) for kind, name, *_ in rows)
        return EngineGraph(kernels, signature_of(_without_names(rows)))

    @classmethod
    def recipe_available(cls, recipe: str) -> str | None:
        """Whether pnnx is there, which does it."""
        if importlib.util.find_spec("pnnx") is None:
            return "pnnx is not installed: pip install 'fxopt-example[ncnn]'"
        return super().recipe_available(recipe)

    def quantize(
        self, recipe: str, program: Program, samples: "Iterable[Sequence[np.ndarray[Any, Any]]]", out: Path
    ) -> Artifact:
        """The one recipe that there is; the samples are not needed."""
        if recipe not in self.recipes:
            return super().quantize(recipe, program, samples, out)  # raises
        return self._convert(program, out, half=True)


def _returned(program: Program) -> list["Node"]:
    return [node for node in program.outputs if node.op != "call_function"]


def _shape_fault(node: "Node") -> str | None:
    """Why a value is none that ncnn can hold: it must be an image or a row of features, one of a kind, in float32."""
    value = node.meta.get("val")
    if str(getattr(value, "dtype", None)) != "torch.float32":
        return "ncnn is given float32 only"
    sizes = tuple(value.shape)
    if not all(isinstance(size, int) for size in sizes):
        return "its shape is dynamic"
    if len(sizes) not in (2, 4) or sizes[0] != 1 or 0 in sizes:
        return f"its shape is {list(sizes)}; ncnn is given one image (1, C, H, W) or row (1, F)"
    return None


def _call_fault(program: Program, node: "Node") -> str | None:
    """Why a call is none that pnnx is known to translate."""
    target, used = str(node.target), node.all_input_nodes
    values = [item for item in used if program.tensor(item) is None]
    if target in LAYERS:
        return None if values == used[:1] else "ncnn takes weights that are constants only"
    shapes = {tuple(item.meta["val"].shape) for item in values}
    if target in BINARY and not node.kwargs:
        return (
            None if values == used and shapes == {tuple(node.meta["val"].shape)} else "it broadcasts, or has constants"
        )
    if target == "aten.cat.default" and values == used and len(node.meta["val"].shape) == 4:
        return None if list(node.args[1:]) == [1] else "ncnn is asked to join channels only"
    if target == "aten.mean.dim" and len(used[0].meta["val"].shape) == 4:
        return None if sorted(axis % 4 for axis in node.args[1]) == [2, 3] else "it takes the mean over other axes"
    if target in FLATTENING and len(node.meta["val"].shape) == 2:
        return None
    return f"{target} is none of the operators that this engine converts"


def _pnnx() -> str:
    """The converter, which lies in its package; importing that would import torch once more."""
    spec = importlib.util.find_spec("pnnx")
    if spec is None or spec.origin is None:
        raise EngineError("pnnx is not installed: pip install 'fxopt-example[ncnn]'")
    return str(Path(spec.origin).with_name("pnnx"))


def _without_names(rows: list[list[str]]) -> Iterator[tuple[Any, ...]]:
    """Layers with their parameters, and numbers for the names of what they take and give."""
    numbers: dict[str, int] = {}
    for kind, _, takes, gives, *rest in rows:
        count = int(takes) + int(gives)
        yield kind, takes, *(numbers.setdefault(name, len(numbers)) for name in rest[:count]), *rest[count:]


@hookimpl
def fxopt_engines() -> list[type[Engine]]:
    """The engines of this module."""
    return [Ncnn]
