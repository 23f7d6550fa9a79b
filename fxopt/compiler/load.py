"""`fxopt.load`: one callable for an output folder or an artifact."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fxopt.compiler.output import roll_forward
from fxopt.compiler.stamp import Stamp
from fxopt.contracts.engine import Artifact, FlatCallable, in_sequence
from fxopt.errors import FxoptWarning, InputError
from fxopt.ir.interface import Interface
from fxopt.registry import Registry


class Loaded:
    """A model as its engine runs it.

    Call it as the model was called, or with inputs by name; torch tensors give tensors, numpy arrays give arrays.
    """

    def __init__(self, artifact: Artifact, interface: Interface, stages: Sequence[FlatCallable]) -> None:
        self.artifact, self.interface = artifact, interface
        names = [item.name for item in interface.inputs]
        self.run = in_sequence(artifact.stages, stages, names, interface.outputs)  # flat outputs for flat inputs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the model returns.

        Raises:
            InputError: the arguments do not fit the interface; the message names the input.
        """
        flat = self.interface.flatten(args, kwargs)
        tensors = any(hasattr(value, "detach") for value in flat)
        arrays = [value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value) for value in flat]
        self.interface.check([a.shape for a in arrays], [str(a.dtype) for a in arrays])
        outputs: list[Any] = self.run(arrays)
        if tensors:
            import torch

            outputs = [torch.from_numpy(output) for output in outputs]
        return self.interface.unflatten(outputs)


def load(out: str | Path, registry: Registry | None = None, recheck: bool = True) -> Loaded:
    """The optimized model in OUT, ready to call.

    Where the machine's instruction sets or the engine's version are not those with which it was checked, one `FxoptWarning`
    says so, and whether it gives here what it gave there on a few made-up inputs.

    Args:
        out: the output folder of `fxopt optimize`, or an artifact folder inside it.
        registry: where engines come from; all installed plugins by default.
        recheck: False to ask nothing about the machine, and warn of nothing.

    Raises:
        InputError: the folder holds no finished model, or a damaged one, or its engine is not installed here.
    """
    out = Path(out)
    roll_forward(out)
    folder = out if (out / Artifact.MANIFEST).exists() else out / "model"
    if not (folder / Artifact.MANIFEST).exists():
        unfinished = " (an unfinished run is there: go on with --resume)" if (out / "journal").exists() else ""
        raise InputError(f"{out}: there is no finished fxopt model{unfinished}")
    try:
        artifact = Artifact.read(folder)
        interface = artifact.interface()
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / Artifact.MANIFEST}: damaged ({error}); optimize the model again") from error
    registry = registry or Registry.load()
    calls = []
    for stage in artifact.stages:
        engine = registry.make_engine(engine_spec(stage.engine, artifact))
        missing = engine.available()
        if missing:
            raise InputError(f"{out}: {missing}")
        calls.append(engine.load(artifact, stage))
    loaded = Loaded(artifact, interface, calls)
    stamp = Stamp.read(folder) if recheck else None
    if stamp is not None and (differences := stamp.differences(registry)):
        found = stamp.recheck(loaded.run)
        remedy = (
            "" if found.ok else "; do not rely on it: `fxopt replay OUT/plan.json MODEL` rebuilds and checks it here"
        )
        text = f"{folder} was checked on {stamp.data['cpu']}; {', '.join(differences)}; {found.text}{remedy}"
        warnings.warn(text, FxoptWarning, stacklevel=2)
    return loaded


def engine_spec(name: str, artifact: Artifact) -> str:
    """The engine with the options that the artifact was emitted with."""
    spec = artifact.options.get("spec")
    return str(spec) if spec else name
