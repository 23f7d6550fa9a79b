"""From a model, or an ExportedProgram, to a Program."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from operator import getitem as operator_getitem
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
from torch.fx import Graph, GraphModule, Node

from fxopt.errors import InputError
from fxopt.ir import tree as trees
from fxopt.ir.interface import Dim, Input, Interface
from fxopt.ir.program import Attribute, Program
from fxopt.ir.quiet import quiet

aten = torch.ops.aten
_BATCH_NORM = aten._native_batch_norm_legit_no_training.default
# A view asks for a memory layout, which rewrites far before it may change; a reshape has the same value in any layout.
_IN_ANY_LAYOUT: dict[Any, Any] = {
    aten.view.default: aten.reshape.default,
    aten._unsafe_view.default: aten.reshape.default,  # noqa: SLF001
}
_RESERVED = {"torch", "inf", "nan", "device", "aten", "operator"}


def export(
    model: torch.nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
) -> ExportedProgram:
    """`torch.export.export` in evaluation mode, with its failure as one line.

    Raises:
        InputError: the model cannot be captured; the message gives the reason and the user's source line.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), quiet("torch.export._trace", "torch._subclasses.fake_tensor"):
            return torch.export.export(
                model, tuple(args), dict(kwargs or {}), dynamic_shapes=dynamic_shapes, strict=False
            )
    except Exception as error:
        from fxopt.ir.export_error import explain_export_error

        raise InputError(
            f"torch.export cannot capture {type(model).__name__}: {explain_export_error(error)}"
        ) from error
    finally:
        for module in training:
            module.training = True


def capture(exported: ExportedProgram, measured: Mapping[str, int] | None = None, names: Sequence[str] = ()) -> Program:
    """A Program from what torch.export captured.

    Args:
        exported: as it comes from `torch.export.export` or `torch.export.load`.
        measured: the size to measure for dynamic dimensions, by name.
        names: names of the model's positional parameters; found in the capture's own record where left out.

    Raises:
        InputError: the model mutates a buffer or an input, draws random numbers, or holds what no Program can.
    """
    _refuse_mutation(exported)
    with quiet():
        functional = exported.run_decompositions({})
    _refuse_mutation(functional)
    lifted = _Lift(functional, measured or {}, names)
    return Program.build(lifted.graph, lifted.attributes, lifted.interface())


def _refuse_mutation(exported: ExportedProgram) -> None:
    for spec in exported.graph_signature.output_specs:
        if spec.kind in (OutputKind.BUFFER_MUTATION, OutputKind.USER_INPUT_MUTATION, OutputKind.PARAMETER_MUTATION):
            what = "input" if spec.kind == OutputKind.USER_INPUT_MUTATION else "buffer or parameter"
            raise InputError(
                f"the model mutates its {what} {spec.target!r}; fxopt rewrites pure functions only: "
                f"return the new value instead of writing it in place"
            )
        if spec.kind not in (OutputKind.USER_OUTPUT,):
            raise InputError(f"the model has an output of kind {spec.kind.name}, which fxopt does not know")
    specs = exported.graph_signature.input_specs
    targets = {spec.arg.name: spec.target or spec.arg.name for spec in specs}
    for node in exported.graph.nodes:
        if node.op == "call_function" and getattr(node.target, "_schema", None) is not None:
            for argument, value in zip(node.target._schema.arguments, node.args, strict=False):
                if argument.is_write and isinstance(value, Node) and value.op == "placeholder":
                    raise InputError(
                        f"the model mutates {targets[value.name]!r} in place ({node.target}); return the new value instead"
                    )


class _Lift:
    """Builds the Program's graph: parameters, buffers and constants become get_attr nodes at its top."""

    def __init__(self, exported: ExportedProgram, measured: Mapping[str, int], names: Sequence[str]) -> None:
        self.exported = exported
        self.measured = measured
        self.graph = Graph()
        self.attributes: dict[str, Attribute] = {}
        self.new: dict[Node, Node] = {}
        self.literal: dict[Node, Any] = {}
        self.parameters = tuple(names) or _positional_names(exported)
        self.flat_inputs: list[Node] = []
        self.copy_inputs()
        self.copy_tensors()
        self.copy_calls()

    def copy_inputs(self) -> None:
        """Placeholders for tensor inputs; literals are part of the call's form."""
        for node, spec in self.specs(InputKind.USER_INPUT):
            if isinstance(spec.arg, TensorArgument):
                self.new[node] = self.leaf("placeholder", node.name)
                self.flat_inputs.append(node)
            elif isinstance(spec.arg, ConstantArgument):
                self.literal[node] = spec.arg.value
            else:
                raise InputError(f"input {node.name!r} is neither a tensor nor a constant; fxopt takes tensors")

    def copy_tensors(self) -> None:
        by_identity: dict[tuple[Any, ...], Node] = {}
        for node, spec in self.specs(InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR):
            if not node.users:
                continue
            value = self.value(spec)
            identity = (value.data_ptr(), tuple(value.shape), value.stride(), value.dtype)
            if value.numel() and identity in by_identity:  # a tied weight is one attribute
                self.new[node] = by_identity[identity]
                continue
            short = re.sub(r"^(p|b|c|lifted_tensor)_+", "", node.name) if spec.target is None else spec.target
            by_identity[identity] = self.new[node] = self.attribute(str(short), value)

    def copy_calls(self) -> None:
        for node in self.exported.graph.nodes:
            if node.op == "get_attr":
                self.new[node] = self.attribute(node.name, self.nested(node))
            elif node.op == "call_function":
                self.copy_call(node)
            elif node.op == "output":
                self.copy_output(node)

    def copy_call(self, node: Node) -> None:
        schema = getattr(node.target, "_schema", None)
        if schema is not None and _draws_random_numbers(node):
            raise InputError(
                f"the model draws random numbers ({node.target} at {node.name!r}); fxopt compares outputs: fix the randomness first"
            )
        if not node.users and schema is not None and not schema.returns:
            return  # an assertion about sizes or metadata; the interface checks them at the border
        source = self.new.get(node.args[0]) if node.args and isinstance(node.args[0], Node) else None
        if node.target == operator_getitem and source is not None and source.target == aten.batch_norm.default:
            if node.args[1] == 0:
                self.new[node] = source
            elif node.users:
                raise InputError(
                    f"{node.name!r} uses the statistics of a batch norm, which evaluation mode does not return"
                )
            return
        args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), self.find)
        target, name = _IN_ANY_LAYOUT.get(node.target, node.target), node.name
        if schema is not None and "dtype" not in kwargs and _makes_tensor(node):
            kwargs = {**kwargs, "dtype": node.meta["val"].dtype}  # said, not left to torch's default dtype
        if target == _BATCH_NORM:
            # One value instead of a tuple: (x, weight, bias, mean, var, training, momentum, eps, cudnn)
            args, target, name = (*args[:5], False, *args[5:7], False), aten.batch_norm.default, "batch_norm"
        self.new[node] = self.graph.create_node("call_function", target, args, kwargs, self.name(name))
        if "stack_trace" in node.meta:
            self.new[node].meta["source"] = _last_user_line(node.meta["stack_trace"])

    def copy_output(self, node: Node) -> None:
        self.results: list[Any] = []
        flat: list[Node] = []
        for spec, value in zip(self.exported.graph_signature.output_specs, node.args[0], strict=True):  # type: ignore[arg-type]
            if isinstance(value, Node) and value in self.new and isinstance(spec.arg, TensorArgument):
                flat.append(self.new[value])
                self.results.append(_Leaf())
            elif isinstance(value, Node) and value not in self.literal:
                raise InputError(
                    f"output {value.name!r} is a size, not a tensor; return it as a tensor or leave it out"
                )
            else:
                self.results.append(self.literal[value] if isinstance(value, Node) else value)
        if not flat:
            raise InputError("the model returns no tensor")
        # Engines want every name once, and those of inputs and weights are taken.
        own = len({*flat}) == len(flat) and all(node.op == "call_function" for node in flat)
        self.output_names = tuple(node.name if own else f"output_{i}" for i, node in enumerate(flat))
        self.graph.output(flat)

    def find(self, node: Node) -> Any:
        return self.literal[node] if node in self.literal else self.new[node]

    def specs(self, *kinds: InputKind) -> list[tuple[Node, Any]]:
        placeholders = [node for node in self.exported.graph.nodes if node.op == "placeholder"]
        pairs = list(zip(placeholders, self.exported.graph_signature.input_specs, strict=True))
        for node, spec in pairs:
            if spec.kind in (InputKind.CUSTOM_OBJ, InputKind.TOKEN):
                raise InputError(f"the model holds {node.name!r}, a {spec.kind.name.lower()}; fxopt takes tensors only")
        return [(node, spec) for node, spec in pairs if spec.kind in kinds]

    def value(self, spec: Any) -> torch.Tensor:
        if spec.kind == InputKind.CONSTANT_TENSOR or (spec.kind == InputKind.BUFFER and not spec.persistent):
            value = self.exported.constants[spec.target]
        else:
            value = self.exported.state_dict[spec.target]
        if not isinstance(value, torch.Tensor) or value.device.type != "cpu":
            raise InputError(
                f"tensor {spec.target!r} lies on {getattr(value, 'device', 'no device')}; move the model to the CPU first"
            )
        return value.detach()

    def nested(self, node: Node) -> GraphModule:
        module = getattr(self.exported.graph_module, str(node.target))
        if not isinstance(module, GraphModule):
            raise InputError(f"attribute {node.target!r} is not a graph")
        return module

    def attribute(self, name: str, value: Attribute) -> Node:
        node = self.leaf("get_attr", name)
        self.attributes[node.name] = value
        calls = [n for n in self.graph.nodes if n.op == "call_function"][:1] if isinstance(value, GraphModule) else []
        if calls:  # leaves stand at the top
            calls[0].prepend(node)
        return node

    def leaf(self, kind: str, name: str) -> Node:
        """A placeholder or get_attr node whose target is its own (unique) name."""
        node = self.graph.create_node(kind, name, name=self.name(name))
        node.target = node.name
        return node

    def name(self, name: str) -> str:
        """`name` as an identifier that no word of the text form takes."""
        name = re.sub(r"\W", "_", name)
        name = f"n{name}" if name[:1].isdigit() else name
        return f"{name}_" if name in _RESERVED else name

    def interface(self) -> Interface:
        dims, inputs = _Dims(self.exported, self.measured), []
        for node in self.flat_inputs:
            value = node.meta["val"]
            shape = tuple(dims.name(size, node.name) for size in value.shape)
            inputs.append(Input(self.new[node].name, shape, str(value.dtype).removeprefix("torch.")))
        spec = self.exported.call_spec
        literals = [self.literal.get(node, _Leaf()) for node, _ in self.specs(InputKind.USER_INPUT)]
        arguments = trees.describe(torch.utils._pytree.tree_unflatten(literals, spec.in_spec), _is_leaf, [])
        results = trees.describe(torch.utils._pytree.tree_unflatten(self.results, spec.out_spec), _is_leaf, [])
        return Interface(
            tuple(inputs), self.output_names, tuple(dims.found.values()), self.parameters, arguments, results
        )


def _draws_random_numbers(node: Node) -> bool:
    if torch.Tag.nondeterministic_seeded not in node.target.tags:  # type: ignore[union-attr]
        return False
    if node.target == aten.scaled_dot_product_attention.default:
        return bool(node.kwargs.get("dropout_p", node.args[4] if len(node.args) > 4 else 0.0))
    if node.target == aten.dropout.default:
        return bool(node.args[2])
    return True


def _makes_tensor(node: Node) -> bool:
    """Whether a call makes a tensor from nothing but sizes and numbers."""
    options = {argument.name for argument in node.target._schema.arguments}  # type: ignore[union-attr]
    tensors = [a for a in node.all_input_nodes if isinstance(a.meta.get("val"), torch.Tensor)]
    return {"dtype", "layout", "device"} <= options and not tensors and isinstance(node.meta.get("val"), torch.Tensor)


class _Leaf:
    """Stands for a tensor while a tree is described."""


def _is_leaf(value: Any) -> bool:
    return isinstance(value, _Leaf)


class _Dims:
    """Names for the symbols in input shapes."""

    def __init__(self, exported: ExportedProgram, measured: Mapping[str, int]) -> None:
        self.ranges = exported.range_constraints
        self.measured = measured
        self.wanted = list(measured)
        self.found: dict[Any, Dim] = {}

    def name(self, size: Any, where: str) -> int | str:
        if not isinstance(size, torch.SymInt):
            return int(size)
        symbol = size.node.expr
        if symbol.is_Integer:
            return int(symbol)
        if not symbol.is_Symbol:
            raise InputError(
                f"input {where}: the size {symbol} depends on another dimension; give every dynamic dimension a name of its own"
            )
        if symbol not in self.found:
            bounds = self.ranges[symbol]
            high = None if not bounds.upper.is_finite or bounds.upper > 2**62 else int(bounds.upper)
            taken = {dim.name for dim in self.found.values()}
            name = next((n for n in self.wanted if n not in taken), None) or next(
                n for n in ("N", *(f"D{i}" for i in range(99))) if n not in taken
            )
            hint = int(size.node.hint) if size.node.hint is not None else max(int(bounds.lower), 1)
            low = 1 if bounds.lower <= 2 and int(bounds.lower) < 2 else int(bounds.lower)
            self.found[symbol] = Dim(name, low, high, self.measured.get(name, hint))
        return self.found[symbol].name


def _positional_names(exported: ExportedProgram) -> tuple[str, ...]:
    for entry in exported.module_call_graph:
        if entry.fqn == "" and entry.signature is not None and entry.signature.forward_arg_names:
            return tuple(entry.signature.forward_arg_names)
    count = exported.call_spec.in_spec.child(0).num_children if exported.call_spec.in_spec else 0
    return tuple(f"arg{i}" for i in range(count))


def positional_names(model: torch.nn.Module) -> tuple[str, ...]:
    """Names of the positional parameters of a module's forward."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(p.name for p in inspect.signature(model.forward).parameters.values() if p.kind in kinds)


def _last_user_line(trace: str) -> str:
    frames = re.findall(r'File "([^"]+)", line (\d+)', trace)
    outside = [frame for frame in frames if "/torch/" not in frame[0]]
    return ":".join((outside or frames or [("", "")])[-1])
