"""The ledger from an output folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fxopt.errors import InputError

VERSION = 1  # of the ledger's schema that this package reads


def read(out: Path) -> dict[str, Any]:
    """The ledger in `out`.

    Raises:
        InputError: there is none, it is damaged, or its schema is of another version.
    """
    file = out / "ledger.json"
    try:
        ledger = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{out}: there is no ledger.json; give the output folder of fxopt optimize") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{file}: damaged ({error}); optimize the model again") from error
    version = ledger.get("version") if isinstance(ledger, dict) else None
    if version != VERSION:
        raise InputError(f"{file}: schema version {version}, but this fxopt reads {VERSION}; optimize the model again")
    return dict(ledger)
