"""The `.fx` form: a Program as text, and the parser that reads it back without running anything.

    fxopt program 1
    dim N = 1..64 @ 1
    input x : float32[N, 3, 224, 224]
    tensor conv_weight : float32[32, 3, 3, 3] sha256=0123456789abcdef
    interface {...}
    conv2d : float32[N, 32, 112, 112] = aten.conv2d.default(x, conv_weight, None, [2, 2], [1, 1])
    return [conv2d]

A nested graph stands before its use, indented under `graph NAME`, and ends with its own `return`.
"""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from fxopt.errors import InputError
from fxopt.ir import quantized
from fxopt.ir.graphs import new_node
from fxopt.ir.interface import Dim, Input, Interface
from fxopt.ir.program import Program, tensor_digest
from fxopt.ir.shapes import ShapeEnvironment

_HEADER = "fxopt program 1"
_INDENT = "  "

# Calls that are not torch.ops: symbolic-integer arithmetic and tuple access.
_FUNCTIONS: dict[str, Any] = {
    f"operator.{name}": getattr(operator, name)
    for name in (
        "getitem",
        "add",
        "sub",
        "mul",
        "floordiv",
        "truediv",
        "mod",
        "neg",
        "pow",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and_",
        "or_",
        "not_",
    )
} | {
    f"torch.{name}": getattr(torch, name)
    for name in ("sym_int", "sym_float", "sym_max", "sym_min", "sym_not", "sym_ite", "sym_sum")
}
_FUNCTION_NAMES = {function: name for name, function in _FUNCTIONS.items()}


# -- printing ------------------------------------------------------------------------------------------------


def to_text(program: Program, digests: bool = True) -> str:
    """The `.fx` form; without `digests` it does not depend on the tensors' values."""
    face = program.interface
    lines = [_HEADER]
    lines += [f"dim {d.name} = {d.min}..{'inf' if d.max is None else d.max} @ {d.measured}" for d in face.dims]
    lines += [f"input {i.name} : {i.dtype}[{', '.join(map(str, i.shape))}]" for i in face.inputs]
    for name, value in sorted(program.attributes.items()):
        if isinstance(value, torch.Tensor):
            mark = f" sha256={tensor_digest(value)}" if digests else ""
            lines.append(f"tensor {name} : {program.shapes.type_text(value)}{mark}")
    rest = {key: value for key, value in face.to_json().items() if key not in ("inputs", "dims")}
    lines.append("interface " + json.dumps(rest))
    for name, value in sorted(program.attributes.items()):
        if isinstance(value, GraphModule):
            lines += _nested_lines(name, value, _INDENT)
    lines += _call_lines(program.graph, program.shapes, "")
    return "\n".join(lines) + "\n"


def _nested_lines(name: str, module: GraphModule, indent: str) -> list[str]:
    lines = [f"{indent[len(_INDENT) :]}graph {name}"]
    for node in module.graph.nodes:
        if node.op == "get_attr":
            lines += _nested_lines(str(node.target), getattr(module, str(node.target)), indent + _INDENT)
    lines += [f"{indent}input {node.name}" for node in module.graph.nodes if node.op == "placeholder"]
    return lines + _call_lines(module.graph, None, indent)


def _call_lines(graph: Graph, shapes: ShapeEnvironment | None, indent: str) -> list[str]:
    lines = []
    for node in graph.nodes:
        if node.op == "call_function":
            args = [format_argument(a) for a in node.args] + [
                f"{k}={format_argument(v)}" for k, v in node.kwargs.items()
            ]
            kind = f" : {shapes.type_text(node.meta['val'])}" if shapes else ""
            lines.append(f"{indent}{node.name}{kind} = {target_name(node.target)}({', '.join(args)})")
        elif node.op == "output":
            lines.append(f"{indent}return {format_argument(list(node.args[0]))}")
    return lines


def target_name(target: Any) -> str:
    """The name of a call's target, like `aten.conv2d.default` or `operator.getitem`.

    Raises:
        InputError: a target that no `.fx` file can hold.
    """
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    if isinstance(target, torch._ops.HigherOrderOperator):
        return f"higher_order.{target.__name__}"
    name = _FUNCTION_NAMES.get(target)
    if name is None:
        raise InputError(f"a call of {getattr(target, '__name__', target)!r} has no text form")
    return name


def format_argument(value: Any) -> str:
    """An argument as text that `_Arguments.read` reads back."""
    if isinstance(value, Node):
        return value.name
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(format_argument, value))
        if isinstance(value, tuple):
            return f"({inner},)" if len(value) == 1 else f"({inner})"
        return f"[{inner}]"
    if isinstance(value, torch.device):
        return f"device({str(value)!r})"
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    raise InputError(f"an argument of type {type(value).__name__} has no text form")


# -- parsing -------------------------------------------------------------------------------------------------


def from_text(text: str, tensors: Mapping[str, torch.Tensor]) -> Program:
    """The inverse of `to_text`.

    Raises:
        InputError: a malformed line, or tensors that do not fit; the message names the line.
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines or lines[0].strip() != _HEADER:
        raise InputError(f"not a program: the first line must be {_HEADER!r}")
    return _Reader(lines, tensors).program()


class _Reader:
    def __init__(self, lines: list[str], tensors: Mapping[str, torch.Tensor]) -> None:
        self.lines = lines
        self.at = 1
        self.tensors = tensors

    def fail(self, reason: str) -> InputError:
        return InputError(f"line {self.at + 1} of the program, {self.lines[self.at].strip()[:80]!r}: {reason}")

    def take(self, pattern: str) -> re.Match[str] | None:
        match = re.fullmatch(pattern, self.lines[self.at].strip()) if self.at < len(self.lines) else None
        self.at += match is not None
        return match

    def program(self) -> Program:
        dims, inputs, attributes = [], [], {}
        while match := self.take(r"dim (\w+) = (\d+)\.\.(\d+|inf) @ (\d+)"):
            dims.append(Dim(match[1], int(match[2]), None if match[3] == "inf" else int(match[3]), int(match[4])))
        while match := self.take(r"input (\w+) : (\w+)\[(.*)\]"):
            sizes = [size.strip() for size in match[3].split(",") if size.strip()]
            inputs.append(Input(match[1], tuple(int(s) if s.lstrip("-").isdigit() else s for s in sizes), match[2]))
        while match := self.take(r"tensor (\w+) : (\w+\[.*\])(?: sha256=(\w+))?"):
            attributes[match[1]] = self.tensor(match[1], match[2], match[3])
        match = self.take(r"interface (\{.*\})")
        if match is None:
            raise (
                self.fail("expected a dim, input, tensor or interface line")
                if self.at < len(self.lines)
                else InputError("the program ends early")
            )
        rest = json.loads(match[1])
        interface = Interface(
            tuple(inputs),
            tuple(rest["outputs"]),
            tuple(dims),
            tuple(rest["parameters"]),
            rest["arguments"],
            rest["results"],
        )
        graph, kinds = self.body([item.name for item in inputs], attributes)
        program = Program.build(graph, attributes, interface)
        for name, kind in kinds.items():
            found = program.shapes.type_text(program.node(name).meta["val"])
            if found != kind:
                raise InputError(f"node {name}: the text says {kind}, its operator gives {found}")
        return program

    def tensor(self, name: str, kind: str, digest: str | None) -> torch.Tensor:
        self.at -= 1  # for messages about this line
        value = self.tensors.get(name)
        if value is None:
            raise self.fail(f"tensor {name!r} is not among those given")
        found = f"{str(value.dtype).removeprefix('torch.')}[{', '.join(map(str, value.shape))}]"
        if found != kind:
            raise self.fail(f"tensor {name!r} is {found}")
        if digest is not None and tensor_digest(value) != digest:
            raise self.fail(f"tensor {name!r} holds other values than the text was written for")
        self.at += 1
        return value

    def body(self, inputs: list[str], attributes: dict[str, Any]) -> tuple[Graph, dict[str, str]]:
        while match := self.take(r"graph (\w+)"):
            attributes[match[1]] = self.nested()
        graph = Graph()
        nodes = {name: new_node(graph, "placeholder", name, name) for name in inputs}
        for name in attributes:
            nodes[name] = new_node(graph, "get_attr", name, name)
        kinds: dict[str, str] = {}
        read = _Arguments(nodes)
        while self.at < len(self.lines):
            try:
                if match := self.take(r"return (.*)"):
                    graph.output(read.value(match[1]))
                    return graph, kinds
                match = self.take(r"(\w+)(?: : ([^=]+?))? = ([\w.]+)\((.*)\)")
                if match is None:
                    raise self.fail("expected `name : type = operator(arguments)` or `return [...]`")
                args, kwargs = read.arguments(match[4])
                if match[1] in nodes:
                    raise ValueError(f"the name {match[1]!r} is taken")
                node = new_node(graph, "call_function", resolve(match[3]), match[1], args, kwargs)
            except (ValueError, SyntaxError) as error:
                self.at -= 1
                raise self.fail(str(error)) from error
            nodes[match[1]] = node
            if match[2]:
                kinds[match[1]] = match[2]
        raise InputError("the program ends without a return line")

    def nested(self) -> GraphModule:
        attributes: dict[str, Any] = {}
        inputs = []
        while match := self.take(r"graph (\w+)"):
            attributes[match[1]] = self.nested()
        while match := self.take(r"input (\w+)"):
            inputs.append(match[1])
        graph, _ = self.body(inputs, attributes)
        return GraphModule(attributes, graph)


def resolve(name: str) -> Any:
    """The call target of that name; only operators of torch.ops and a fixed list of functions.

    Raises:
        ValueError: there is no such operator.
    """
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    parts = name.split(".")
    if parts[0] == "higher_order" and parts[1:] == ["cond"]:
        return torch.ops.higher_order.cond
    if parts[0] == quantized.NAMESPACE:
        quantized.operators()
    if len(parts) == 3 and hasattr(torch.ops, parts[0]):
        packet = getattr(getattr(torch.ops, parts[0]), parts[1], None)
        overload = getattr(packet, parts[2], None) if isinstance(packet, torch._ops.OpOverloadPacket) else None
        if isinstance(overload, torch._ops.OpOverload):
            return overload
    raise ValueError(f"there is no operator {name!r}")


class _Arguments:
    """Reads arguments by walking Python's syntax tree; nothing is evaluated but literals and names."""

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self.nodes = nodes

    def arguments(self, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        call = ast.parse(f"_({text})", mode="eval").body
        if not isinstance(call, ast.Call):
            raise ValueError("malformed arguments")
        return tuple(map(self.read, call.args)), {k.arg or "": self.read(k.value) for k in call.keywords}

    def value(self, text: str) -> Any:
        return self.read(ast.parse(text, mode="eval").body)

    def read(self, tree: ast.expr) -> Any:
        match tree:
            case ast.Constant(value):
                return value
            case ast.Name("inf" | "nan" as name) if name not in self.nodes:
                return float(name)
            case ast.Name(name) if name in self.nodes:
                return self.nodes[name]
            case ast.List(items):
                return [self.read(item) for item in items]
            case ast.Tuple(items):
                return tuple(self.read(item) for item in items)
            case ast.UnaryOp(ast.USub(), operand):
                return -self.read(operand)
            case ast.Attribute(ast.Name("torch"), attribute):
                value = getattr(torch, attribute, None)
                if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
                    return value
            case ast.Call(ast.Name("device"), [ast.Constant(str(name))]):
                return torch.device(name)
        raise ValueError(f"{ast.unparse(tree)!r} is neither a literal nor a node above this line")
