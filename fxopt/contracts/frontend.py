"""The contract of a frontend: what turns the MODEL of the command line into something that can be captured."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from fxopt.contracts.options import Configurable
from fxopt.errors import InputError
from fxopt.ir.input_spec import DimSpec, InputSpec
from fxopt.user_code import is_reference

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LoadRequest:
    """What the user said about the model.

    Attributes:
        model: a path or `package.module:factory`.
        weights: the file of `--weights`.
        inputs, dims: `--input`, as `fxopt.ir.input_spec.parse_inputs` returns it.
        trust_pickle: whether a file that runs code when it is loaded may be loaded.
    """

    model: str
    weights: Path | None = None
    inputs: tuple[InputSpec, ...] = ()
    dims: tuple[DimSpec, ...] = ()
    trust_pickle: bool = False


@dataclass(frozen=True)
class Loaded:
    """A model ready for capture: either `exported`, or `module` with what `torch.export.export` takes.

    Attributes:
        source: what it was, in words, like `"TorchScript file model.pt"`.
        exported: the exported program, where the model was one.
        module: the module in evaluation mode, else.
        args, kwargs: example inputs for the capture. A dynamic dimension has a size of at least 2 there where its range
            allows, as torch.export takes a size of 1 for a constant.
        dynamic_shapes: as `torch.export.export` takes it.
        measured: the inputs (args, kwargs) at the sizes at which the model is measured; deterministic.
        dims: the dynamic dimensions with their ranges and measured sizes, in the order of their first use.
        notes: lines that the user should see, like that the module was in training mode.
    """

    source: str
    exported: torch.export.ExportedProgram | None = None
    module: torch.nn.Module | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    dynamic_shapes: Mapping[str, Any] | None = None
    measured: tuple[tuple[Any, ...], Mapping[str, Any]] = ((), {})
    dims: tuple[DimSpec, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frontend(Configurable, abc.ABC):
    """Reads one kind of model."""

    name: ClassVar[str]

    @abc.abstractmethod
    def recognises(self, model: str) -> bool:
        """Whether `model` is of this kind. Cheap, runs no code of the model, and never raises."""

    @abc.abstractmethod
    def load(self, request: LoadRequest) -> Loaded:
        """Load it.

        Raises:
            InputError: it cannot be loaded, or the other flags do not fit it; one line.
        """


def load_model(frontends: Iterable[Frontend], request: LoadRequest) -> Loaded:
    """Load the model by the first frontend that recognises it.

    Raises:
        InputError: there is no such file, or no frontend recognises it, or its frontend refuses it.
    """
    if not is_reference(request.model):
        check_file(Path(request.model))
    for frontend in frontends:
        if frontend.recognises(request.model):
            return frontend.load(request)
    raise InputError(
        f"{request.model}: not a model that fxopt reads; give a .pt2 from torch.export.save, a TorchScript .pt,"
        " or package.module:factory"
    )


def check_file(path: Path, wanted: str = "a model file or package.module:factory") -> None:
    """Raise an InputError unless `path` is a readable file that is not empty; `wanted` says what to give instead."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory; give {wanted}")
        if not path.exists():
            raise InputError(f"{path}: no such file; give {wanted}")
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError(f"{path} is empty")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
