"""From a Program to an ONNX model whose nodes bear the names of the Program's nodes."""

from __future__ import annotations

import operator
import re
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.contracts.engine import Unsupported
from fxopt.errors import EngineError
from fxopt.ir.quiet import quiet

if TYPE_CHECKING:
    import onnx_ir
    import torch

    from fxopt.ir.program import Program

MODEL, WEIGHTS = "model.onnx", "model.onnx.data"
_EXTERNAL_BYTES = 1_500_000_000  # protobuf's limit is 2 GiB
_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir", "torch.onnx._internal.exporter")
_CACHED = 4

_exports: dict[str, tempfile.TemporaryDirectory[str]] = {}


def export_onnx(program: Program, out: Path) -> Path:
    """Write `model.onnx` (and `model.onnx.data` for weights over 1.5 GB) into the folder `out`.

    Inputs and outputs bear the interface's names, dynamic axes the names of its dimensions. The file is a function of
    the Program alone, so the last few are kept: engines that share a process share the export.

    Raises:
        EngineError: torch.onnx cannot translate the Program.
    """
    folder = _exports.get(program.digest)
    if folder is None:
        folder = tempfile.TemporaryDirectory(prefix="fxopt-onnx-")
        _write(_translate(program), Path(folder.name), program.weight_bytes)
        if len(_exports) >= _CACHED:
            _exports.pop(next(iter(_exports))).cleanup()
        _exports[program.digest] = folder
    for file in Path(folder.name).iterdir():
        shutil.copyfile(file, out / file.name)
    return out / MODEL


def untranslatable(program: Program) -> list[Unsupported]:
    """Nodes for which torch.onnx has neither a translation nor a decomposition."""
    import torch
    from torch._C import DispatchKey
    from torch._ops import OpOverload

    decomposable = torch.export.default_decompositions()
    found = []
    for node, target in _calls(program.graph, program.attributes):
        if not isinstance(target, OpOverload) or _is_translatable(target) or target in decomposable:
            continue
        if target.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd):
            continue
        found.append(Unsupported(node, f"{target} has no translation to ONNX"))
    return found


def _translate(program: Program) -> onnx_ir.Model:
    import torch

    with quiet(*_LOGGERS), torch.no_grad():
        try:
            exported = _as_exported(program) if _needs_no_decomposition(program) else program.exported()
            result = torch.onnx.export(
                exported,
                dynamo=True,
                verbose=False,
                custom_translation_table={torch.ops.aten.batch_norm.default: _batch_norm},
            )
        except Exception as error:
            raise EngineError(f"torch.onnx: {_cause(error)}") from error
    assert result is not None
    model = result.model
    _name_border(model, program)
    _name_nodes(model, program)
    return model


def _cause(error: BaseException) -> str:
    """What a chain of exceptions of torch.onnx is about: the innermost message's first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0].strip()}" if lines else type(error).__name__


# -- translation without tracing anew ------------------------------------------------------------------------------


@lru_cache(1)
def _registry() -> Any:
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with quiet(*_LOGGERS):
        return ONNXRegistry.from_torchlib()


def _batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float, cudnn: bool
) -> Any:
    """The ONNX form of `aten.batch_norm`, which torchlib knows only in its decomposed form of three outputs."""
    from onnxscript import opset18 as op

    one = op.CastLike(op.Constant(value_float=1.0), mean)
    scale = op.Expand(one, op.Shape(mean)) if weight is None else weight
    shift = op.Expand(op.Sub(one, one), op.Shape(mean)) if bias is None else bias
    return op.BatchNormalization(x, scale, shift, mean, var, epsilon=eps)


def _is_translatable(target: Any) -> bool:
    """Whether torch.onnx translates this operator itself, without decomposing it."""
    import torch

    return target in (torch.ops.aten.batch_norm.default, operator.getitem) or bool(_registry().is_registered(target))


def _calls(graph: torch.fx.Graph, attributes: Any) -> list[tuple[str, Any]]:
    """Names and targets of all calls, those of nested graphs included (under the name of the node that holds them)."""
    import torch

    found: list[tuple[str, Any]] = []
    for node in graph.nodes:
        if node.op == "call_function":
            found.append((node.name, node.target))
        elif node.op == "get_attr":
            value = attributes[str(node.target)]
            if isinstance(value, torch.fx.GraphModule):
                inner = {str(n.target): getattr(value, str(n.target)) for n in value.graph.nodes if n.op == "get_attr"}
                found += [(node.name, target) for _, target in _calls(value.graph, inner)]
    return found


def _needs_no_decomposition(program: Program) -> bool:
    """Whether each operator has a translation of its own and no graph is nested: then it can be translated as it is."""
    flat = all(node.op != "get_attr" or program.tensor(node) is not None for node in program.nodes)
    return flat and all(_is_translatable(node.target) for node in program.calls)


def _as_exported(program: Program) -> torch.export.ExportedProgram:
    """The Program's own graph as an ExportedProgram, names and fake values kept: tracing takes seconds."""
    import torch
    from torch.export.exported_program import ModuleCallEntry, ModuleCallSignature
    from torch.export.graph_signature import (
        ExportGraphSignature,
        InputKind,
        InputSpec,
        OutputKind,
        OutputSpec,
        TensorArgument,
    )
    from torch.utils._pytree import tree_flatten

    class Final(torch.export.ExportedProgram):
        """One in which nothing is left to decompose."""

        def run_decompositions(self, *_: Any, **__: Any) -> torch.export.ExportedProgram:
            return self

    graph = torch.fx.Graph()
    new: dict[torch.fx.Node, torch.fx.Node] = {}
    inputs: list[InputSpec] = []
    ordered = sorted(program.nodes, key=lambda node: {"get_attr": 0, "placeholder": 1}.get(node.op, 2))
    for node in ordered:
        if node.op == "get_attr":
            new[node] = graph.create_node("placeholder", node.name, name=node.name)
            name = TensorArgument(new[node].name)
            inputs.append(InputSpec(InputKind.BUFFER, name, str(node.target), persistent=True))
        elif node.op == "placeholder":
            new[node] = graph.create_node("placeholder", node.name, name=node.name)
            inputs.append(InputSpec(InputKind.USER_INPUT, TensorArgument(new[node].name), None))
        elif node.op == "call_function":
            new[node] = graph.node_copy(node, new.__getitem__)
        else:
            graph.output(tuple(new[value] for value in program.outputs))
        if node.op != "output":
            new[node].meta = {"val": node.meta["val"]}
    outputs = [OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(new[node].name), None) for node in program.outputs]
    state = {str(node.target): tensor for node in program.nodes if (tensor := program.tensor(node)) is not None}
    example = tuple(node.meta["val"] for node in program.nodes if node.op == "placeholder")
    in_spec, out_spec = tree_flatten((example, {}))[1], tree_flatten(tuple(program.outputs))[1]
    shape_env = program.shapes.mode.shape_env
    assert shape_env is not None
    return Final(
        root=torch.nn.Module(),
        graph=graph,
        graph_signature=ExportGraphSignature(inputs, outputs),
        state_dict=state,
        range_constraints={symbol: shape_env.var_to_range[symbol] for symbol in program.shapes.names},
        module_call_graph=[ModuleCallEntry("", ModuleCallSignature([], [], in_spec, out_spec))],
        constants={},
    )


# -- names ---------------------------------------------------------------------------------------------------------


def _name_border(model: onnx_ir.Model, program: Program) -> None:
    """Give inputs, outputs and dynamic axes the interface's names."""
    import onnx_ir as ir

    wanted = [item.name for item in program.interface.inputs]
    taken = {value.name for value in _values(model)} | set(model.graph.initializers)
    graph = model.graph
    if len(graph.inputs) != len(wanted) or len(graph.outputs) != len(program.interface.outputs):
        raise EngineError("torch.onnx: the model's inputs or outputs are not those of the program")
    border = list(zip(graph.inputs, wanted, strict=True))
    for position, name in enumerate(program.interface.outputs):
        value = graph.outputs[position]
        repeated = any(value is other for other in graph.outputs[:position])
        if value.is_graph_input() or value.is_initializer() or repeated:  # engines want outputs that nodes produce
            node = ir.node("Identity", [value])
            graph.append(node)
            graph.outputs[position] = node.outputs[0]
            node.outputs[0].shape, node.outputs[0].dtype = value.shape, value.dtype
        border.append((graph.outputs[position], name))
    clashes = {name for _, name in border}
    for value in _values(model):
        if value.name in clashes and all(value is not one for one, _ in border):
            value.name = next(n for i in range(len(taken) + 1) if (n := f"{value.name}_{i}") not in taken)
            taken.add(value.name)
    for index, (value, _) in enumerate(border):
        value.name = f"fxopt_border_{index}"  # so that no name is taken while names are exchanged
    for value, name in border:
        value.name = name
    axes = {
        str(axis): size
        for value, item in zip(graph.inputs, program.interface.inputs, strict=True)
        for axis, size in zip(value.shape or (), item.shape, strict=True)
        if isinstance(size, str)
    }
    if axes:
        pattern = re.compile(r"\b(" + "|".join(map(re.escape, axes)) + r")\b")
        for value in _values(model):
            if value.shape is not None and not value.shape.frozen:
                value.shape = ir.Shape(
                    [d if isinstance(d, int) else pattern.sub(lambda m: axes[m[0]], str(d)) for d in value.shape]
                )


def _values(model: onnx_ir.Model) -> list[onnx_ir.Value]:
    """All values of the main graph and of nested graphs but initializers."""
    found = list(model.graph.inputs)
    for node in model.graph.all_nodes():
        found += node.outputs
    return found


def _name_nodes(model: onnx_ir.Model, program: Program) -> None:
    """Name each node after the Program's nodes that it stems from (`conv+batch_norm`, `gelu/1`), and drop all notes.

    The notes hold paths and source lines of the machine on which the model was captured.
    """
    notes = [node.metadata_props.get("pkg.torch.onnx.fx_node", "") for node in model.graph.all_nodes()]
    stems = [re.match(r"%(\w+)", note) for note in notes]
    merged = _merged(program, {match[1] for match in stems if match})
    counts: dict[str, int] = {}
    for node, match in zip(model.graph.all_nodes(), stems, strict=True):
        if match:
            base = "+".join([*merged.get(match[1], ()), match[1]])
        else:
            base = re.sub(r"\W", "_", (node.name or node.op_type).removeprefix("node_"))
        count = counts[base] = counts.get(base, -1) + 1
        node.name = f"{base}/{count}" if count else base
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
            value.doc_string = None
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()


def _merged(program: Program, present: set[str]) -> dict[str, list[str]]:
    """For nodes that have ONNX nodes, the nodes before them that have none: torch.onnx merged them into their user."""
    owners = {name: name for name in present}
    for node in reversed(list(program.calls)):
        if node.name not in owners:
            owner = next((owners[user.name] for user in node.users if user.name in owners), None)
            if owner is not None:
                owners[node.name] = owner
    merged: dict[str, list[str]] = {}
    for node in program.calls:
        if node.name not in present and node.name in owners:
            merged.setdefault(owners[node.name], []).append(node.name)
    return merged


def _write(model: onnx_ir.Model, folder: Path, weight_bytes: int) -> None:
    import onnx_ir as ir

    ir.save(model, folder / MODEL, external_data=WEIGHTS if weight_bytes > _EXTERNAL_BYTES else None)
