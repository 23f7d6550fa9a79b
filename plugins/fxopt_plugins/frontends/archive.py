"""Zip archives as torch writes them, looked at without loading anything."""

from __future__ import annotations

import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fxopt.errors import InputError
from fxopt.ir.export_error import reason

_MAGIC = b"PK\x03\x04"
# What zipfile raises on damaged bytes.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError)


class Refused(Exception):
    """Why a file may run code when it is loaded: one clause."""


@dataclass(frozen=True)
class Archive:
    """An open archive whose members are known by their path below the top folder.

    A member's bytes must be read once and used as read: then what was checked is what is used.
    """

    path: Path
    file: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]

    def read(self, member: str) -> bytes:
        """The member's bytes.

        Raises:
            InputError: it is missing, or its checksum is wrong.
        """
        if member not in self.members:
            raise InputError(f"{self.path}: the archive is incomplete, {member} is missing")
        try:
            return self.file.read(self.members[member])
        except _DAMAGE as error:
            raise InputError(f"{self.path}: the archive is damaged at {member} ({reason(error)})") from error


def is_zip(path: Path) -> bool:
    """Whether the file begins like a zip archive; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) == _MAGIC
    except OSError:
        return False


def member_names(path: Path) -> frozenset[str]:
    """The members below the top folder; empty where it is no whole zip archive."""
    try:
        with _open(path) as file:
            return frozenset(_strip_root(file.namelist()))
    except InputError:
        return frozenset()


def open_archive(path: Path, data: IO[bytes] | None = None) -> Archive:
    """Open an archive, or its bytes where they are at hand, for reading; close its `file` afterwards.

    Raises:
        InputError: it is no zip archive, or is truncated.
        Refused: it uses something of the zip format that torch never writes, and that serves to deceive a reader.
    """
    file = _open(path, data)
    try:
        _check_entries(file, path)
        names = _strip_root([info.filename for info in file.infolist()])
        return Archive(path, file, dict(zip(names, file.infolist(), strict=True)))
    except BaseException:
        file.close()
        raise


def _open(path: Path, data: IO[bytes] | None = None) -> zipfile.ZipFile:
    try:
        file = zipfile.ZipFile(data or path)
    except _DAMAGE as error:
        raise InputError(f"{path}: not a whole archive, damaged or cut off ({reason(error)})") from error
    if min((info.header_offset for info in file.infolist()), default=0) != 0:
        # A cut-off file may end within an archive that is its member, which zipfile then takes for the whole.
        file.close()
        raise InputError(f"{path}: not a whole archive, damaged or cut off")
    return file


def _check_entries(file: zipfile.ZipFile, path: Path) -> None:
    names: set[str] = set()
    for info in file.infolist():
        name = info.filename
        if name in names:
            raise Refused(f"its archive has two members named {name!r}")
        names.add(name)
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or "\0" in (info.orig_filename or ""):
            raise Refused(f"its archive has a member named {name!r}")
        if info.flag_bits & 1:
            raise Refused(f"its member {name!r} is encrypted")
        if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
            raise Refused(f"its member {name!r} states two sizes")
    stored = sum(info.compress_size for info in file.infolist())
    if stored > path.stat().st_size:
        raise Refused("the members of its archive overlap")
    unpacked = sum(info.file_size for info in file.infolist() if info.compress_type != zipfile.ZIP_STORED)
    if unpacked > max(100 * stored, 1 << 24):
        raise Refused(f"its compressed members unpack to {unpacked} bytes")


def _strip_root(names: list[str]) -> list[str]:
    """Drop the top folder where all members share one, as in all archives of torch's writer."""
    roots = {name.partition("/")[0] for name in names}
    if len(roots) == 1 and all("/" in name for name in names):
        return [name.partition("/")[2] for name in names]
    return names
