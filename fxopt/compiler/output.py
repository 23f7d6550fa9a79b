"""The output folder: everything is written aside and moved into place at the end, or rolled forward after a kill."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from fxopt.compiler.journal import discard, write_whole
from fxopt.errors import InputError

STAGING, OLD, COMMIT = "result", "old", "commit"


def staging(journal: Path) -> Path:
    """A fresh folder to write the output into."""
    folder = journal / STAGING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def publish(out: Path) -> None:
    """Move what is staged into OUT. After the commit mark a killed move goes on at the next call of `roll_forward`."""
    journal = out / "journal"
    names = sorted(path.name for path in (journal / STAGING).iterdir())
    write_whole(journal / COMMIT, json.dumps(names))
    roll_forward(out)


def roll_forward(out: Path) -> bool:
    """Finish a publication that was cut short; whether there was one."""
    journal = out / "journal"
    if not (journal / COMMIT).exists():
        return False
    (journal / OLD).mkdir(exist_ok=True)
    ours = (
        "model",
        "baseline",
        "source.pt2",
        "plan.json",
        "plan.safetensors",
        "ledger.json",
        "report.html",
        "report.md",
    )
    staged = set(json.loads((journal / COMMIT).read_text()))
    for name in ours:
        new, final, old = journal / STAGING / name, out / name, journal / OLD / name
        if name in staged and not new.exists():
            continue  # already moved
        if final.exists():
            shutil.rmtree(old, ignore_errors=True) if old.is_dir() else old.unlink(missing_ok=True)
            os.replace(final, old)
        if new.exists():
            os.replace(new, final)
    discard(journal)
    return True


def write_json(file: Path, data: Any) -> None:
    """JSON as people like to read it."""
    write_whole(file, json.dumps(data, indent=1) + "\n")


def read_json(file: Path, version: int, missing: str) -> dict[str, Any]:
    """A file of an output folder, whose `version` must be the one that this package reads.

    Raises:
        InputError: there is no such file (`missing` says so), it is damaged, or its schema is of another version.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(missing) from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: damaged ({error}); optimize the model again") from error
    found = data.get("version") if isinstance(data, dict) else None
    if found != version:
        raise InputError(f"{file}: schema version {found}, but this fxopt reads {version}; optimize the model again")
    return dict(data)
