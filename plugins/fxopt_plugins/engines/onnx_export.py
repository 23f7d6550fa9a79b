"""From a Program to an ONNX model whose nodes bear the names of the Program's nodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet
from fxopt_plugins.engines.onnx_names import name_border, name_nodes
from fxopt_plugins.engines.onnx_quantized import has_integers, keep_floats, opset, store_integers
from fxopt_plugins.engines.onnx_registry import kept_registry
from fxopt_plugins.engines.onnx_translation import as_exported, is_flat, translations

if TYPE_CHECKING:
    import onnx_ir

    from fxopt.ir.program import Program

MODEL, WEIGHTS = "model.onnx", "model.onnx.data"
_EXTERNAL_BYTES = 1_500_000_000  # protobuf's limit is 2 GiB
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
_KEPT_BYTES = 500_000_000

# In memory, because the process may be killed at any time and would leave files behind.
_exports: dict[str, bytes] = {}


def export_onnx(program: Program, out: Path, onnxruntime: bool = False) -> Path:
    """Write `model.onnx` (and `model.onnx.data` for weights over 1.5 GB) into the folder `out`.

    Inputs and outputs bear the interface's names, dynamic axes the names of its dimensions. The file is a function of
    what it is asked for, so the last few are kept: engines that share a process share the export.

    Args:
        program: what to write.
        out: an existing folder.
        onnxruntime: whether integers are in the form that ONNX Runtime fuses, where it is another than OpenVINO's.

    Raises:
        EngineError: torch.onnx cannot translate the Program.
    """
    onnxruntime = onnxruntime and has_integers(program)
    key = f"{program.digest} onnxruntime" if onnxruntime else program.digest
    model = _exports.pop(key, None)
    if model is None:
        _write(_translate(program, onnxruntime), out, program.weight_bytes)
        if (out / WEIGHTS).exists():
            return out / MODEL
        model = (out / MODEL).read_bytes()
    else:
        (out / MODEL).write_bytes(model)
    _exports[key] = model  # the last one used is the last to go
    while sum(map(len, _exports.values())) > _KEPT_BYTES:
        del _exports[next(iter(_exports))]
    return out / MODEL


def _translate(program: Program, onnxruntime: bool) -> onnx_ir.Model:
    import torch

    table = translations(program, gemm=onnxruntime)
    origins: dict[str, str] | None = {} if is_flat(program) else None
    with quiet(*_LOGGERS), kept_registry(), torch.no_grad():
        try:
            exported = program.exported() if origins is None else as_exported(program, origins)
            result = torch.onnx.export(
                exported,
                dynamo=True,
                verbose=False,
                custom_translation_table=table,
                opset_version=opset(program),
                optimize=False,
            )
            assert result is not None
            _fold(result.model)
            result.optimize()
        except Exception as error:
            raise EngineError(f"torch.onnx: {_cause(error)}") from error
    store_integers(result.model)
    if onnxruntime:
        keep_floats(result.model)
    name_border(result.model, program)
    name_nodes(result.model, program, origins)
    return result.model


def _fold(model: onnx_ir.Model) -> None:
    """What the optimizer does too, but only after it has tried each of its rules on each constant."""
    from onnx_ir.passes import common
    from onnxscript.optimizer import fold_constants

    fold_constants(model)
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)


def _cause(error: BaseException) -> str:
    """What a chain of exceptions of torch.onnx is about: the innermost message's first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


def _write(model: onnx_ir.Model, folder: Path, weight_bytes: int) -> None:
    import onnx_ir as ir

    ir.save(model, folder / MODEL, external_data=WEIGHTS if weight_bytes > _EXTERNAL_BYTES else None)
