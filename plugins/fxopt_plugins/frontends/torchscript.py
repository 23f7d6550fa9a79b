"""`.pt` files of `torch.jit.save`."""

from __future__ import annotations

import inspect
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch._export.converter import TS2EPConverter
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from fxopt.contracts.frontend import Frontend, Loaded, LoadRequest
from fxopt.errors import InputError
from fxopt.ir.export_error import explain_export_error, reason
from fxopt.ir.quiet import quiet
from fxopt_plugins.frontends.archive import Archive, Refused, is_zip, member_names, open_archive
from fxopt_plugins.frontends.examples import Examples, make_examples

# TorchScript has no way to reach Python, but these of its operators read or write files, and classes and operators
# that are not torch's own run whatever native code is registered for them.
_REACHES_OUT = re.compile(
    r"\btorch\.(save|from_file)\b|\b__torch__\.torch\.classes\.(?!quantized\b)[\w.]+|\bops\.(?!prim\b|prims\b|aten\b|quantized\b)\w+\.\w+"
)


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
        data = io.BytesIO(path.read_bytes())  # what is checked is what is loaded
        notes = _check(path, data, request.trust_pickle)
        try:
            script = torch.jit.load(data, map_location="cpu")
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"{path}: torch.jit.load failed ({reason(error)})") from error
        if getattr(script, "training", False):
            script.eval()
            notes += (f"{path} was saved in training mode: it is optimized in evaluation mode",)
        examples = make_examples(str(path), _signature(script), request)
        module = _convert(path, script, examples)
        return Loaded(f"TorchScript file {path}", module=module, notes=notes, **vars(examples))


def _check(path: Path, data: io.BytesIO, trust: bool) -> tuple[str, ...]:
    try:
        archive = open_archive(path, data)
        with archive.file:
            _refuse_reaching_out(archive)
    except Refused as refused:
        if not trust:
            raise InputError(
                f"{path} may do more than compute when it is loaded or run: {refused}."
                " Save the PyTorch model with torch.export.save, or pass --trust-pickle if you trust who made it"
            ) from None
        return (f"{path} was loaded with --trust-pickle: {refused}",)
    finally:
        data.seek(0)
    return ()


def _refuse_reaching_out(archive: Archive) -> None:
    for member in archive.members:
        is_code = member.startswith("code/") and member.endswith(".py")
        if is_code and (found := _REACHES_OUT.search(archive.read(member).decode(errors="replace"))):
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


class Converted(torch.nn.Module):
    """A converted TorchScript in its own form.

    The converter renames arguments, wants defaults spelled out, and flattens results.
    """

    def __init__(self, script: torch.jit.ScriptModule, examples: Examples) -> None:
        super().__init__()
        self._signature = _signature(script)
        call = self._complete(*examples.args, **examples.kwargs)
        expected, self._results = tree_flatten(script(*call.args, **call.kwargs))
        self.converted = TS2EPConverter(script, call.args, call.kwargs).convert().module()

        def forward(*args: Any, **kwargs: Any) -> Any:
            call = self._complete(*args, **kwargs)
            return tree_unflatten(tree_leaves(self.converted(*call.args, **call.kwargs)), self._results)

        forward.__signature__ = self._signature  # type: ignore[attr-defined]
        self.forward = forward
        for part in self.modules():
            part.training = False
        torch.testing.assert_close(
            tree_leaves(forward(*examples.args, **examples.kwargs)), expected, rtol=1e-3, atol=1e-4
        )

    def train(self, mode: bool = True) -> Converted:
        """Nothing: what is converted has no other mode, and torch raises where it is asked for one."""
        return self

    def _complete(self, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound


def _convert(path: Path, script: torch.jit.ScriptModule, examples: Examples) -> torch.nn.Module:
    try:
        with torch.no_grad(), quiet("torch._export.converter"):
            return Converted(script, examples)
    except (
        Exception
    ) as error:  # TorchScript and its converter raise whatever an operator that they do not know leads to
        raise InputError(
            f"{path}: torch cannot convert this TorchScript: {explain_export_error(error)};"
            " save the PyTorch model with torch.export.save"
        ) from error
