"""`.pt` files of `torch.jit.save`."""

from __future__ import annotations

import inspect
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from fxopt.contracts.frontend import Frontend, Loaded, LoadRequest
from fxopt.errors import InputError
from fxopt.ir.export_error import explain_export_error, reason
from fxopt_plugins.frontends.archive import Archive, Refused, is_zip, member_names, open_archive
from fxopt_plugins.frontends.examples import make_examples

# TorchScript has no way to reach Python, but these of its operators read or write files, and classes and operators
# that are not torch's own run whatever native code is registered for them.
_REACHES_OUT = re.compile(r"\btorch\.(save|from_file)\b|\b__torch__\.torch\.classes\.(?!quantized\b)[\w.]+|\bops\.(?!prim\b|prims\b|aten\b|quantized\b)\w+\.\w+")


@dataclass(frozen=True)
class TorchScript(Frontend):
    """A TorchScript module, converted by torch's own converter; needs `--input`."""

    name: ClassVar[str] = "torchscript"

    def recognises(self, model: str) -> bool:
        path = Path(model)
        names = member_names(path) if is_zip(path) else frozenset()
        return "constants.pkl" in names and any(name.startswith("code/") for name in names)

    def load(self, request: LoadRequest) -> Loaded:
        path = Path(request.model)
        if request.weights:
            raise InputError(f"--weights: {path} holds its own weights")
        notes = _check(path, request.trust_pickle)
        try:
            script = torch.jit.load(path, map_location="cpu")
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{path}: torch.jit.load failed ({reason(error)})") from error
        if getattr(script, "training", False):
            script.eval()
            notes += (f"{path} was saved in training mode: it is optimized in evaluation mode",)
        examples = make_examples(str(path), _signature(script), request)
        module = _convert(path, script, examples.args, examples.kwargs)
        return Loaded(f"TorchScript file {path}", module=module, notes=notes, **vars(examples))


def _check(path: Path, trust: bool) -> tuple[str, ...]:
    try:
        archive = open_archive(path)
        with archive.file:
            _refuse_reaching_out(archive)
    except Refused as refused:
        if not trust:
            raise InputError(
                f"{path} may do more than compute when it is loaded or run: {refused}."
                " Save the PyTorch model with torch.export.save, or pass --trust-pickle if you trust who made it"
            ) from None
        return (f"{path} was loaded with --trust-pickle: {refused}",)
    return ()


def _refuse_reaching_out(archive: Archive) -> None:
    for member in archive.members:
        if member.startswith("code/") and member.endswith(".py"):
            if found := _REACHES_OUT.search(archive.read(member).decode(errors="replace")):
                raise Refused(f"its code uses {found[0]}")


def _signature(script: torch.jit.ScriptModule) -> inspect.Signature:
    """The Python signature of a TorchScript forward."""
    kind = inspect.Parameter
    return inspect.Signature(
        [
            kind(
                argument.name,
                kind.KEYWORD_ONLY if argument.kwarg_only else kind.POSITIONAL_OR_KEYWORD,
                default=argument.default_value if argument.has_default_value() else kind.empty,
            )
            for argument in script.forward.schema.arguments[1:]
        ]
    )


def _convert(path: Path, script: torch.jit.ScriptModule, args: tuple, kwargs: dict) -> torch.nn.Module:
    from torch._export.converter import TS2EPConverter

    log = logging.getLogger("torch._export.converter")
    level = log.level
    log.setLevel(logging.ERROR)  # it prints its whole progress as warnings
    try:
        with torch.no_grad():
            return TS2EPConverter(script, args, kwargs).convert().module()
    except Exception as error:  # the converter raises whatever an operator that it does not know leads to
        raise InputError(
            f"{path}: torch cannot convert this TorchScript: {explain_export_error(error)}; save the PyTorch model with torch.export.save"
        ) from error
    finally:
        log.setLevel(level)
