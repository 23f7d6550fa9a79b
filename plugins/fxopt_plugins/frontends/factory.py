"""`package.module:factory`, a callable that returns a module, or a module and its example inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from fxopt import user_code
from fxopt.contracts.frontend import Frontend, Loaded, LoadRequest, check_file
from fxopt.errors import InputError
from fxopt.ir.export_error import reason
from fxopt_plugins.frontends.examples import make_examples


@dataclass(frozen=True)
class Factory(Frontend):
    """A model made by the user's own code, with weights from a file where `--weights` names one."""

    name: ClassVar[str] = "factory"

    def recognises(self, model: str) -> bool:
        return user_code.is_reference(model)

    def load(self, request: LoadRequest) -> Loaded:
        module, given = _split(request.model, user_code.call(request.model, _find(request.model)))
        notes: tuple[str, ...] = ()
        if request.weights is not None:
            load_weights(module, request.weights)
        if any(part.training for part in module.modules()):
            module.eval()
            notes = (f"{request.model} returned a module in training mode: it is optimized in evaluation mode",)
        examples = make_examples(request.model, inspect.signature(module.forward), request, given)
        return Loaded(f"module from {request.model}", module=module, notes=notes, **vars(examples))


def _find(model: str) -> Callable[[], Any]:
    found = user_code.find(model)
    if isinstance(found, torch.nn.Module):
        return lambda: found
    if not callable(found):
        raise InputError(f"{model} is a {type(found).__name__}, not a function that returns a module")
    return found  # type: ignore[no-any-return]


def _split(model: str, result: Any) -> tuple[torch.nn.Module, tuple[tuple[Any, ...], Mapping[str, Any]]]:
    match result:
        case torch.nn.Module():
            return result, ((), {})
        case (torch.nn.Module() as module, torch.Tensor() as tensor):
            return module, ((tensor,), {})
        case (torch.nn.Module() as module, dict(kwargs)) if all(isinstance(name, str) for name in kwargs):
            return module, ((), kwargs)
        case (torch.nn.Module() as module, tuple() | list() as args):
            return module, (tuple(args), {})
        case (torch.nn.Module(), other):
            raise InputError(
                f"{model} returned example inputs of type {type(other).__name__};"
                " return a tensor, a tuple, or a dict by name"
            )
    raise InputError(
        f"{model} returned a {type(result).__name__}; return a torch.nn.Module, or (module, example_inputs)"
    )


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Put the weights of a `.safetensors` or a state dict's `.pt` into the module; runs no code of the file.

    Raises:
        InputError: the file cannot be read safely, or does not fit the module.
    """
    check_file(path, "weights as .safetensors or .pt")
    weights = _read_weights(path)
    try:
        missing, unexpected = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        details = [line.strip() for line in str(error).splitlines()[1:] if line.strip()]
        raise InputError(
            f"{path} does not fit the model: {_few([line.rstrip('.') for line in details], '; ')}"
        ) from error
    wrong = [f"{what} {_few(keys)}" for what, keys in (("lacks", missing), ("has beyond it", unexpected)) if keys]
    if wrong:
        raise InputError(f"{path} does not fit the model: it {' and '.join(wrong)}")


def _few(names: list[str], separator: str = ", ") -> str:
    return separator.join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a whole .safetensors file ({reason(error)})") from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever damaged bytes lead to
        raise InputError(
            f"{path}: cannot be read as a state dict of tensors;"
            " save one with torch.save(model.state_dict(), path) or as .safetensors"
        ) from error
    if isinstance(loaded, dict) and len(inner := [value for value in loaded.values() if is_state_dict(value)]) == 1:
        loaded = inner[0]  # a checkpoint: {"state_dict": ..., "epoch": ...}
    if not is_state_dict(loaded):
        raise InputError(f"{path} holds no state dict; save one with torch.save(model.state_dict(), path)")
    return dict(loaded)


def is_state_dict(value: Any) -> bool:
    """Whether it is a dict of tensors by name, not empty."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items())
    )
