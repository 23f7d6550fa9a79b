"""The journal of a run: what was built and measured, so that a run killed at any point goes on from there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fxopt.errors import InputError

_ENTRY = re.compile(r"builds|result|old|commit|request\.json|[\w-]+-[0-9a-f]{20}\.json|\..*\.draft")


class Journal:
    """A folder `journal/` inside OUT. Each entry is a file or folder that is there whole or not at all."""

    def __init__(self, out: Path, request: dict[str, Any], resume: bool) -> None:
        """Open the journal of an unfinished run, or begin a new one.

        Args:
            out: the output folder; made if missing.
            request: what identifies the run (model digest, target, passes, versions, ...).
            resume: whether an unfinished run may be gone on with.

        Raises:
            InputError: OUT is not writable, holds something else, or an unfinished run of another request is to be resumed.
        """
        self.path = out / "journal"
        text = json.dumps(request, sort_keys=True)
        try:
            out.mkdir(parents=True, exist_ok=True)
            refuse_foreign(out)
            self._unlock = weakref.finalize(self, os.close, _lock(out))
            try:
                self._open(out, text, resume)
            except BaseException:
                self.release()
                raise
        except OSError as error:
            raise InputError(f"-o {out}: cannot write there: {error.strerror or error}") from error

    def _open(self, out: Path, text: str, resume: bool) -> None:
        recorded = self.path / "request.json"
        if resume and recorded.exists() and recorded.read_text() != text:
            raise InputError(
                f"-o {out}: the unfinished run there was another one (model, options or versions differ); leave out --resume"
            )
        if not resume or not recorded.exists():
            discard(self.path)
        (self.path / "builds").mkdir(parents=True, exist_ok=True)
        write_whole(recorded, text)

    def release(self) -> None:
        """Let other runs have the folder."""
        self._unlock()

    def remember(self, kind: str, key: str, compute: Callable[[], Any]) -> Any:
        """The JSON value recorded under kind and key, computed and recorded if there is none."""
        file = self.path / f"{kind}-{digest(key)}.json"
        if file.exists():
            return json.loads(file.read_text())
        value = compute()
        write_whole(file, json.dumps(value))
        return value

    def holds(self, key: str) -> bool:
        """Whether `folder` has the build of a key."""
        return (self.path / "builds" / digest(key)).exists()

    def folder(self, key: str, fill: Callable[[Path], None]) -> Path:
        """The folder of a build, filled by `fill(path)` if it is not there; `path` does not exist when `fill` is called."""
        final = self.path / "builds" / digest(key)
        if not final.exists():
            draft = final.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            fill(draft)
            draft.rename(final)
        return final


def _lock(out: Path) -> int:
    """A descriptor that keeps other runs out of the folder until it is closed, if only by the end of this process."""
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise InputError(f"-o {out}: another run is writing there; wait for it, or give another folder") from None
    return descriptor


def refuse_foreign(out: Path) -> None:
    """Refuse a folder of somebody else: what no run of fxopt wrote is neither overwritten nor removed.

    Raises:
        InputError: the folder `out`, which exists, holds something else and no result or unfinished run.
    """
    journal = out / "journal"
    entries = {path.name for path in journal.iterdir()} if journal.is_dir() else set()
    unknown = journal.exists() and (not journal.is_dir() or not all(map(_ENTRY.fullmatch, entries)))
    others = {path.name for path in out.iterdir()} - {"journal", "reproducers"}
    if unknown or (others and "request.json" not in entries and not _is_ledger(out / "ledger.json")):
        raise InputError(f"-o {out}: the folder holds something that fxopt did not write; give another one")


def _is_ledger(file: Path) -> bool:
    """Whether fxopt wrote it; it may be damaged since."""
    return file.is_file() and '"fxopt"' in file.read_text(errors="replace")


def discard(journal: Path) -> None:
    """Remove a journal, if there is one. Where this is cut short nothing resumes it: its builds may be half gone."""
    (journal / "request.json").unlink(missing_ok=True)
    shutil.rmtree(journal, ignore_errors=True)


def digest(text: str) -> str:
    """A short name for a key."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def write_whole(file: Path, data: str | bytes) -> None:
    """Write a file so that it is there whole or as it was before."""
    draft = file.with_name(f".{file.name}.draft")
    draft.write_bytes(data.encode() if isinstance(data, str) else data)
    os.replace(draft, file)
