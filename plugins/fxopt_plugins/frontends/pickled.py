"""`.pt` and `.pth` files of `torch.save`: a pickled module, or a bare state dict."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from fxopt.contracts.frontend import Frontend, Loaded, LoadRequest
from fxopt.errors import InputError
from fxopt.ir.export_error import explain_export_error
from fxopt_plugins.frontends.archive import is_zip, member_names
from fxopt_plugins.frontends.examples import make_examples
from fxopt_plugins.frontends.factory import is_state_dict

_SUFFIXES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}


@dataclass(frozen=True)
class Pickled(Frontend):
    """A pickled module, which runs code when it is loaded; only with `--trust-pickle`, and needs `--input`."""

    name: ClassVar[str] = "pickle"

    def recognises(self, model: str) -> bool:
        path = Path(model)
        if not path.is_file():
            return False
        return path.suffix in _SUFFIXES or (is_zip(path) and "data.pkl" in member_names(path))

    def load(self, request: LoadRequest) -> Loaded:
        path = Path(request.model)
        if is_zip(path) and not member_names(path):
            raise InputError(f"{path}: not a whole archive, damaged or cut off")
        if _holds_state_dict(path):
            raise InputError(
                f"{path} is a bare state dict, weights without a model;"
                f" give package.module:factory with --weights {path}"
            )
        if not request.trust_pickle:
            raise InputError(
                f"{path} is a pickle, which runs code when it is loaded. Save the model with"
                " torch.export.save(torch.export.export(model, example_inputs), 'model.pt2'),"
                " or pass --trust-pickle if you trust who made it"
            )
        if request.weights:
            raise InputError(f"--weights: {path} holds its own weights")
        module = _unpickle(path)
        notes = (f"{path} was loaded with --trust-pickle",)
        if any(part.training for part in module.modules()):
            module.eval()
            notes += (f"{path} was saved in training mode: it is optimized in evaluation mode",)
        examples = make_examples(str(path), inspect.signature(module.forward), request)
        return Loaded(f"pickled module {path}", module=module, notes=notes, **vars(examples))


def _holds_state_dict(path: Path) -> bool:
    """Whether it holds tensors only, which the safe loader tells."""
    try:
        loaded: Any = torch.load(path, map_location="meta", weights_only=True)
    except Exception:  # noqa: BLE001  whatever else it is: a module, another pickle, or damage
        return False
    inner = loaded.values() if isinstance(loaded, dict) else ()
    return is_state_dict(loaded) or any(is_state_dict(value) for value in inner)


def _unpickle(path: Path) -> torch.nn.Module:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # the file's own code may raise anything
        raise InputError(f"{path}: cannot be unpickled: {explain_export_error(error)}") from error
    if not isinstance(loaded, torch.nn.Module):
        raise InputError(f"{path} holds a {type(loaded).__name__}, not a torch.nn.Module")
    return loaded
