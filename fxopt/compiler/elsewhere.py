"""What executors run: builds of packed Programs, and packed artifacts on packed samples. Bytes come, bytes go."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.errors import EngineError
from fxopt.measure import Worker, samples
from fxopt.prices.place import Place
from fxopt.registry import Registry

if TYPE_CHECKING:
    import numpy as np


class OtherPlace(EngineError):
    """What an engine gives was asked for of another machine, version or number of threads."""


def emit(engine: str, program: bytes) -> bytes:
    """The packed artifact of a packed Program.

    Raises:
        EngineError: the engine refuses, crashes or hangs.
    """
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        source, out = Path(folder) / "program", Path(folder) / "artifact"
        unpack(program, source)
        build(worker, engine, source, out)
        return pack(out)


def run(engine: str, artifact: bytes, calls: bytes, place: str) -> bytes:
    """Packed outputs of a packed artifact, call by call.

    Args:
        engine: that runs it.
        artifact: packed by `pack`.
        calls: inputs, packed by `pack_arrays`.
        place: that outputs are asked for of.

    Raises:
        EngineError: it fails, crashes or hangs.
        OtherPlace: this is not `place`, and outputs may be others here.
    """
    if (here := place_of(engine)) != place:
        raise OtherPlace(f"{engine}: outputs were asked for of {place}, and this is {here}")
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        unpack(artifact, Path(folder) / "artifact")
        worker.load(engine, Path(folder) / "artifact")
        return pack_arrays(worker.run(call) for call in unpack_arrays(calls))


def place_of(engine: str) -> str:
    """This machine, as far as an engine's outputs may depend on it."""
    registry = Registry.load()
    return str(Place.of(registry.make_engine(engine), registry.make_target("cpu").machine()))


def build(worker: Worker, engine: str, program: Path, out: Path) -> None:
    """Let a worker emit the Program in a folder into a new one.

    Raises:
        EngineError: as `emit`.
    """
    if faults := worker.unsupported(engine, program):
        raise EngineError(f"{engine}: cannot run node {faults[0].node}: {faults[0].reason}")
    worker.emit(engine, program, out)


def pack(folder: Path) -> bytes:
    """A folder's files as bytes that are the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for file in _files(folder):
            member = tarfile.TarInfo(file.relative_to(folder).as_posix())
            member.size = file.stat().st_size
            with file.open("rb") as stream:
                archive.addfile(member, stream)
    return buffer.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Files as `pack` packed them, into a new folder."""
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


def pack_arrays(calls: Iterable[Sequence[np.ndarray[Any, Any]]]) -> bytes:
    """The arrays of several calls as bytes."""
    buffer = io.BytesIO()
    samples.write(buffer, calls)
    return buffer.getvalue()


def unpack_arrays(packed: bytes) -> list[list[np.ndarray[Any, Any]]]:
    """Arrays as `pack_arrays` packed them."""
    return list(samples.Samples(io.BytesIO(packed)))


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
