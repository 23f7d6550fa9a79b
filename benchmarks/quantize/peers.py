"""What fxopt is held against: engines on the model in floats, and what their own tools make of it in int8."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fxopt_plugins.engines
from benchmarks.quantize import x86_inductor
from benchmarks.quantize.store import Store
from fxopt.contracts.target import Machine
from fxopt.data import Data
from fxopt.errors import FxoptError
from fxopt.ir.program import Program
from fxopt.measure import Limits, Worker, samples

THREADS = 2
_DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "avxvnni", "asimddp"}


@dataclass(frozen=True)
class Peer:
    """One way to run a model.

    Attributes:
        name: in tables.
        engine: spec, without the threads.
        recipe: the engine's own way to quantize; None for floats.
        whole: whether it quantizes whatever the engine has kernels for. The best of these says what may be lost where a
            model has no budget of its own; one that leaves convolutions as they are would say nothing.
    """

    name: str
    engine: str
    recipe: str | None = None
    whole: bool = True

    def spec(self) -> str:
        """The engine's spec."""
        name, _, options = self.engine.partition("{")
        return f"{name}{{{f'{options[:-1]},' if options else ''}threads={THREADS}}}"


def peers(machine: Machine) -> list[Peer]:
    """Those that make sense here: OpenVINO in bfloat16 where it picks that itself, weights of 7 bits where 8 may saturate."""
    found = [
        Peer("ONNX Runtime", "onnxruntime"),
        Peer("OpenVINO f32", "openvino"),
        Peer("Inductor", "inductor"),
        Peer("ONNX Runtime U8S8", "onnxruntime", "static_u8s8"),
        Peer("ONNX Runtime S8S8", "onnxruntime", "static_s8s8"),
        Peer("ONNX Runtime dynamic", "onnxruntime", "dynamic", whole=False),
        Peer("NNCF", "openvino", "nncf"),
        Peer("torchao x86", "inductor", "x86"),
    ]
    if openvino_default() == "bf16":
        found += [Peer("OpenVINO bf16", "openvino{precision=bf16}")]
        found += [Peer("NNCF, else bf16", "openvino{precision=bf16}", "nncf")]
    if not has_dot_products(machine):
        found += [Peer("ONNX Runtime U8S8, 7 bits", "onnxruntime", "static_u8s8_reduced")]
        found += [Peer("torchao x86, 7 bits", "inductor", "x86_reduced")]
    return sorted(found, key=lambda peer: peer.recipe is not None)


def has_dot_products(machine: Machine) -> bool:
    """Whether the CPU has instructions for sums of 8-bit products, which do not saturate."""
    return not _DOT_PRODUCTS.isdisjoint(machine.isa)


def openvino_default() -> str | None:
    """The precision that OpenVINO picks here where nothing is said; None where it is not installed."""
    try:
        import openvino
    except ImportError:
        return None
    return str(openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT").to_string())


def build(
    name: str, found: Sequence[Peer], program: Program, calib: Data, machine: Machine, store: Store
) -> tuple[dict[str, Path], dict[str, str]]:
    """The artifact of each peer, made in a process of its own, and one line for each that failed.

    Args:
        name: of the model.
        found: the peers.
        program: the model in floats.
        calib: what ranges are fitted to.
        machine: on which artifacts are made.
        store: where they are kept.
    """

    def save(draft: Path) -> None:
        (draft / "program").mkdir(parents=True)
        program.save(draft / "program")
        samples.write(draft / "samples.npz", ([value.numpy() for value in batch.inputs] for batch in calib.batches()))

    stamp = (machine.cpu, machine.isa, sorted(versions(machine).items()), code_digest())
    source = store.folder(("source", program.digest, calib.digest), save)
    artifacts, failures = dict[str, Path](), dict[str, str]()
    for peer in found:

        def fill(draft: Path, peer: Peer = peer) -> None:
            data, out = source / "samples.npz", draft / "model"
            if peer.recipe in x86_inductor.RECIPES:
                x86_inductor.quantize(name, peer.recipe, data, THREADS, out)
                return
            with Worker(Limits(build_s=600)) as worker:
                if peer.recipe is None:
                    worker.emit(peer.spec(), source / "program", out)
                else:
                    worker.quantize(peer.spec(), peer.recipe, source / "program", data, out)

        key = (peer.spec(), peer.recipe, program.digest, calib.digest if peer.recipe else "", *stamp)
        try:
            artifacts[peer.name] = store.folder(key, fill) / "model"
        except FxoptError as error:
            failures[peer.name] = str(error)
    return artifacts, failures


def versions(machine: Machine) -> dict[str, str]:
    """Versions of all that takes part."""
    found = dict(machine.versions)
    for package in ("nncf", "torchao"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def code_digest() -> str:
    """Of the code that makes artifacts."""
    folder = Path(str(fxopt_plugins.engines.__file__)).parent
    files = [*sorted(folder.glob("*.py")), Path(x86_inductor.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
