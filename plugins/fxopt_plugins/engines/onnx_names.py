"""Names in an ONNX model: the interface's at its border, the Program's nodes' inside."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fxopt.errors import EngineError

if TYPE_CHECKING:
    import onnx_ir

    from fxopt.ir.program import Program

_NOTE = "pkg.torch.onnx.fx_node"


def name_border(model: onnx_ir.Model, program: Program) -> None:
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
            node = ir.node("Identity", [value], metadata_props={_NOTE: f"%{program.outputs[position].name}"})
            graph.append(node)
            graph.outputs[position] = node.outputs[0]
            node.outputs[0].shape, node.outputs[0].dtype = value.shape, value.dtype
        border.append((graph.outputs[position], name))
    clashes = {name for _, name in border}
    for value in (*_values(model), *graph.initializers.values()):
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


def name_nodes(model: onnx_ir.Model, program: Program, origins: Mapping[str, str] | None) -> None:
    """Name each node after the Program's nodes that it stems from (`conv+batch_norm`, `gelu/1`), and drop all notes.

    The notes hold paths and source lines of the machine on which the model was captured.

    Args:
        model: as torch.onnx made it.
        program: what it was made from.
        origins: the Program's name of a node for its name in the graph that was translated, where it is another.
            None: that graph's names are not the Program's; then nodes are named after their operators.
    """
    stems = [_stem(node, origins) for node in model.graph.all_nodes()]
    merged = _merged(program, {stem for stem in stems if stem in program})
    counts: dict[str, int] = {}
    for node, stem in zip(model.graph.all_nodes(), stems, strict=True):
        base = "+".join([*merged.get(stem, ()), stem])
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


def _stem(node: onnx_ir.Node, origins: Mapping[str, str] | None) -> str:
    """The Program's node that an ONNX node stems from, else its operator, which begins with a capital."""
    match = re.match(r"%(\w+)", node.metadata_props.get(_NOTE, ""))
    return origins.get(match[1], match[1]) if match and origins is not None else node.op_type


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
        producer = getattr(node.args[0], "name", "") if node.target is operator.getitem else ""
        if producer in present:  # an item goes with what made it
            owners[node.name] = producer
        if node.name not in present and node.name in owners:
            merged.setdefault(owners[node.name], []).append(node.name)
    return merged
