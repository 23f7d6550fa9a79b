"""What torch.onnx is given: a Program's graph as it stands, and translations that it lacks."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fxopt.contracts.engine import Unsupported
from fxopt.ir.quiet import quiet
from fxopt_plugins.engines.onnx_quantized import quantized_translations

if TYPE_CHECKING:
    import torch

    from fxopt.ir.program import Program


def translations(program: Program, gemm: bool = False) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations to add to torch.onnx's own, by ATen operator. They fit all nodes of this Program.

    Args:
        program: what is to be translated.
        gemm: whether linear layers on integers become a Gemm on two axes, instead of MatMul and Add.
    """
    import torch

    aten = torch.ops.aten
    table = {aten.batch_norm.default: _batch_norm, **quantized_translations(program, gemm)}
    pools = [node for node in program.calls if node.target == aten.adaptive_avg_pool2d.default]
    if pools and all(list(node.args[1]) == [1, 1] and node.meta["val"].ndim == 4 for node in pools):
        table[aten.adaptive_avg_pool2d.default] = _global_average
    return table


def untranslatable(program: Program) -> list[Unsupported]:
    """Nodes for which torch.onnx has neither a translation nor a decomposition."""
    import torch
    from torch._C import DispatchKey
    from torch._ops import OpOverload

    decomposable, table = torch.export.default_decompositions(), translations(program)
    found = []
    for node, target in _calls(program.graph, program.attributes):
        if not isinstance(target, OpOverload) or _is_translatable(target, table) or target in decomposable:
            continue
        if target.has_kernel_for_dispatch_key(DispatchKey.CompositeImplicitAutograd):
            continue
        found.append(Unsupported(node, f"{target} has no translation to ONNX"))
    return found


def is_flat(program: Program) -> bool:
    """Whether the graph holds no nested graph."""
    return all(node.op != "get_attr" or program.tensor(node) is not None for node in program.nodes)


@lru_cache(1)
def _registry() -> Any:
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with quiet("torch.onnx", "onnxscript"):
        return ONNXRegistry.from_torchlib()


def _is_translatable(target: Any, table: dict[Any, Any]) -> bool:
    """Whether torch.onnx translates this operator itself, without decomposing it."""
    return target in table or target is operator.getitem or bool(_registry().is_registered(target))


def _batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float, cudnn: bool
) -> Any:
    """`aten.batch_norm`, which torch.onnx knows only in its decomposed form of three outputs."""
    from onnxscript import opset18 as op

    one = op.CastLike(op.Constant(value_float=1.0), mean)
    scale = op.Expand(one, op.Shape(mean)) if weight is None else weight
    shift = op.Expand(op.Sub(one, one), op.Shape(mean)) if bias is None else bias
    return op.BatchNormalization(x, scale, shift, mean, var, epsilon=eps)


def _global_average(x: Any, output_size: Any) -> Any:
    """`aten.adaptive_avg_pool2d` to 1x1, which torch.onnx would decompose."""
    from onnxscript import opset18 as op

    return op.GlobalAveragePool(x)


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


def as_exported(program: Program, origins: dict[str, str]) -> torch.export.ExportedProgram:
    """The Program's own graph as an ExportedProgram, names and fake values kept: tracing anew takes seconds.

    Args:
        program: a Program without nested graphs.
        origins: receives, once the result is decomposed, the Program's node name for each node made from it.
    """
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

    table = translations(program)

    class AsItStands(torch.export.ExportedProgram):
        """Decomposes itself only where an operator asks for it."""

        def run_decompositions(self, *args: Any, **kwargs: Any) -> torch.export.ExportedProgram:
            if all(_is_translatable(node.target, table) for node in program.calls):
                return self
            decomposed = super().run_decompositions(*args, **kwargs)
            origins.update({node.name: _origin(node) for node in decomposed.graph.nodes})
            return decomposed

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
    return AsItStands(
        root=torch.nn.Module(),
        graph=graph,
        graph_signature=ExportGraphSignature(inputs, outputs),
        state_dict=state,
        range_constraints={symbol: shape_env.var_to_range[symbol] for symbol in program.shapes.names},
        module_call_graph=[ModuleCallEntry("", ModuleCallSignature([], [], in_spec, out_spec))],
        constants={},
    )


def _origin(node: torch.fx.Node) -> str:
    """The name of the node that a decomposed node was made from, first of all."""
    name, sources = node.name, node.meta.get("from_node")
    while sources:
        name, sources = sources[-1].name, sources[-1].from_node
    return name
