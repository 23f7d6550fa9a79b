"""What executors run: builds of packed Programs, and packed artifacts on packed samples. Bytes come, bytes go."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from fxopt.errors import EngineError
from fxopt.measure import Worker


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


def _files(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
