"""Code of others: `package.module:name` on the command line, found and called; and what it raises, in one line."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fxopt.contracts.options import suggest
from fxopt.errors import FxoptError, InputError

_ELSEWHERE = re.compile(rf"^{re.escape(str(Path(__file__).parent))}/|/site-packages/torch/|^<")  # not the plugin's code
_FORM = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_reference(text: str) -> bool:
    """Whether the text is of the form `package.module:name`, and no file is called so."""
    return _FORM.fullmatch(text) is not None and not Path(text).exists()


def find(reference: str) -> Any:
    """What `package.module:name` names; the module is imported, from the current folder too, as `python -m` does.

    Raises:
        InputError: there is no such module or name (the nearest is suggested), or the import fails.
    """
    module_name, _, path = reference.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if name and (module_name == name or module_name.startswith(name + ".")):
            raise InputError(
                f"{reference}: there is no module {name!r} in the current folder or among those installed"
            ) from error
        raise InputError(f"{reference}: importing {module_name} failed: {_explain(error)}") from error
    for name in path.split("."):
        if not hasattr(found, name):
            known = (known for known in dir(found) if known[0] != "_")
            raise InputError(f"{reference}: {module_name} has no {name!r}{suggest(name, known)}")
        found = getattr(found, name)
    return found


def call(reference: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What the user's function returns.

    Args:
        reference: how messages name the function.
        function: what is called.
        arguments: what it is called with.

    Raises:
        InputError: the function raised; the message gives the reason and the user's source line.
    """
    try:
        return function(*arguments)
    except FxoptError:
        raise
    except (Exception, SystemExit) as error:  # the user's function may raise anything
        raise InputError(f"{reference} failed: {_explain(error)}") from error


def one_line(text: str, most: int = 300) -> str:
    """A text of somebody else as one line that can be shown: without control characters, cut after `most` characters."""
    line = "".join(char if char.isprintable() else " " for char in text[: 4 * most])
    line = " ".join(line.split())
    return line if len(line) <= most else f"{line[:most]}…"


def raised(error: BaseException) -> str:
    """An exception of a plugin's code in one line: its type, its first line, and where in that code it came from."""
    try:
        first = one_line((str(error).strip().splitlines() or [""])[0])
    except Exception:  # noqa: BLE001 - a message that cannot be made is none
        first = ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _ELSEWHERE.search(frame.filename)]
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno}, in {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}{': ' if first else ''}{first}{where}"


def _explain(error: BaseException) -> str:
    from fxopt.ir.export_error import explain_export_error  # imports torch

    return explain_export_error(error)
