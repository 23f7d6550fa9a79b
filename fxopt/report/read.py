"""The ledger from an output folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fxopt.compiler.output import read_json

VERSION = 2  # of the ledger's schema that this package reads


def read(out: Path) -> dict[str, Any]:
    """The ledger in `out`.

    Raises:
        InputError: there is none, it is damaged, or its schema is of another version.
    """
    missing = f"{out}: there is no ledger.json; give the output folder of fxopt optimize"
    return read_json(out / "ledger.json", VERSION, missing)
