"""Loading as the command line does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fxopt.contracts.frontend import Loaded, LoadRequest, load_model
from fxopt.errors import InputError
from fxopt.ir.input_spec import parse_inputs
from fxopt_plugins.frontends import fxopt_frontends


def load(model: str | Path, *inputs: str, **options: Any) -> Loaded:
    """Load by whichever built-in frontend recognises the model; `inputs` are values of `--input`."""
    specs, dims = parse_inputs(inputs)
    return load_model(
        [kind() for kind in fxopt_frontends()], LoadRequest(str(model), inputs=specs, dims=dims, **options)
    )


def refusal(model: str | Path, *inputs: str, **options: Any) -> str:
    """The one line with which loading is refused."""
    with pytest.raises(InputError) as caught:
        load(model, *inputs, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def loads_or_says_why(model: str | Path, *inputs: str, **options: Any) -> Loaded | None:
    """What is loaded; None where it is refused, which must be in one line."""
    try:
        return load(model, *inputs, **options)
    except InputError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1
    return None


def export(loaded: Loaded) -> torch.export.ExportedProgram:
    """What capture makes of a loaded module."""
    assert loaded.module is not None
    return torch.export.export(loaded.module, loaded.args, dict(loaded.kwargs), dynamic_shapes=loaded.dynamic_shapes)
