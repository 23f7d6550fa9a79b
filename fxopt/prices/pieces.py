"""Pieces: parts of a Program that an engine runs as one kernel, named so that equal ones have one name in all models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch.fx import Node

from fxopt.contracts.price import Piece
from fxopt.ir.program import Program
from fxopt.ir.quantized import is_dequantize, is_of_four_bits, is_quantize
from fxopt.ir.text import format_argument, target_name
from fxopt.ir.work import has_mask, held_bytes, is_view, measured_sizes, node_flops, node_functions
from fxopt.prices.memory import footprint


def cut_calls(program: Program) -> list[Node]:
    """The calls that a Program is cut into pieces at: those that depend on an input, but for dequantizes.

    What depends on constants alone is computed before; a dequantize says how the integers are to be read that its users
    take. Both belong to every piece that uses them.
    """
    found: list[Node] = program.memo("cut_calls", _cut_calls)
    return found


def _cut_calls(program: Program) -> list[Node]:
    varying: set[Node] = set()
    for node in program.nodes:
        if node.op == "placeholder" or any(used in varying for used in node.all_input_nodes):
            varying.add(node)
    return [node for node in program.calls if node in varying and not is_dequantize(node)]


def sources(program: Program, node: Node) -> list[Node]:
    """The calls and placeholders that a call's values come from, past dequantizes; constants are none."""
    found: dict[Node, list[Node]] = program.memo("cut_sources", _sources)
    return found[node]


def _sources(program: Program) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    varying = set(cut_calls(program)) | {node for node in program.nodes if node.op == "placeholder"}
    for node in program.calls:
        entries = [[used] if used in varying else found.get(used, []) for used in node.all_input_nodes]
        found[node] = list(dict.fromkeys(used for entry in entries for used in entry))
    return found


def makers(program: Program, node: Node) -> list[Node]:
    """As `sources`, past calls for which nothing runs."""
    found: dict[Node, list[Node]] = program.memo("cut_makers", _makers)
    return found[node]


def _makers(program: Program) -> dict[Node, list[Node]]:
    found: dict[Node, list[Node]] = {}
    for node in cut_calls(program):
        past = [found[used][:1] if is_silent(used) else [used] for used in sources(program, node)]
        found[node] = list(dict.fromkeys(used for entry in past for used in entry))
    return found


def is_silent(node: Node) -> bool:
    """Whether nothing runs for a call: it says in which shape a value is read, or copies it for nobody."""
    name = str(getattr(node.target, "overloadpacket", ""))
    return name in _SILENT or (name == "aten.clone" and node.kwargs.get("memory_format") is None)


_SILENT = {
    f"aten.{name}"
    for name in ("view", "_unsafe_view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "detach", "alias")
} | {"aten.dropout", "aten.contiguous"}


def piece(program: Program, names: Collection[str]) -> Piece:
    """The piece that some of `cut_calls` make; in what shape its inputs are read is said by their types."""
    members = [node for node in cut_calls(program) if node.name in names]
    order = _from_what_runs(program, members) or members
    inside = set(order)
    around = _Surroundings(program, inside)
    lines = [around.line(node) for node in _with_what_they_read(order, inside)]
    leaving = [node for node in order if any(_leaves(user, inside) for user in node.users)]
    lines.append("-> " + ", ".join(f"{around.names[node]} : {_type(program, node)}" for node in leaving))
    running = [node for node in order if not is_silent(node)] or order
    main = max(running, key=lambda node: node_flops(program, node))
    bare = "\n".join(lines)
    entering = [f"{around.names[node]} of {_maker(node)}" for node in around.read]
    features = {
        "main": kind(program, main),
        "sort": sort(main),
        "dtype": computed_on(main),
        "flops": sum(node_flops(program, node) for node in running),
        "functions": sum(node_functions(program, node) for node in running),
        "read": sum(held_bytes(program, node) for node in around.read),
        "weights": sum(held_bytes(program, node) for node in around.constants),
        "written": sum(held_bytes(program, node) for node in leaving),
        "calls": sum(not is_view(node) for node in running),
        "channels": _channels(program, main),
        "after": _sort_before(program, around.read),
        "footprint": program.memo("footprint", footprint),
        "bare": bare,
    }
    return Piece("\n".join([*entering, bare]), features, tuple(node.name for node in members))


def _from_what_runs(program: Program, members: Sequence[Node]) -> list[Node]:
    """Calls without those for which nothing runs before the first that does."""
    found: dict[Node, None] = {}
    for node in members:
        if not is_silent(node) or any(used in found for used in sources(program, node)):
            found[node] = None
    return list(found)


def _channels(program: Program, node: Node) -> list[int]:
    """Those that a linear call reads and writes, of one group, or that a depthwise convolution has; of others none."""
    sizes = [_sizes(program, used) for used in node.all_input_nodes[:2]]
    if sort(node) == "convolution" and len(sizes) == 2:
        groups = int(node.args[6]) if len(node.args) > 6 else 1  # type: ignore[arg-type]
        outside, inside = sizes[1][:2]
        return [outside] if inside == 1 and groups > 1 else [inside, outside // groups]
    if sort(node) == "product":
        return [size[-1] for size in (sizes[0], _sizes(program, node)) if size]
    return []


def _sizes(program: Program, node: Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return measured_sizes(program, value.shape) if isinstance(value, torch.Tensor) else ()


def _sort_before(program: Program, read: Sequence[Node]) -> str:
    """The sort of call that the largest value that is read comes from, past views."""
    if not read:
        return "nothing"
    node = _origin(max(read, key=lambda node: held_bytes(program, node)))
    return sort(node) if node.op == "call_function" else "input"


class _Surroundings:
    """What a piece reads, in the order in which it does, and what is called what in it."""

    def __init__(self, program: Program, inside: Collection[Node]) -> None:
        self._program, self._inside = program, inside
        self.names: dict[Node, str] = {}
        self.read: list[Node] = []
        self.constants: list[Node] = []

    def line(self, node: Node) -> str:
        """A call, after what it reads has been named."""
        arguments = [self._argument(value) for value in _arguments(node)]
        arguments += [f"{name}={self._argument(value)}" for name, value in sorted(node.kwargs.items())]
        text = f"{target_name(node.target)}({', '.join(arguments)})"
        self.names[node] = f"%{sum(name[0] == '%' for name in self.names.values())}"
        return f"{self.names[node]} = {text}"

    def _argument(self, value: Any) -> str:
        if isinstance(value, Node):
            if value in self.names:
                return self.names[value]
            constant = value.op == "get_attr" or not _varies(self._program, value)
            known = self.constants if constant else self.read
            known.append(value)
            self.names[value] = f"{'w' if constant else 'x'}{len(known)}"
            return f"{self.names[value]} : {_type(self._program, value)}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(self._argument(item) for item in value)}]"
        # Scales, bounds and the like change nothing about how long a kernel takes.
        return "_" if isinstance(value, float) else format_argument(value)


def _arguments(node: Node) -> tuple[Any, ...]:
    """Arguments of a call. Which number stands for 0 in integers changes nothing about a kernel, but whether it is 0 may."""
    if not (is_quantize(node) or is_dequantize(node)):
        return node.args
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    return tuple(
        bool(value) if name == "zero_point" and isinstance(value, int) else value
        for name, value in zip(names, node.args, strict=False)
    )


def _with_what_they_read(order: Iterable[Node], inside: Collection[Node]) -> list[Node]:
    """Calls of a piece with the dequantizes before them."""
    found: dict[Node, None] = {}
    for node in order:
        for used in node.all_input_nodes:
            if is_dequantize(used):
                found[used] = None
        found[node] = None
    return list(found)


def _leaves(user: Node, inside: Collection[Node]) -> bool:
    """Whether a user of a value lies outside of a piece, past dequantizes."""
    if is_dequantize(user):
        return any(_leaves(other, inside) for other in user.users)
    return user not in inside


def _varies(program: Program, node: Node) -> bool:
    calls: set[Node] = program.memo("cut_set", lambda program: set(cut_calls(program)))
    return node.op == "placeholder" or is_dequantize(node) or node in calls


def _maker(node: Node) -> str:
    """The operator that a value comes from, past views."""
    node = _origin(node)
    return target_name(node.target) if node.op == "call_function" else "input"


def _origin(node: Node) -> Node:
    while node.op == "call_function" and (is_view(node) or is_silent(node)) and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node


def kind(program: Program, node: Node) -> str:
    """What a call is among those of its operator: convolutions of one channel a group are another matter, and so on."""
    name = str(getattr(node.target, "overloadpacket", getattr(node.target, "__name__", node.target)))
    if sort(node) == "attention":
        return f"{name} masked" if has_mask(node) else name
    weight = node.args[1].meta.get("val") if len(node.args) > 1 and isinstance(node.args[1], Node) else None
    if not name.startswith("aten.conv") or not isinstance(weight, torch.Tensor):
        return name
    kernel = tuple(int(size) for size in weight.shape[2:])
    groups = int(node.args[6]) if len(node.args) > 6 else 1  # type: ignore[arg-type]
    form = "dense" if groups == 1 else "depthwise" if int(weight.shape[1]) == 1 else "grouped"
    return f"{name} {form} {'x'.join(map(str, kernel))}"


def sort(node: Node) -> str:
    """What sort of call one is, in a word: what engines do with one of a sort they mostly do with others of it."""
    name = str(getattr(node.target, "overloadpacket", getattr(node.target, "__name__", node.target)))
    if is_quantize(node):
        return "quantize"
    if is_view(node):
        return "view"
    if name.startswith("aten.conv"):
        return "convolution"
    found = next((sort for sort, names in _SORTS.items() if name.removeprefix("aten.") in names), None)
    if found is not None:
        return found
    value, inputs = node.meta.get("val"), [used for used in node.all_input_nodes if used.op != "get_attr"]
    like = [used for used in inputs if _same_shape(used.meta.get("val"), value)]
    return "other" if not like else "unary" if len(inputs) == 1 else "binary"


_SORTS = {
    "product": {"linear", "matmul", "mm", "bmm", "addmm", "baddbmm"},
    "attention": {"scaled_dot_product_attention"},
    "normalization": {"batch_norm", "layer_norm", "group_norm", "native_layer_norm", "rms_norm"},
    "softmax": {"softmax", "log_softmax", "_softmax"},
    "reduction": {"mean", "sum", "amax", "adaptive_avg_pool2d", "max", "argmax"},
    "pooling": {"max_pool2d", "avg_pool2d", "max_pool2d_with_indices"},
    "move": {"cat", "clone", "pad", "constant_pad_nd", "roll", "stack", "index_select", "embedding", "unbind"},
}


def _same_shape(left: Any, right: Any) -> bool:
    tensors = isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor)
    return tensors and tuple(left.shape) == tuple(right.shape)


def computed_on(node: Node) -> str:
    """What a call computes on: integers where a dequantize stands before each of its operands, of which a bias is none.

    Where it stands before some it computes on floats, after conversions that make it another matter than on floats alone; so it
    does where some integers are of 4 bits.
    """
    operands = _operands(node)
    if not operands:
        return "none"
    from_integers = [is_dequantize(used) for used in operands]
    if not any(from_integers) or (all(from_integers) and not any(_held(used) == "int4" for used in operands)):
        return _held(operands[0])
    return " by ".join(
        f"{'float of ' if lower else ''}{_held(used)}" for lower, used in zip(from_integers, operands, strict=True)
    )


def _operands(node: Node) -> list[Node]:
    """What a call reads in floats, or would if it were not quantized; of linear calls without the bias."""
    most = 2 if sort(node) in ("convolution", "product") else None
    found = [used for used in node.all_input_nodes[:most] if isinstance(used.meta.get("val"), torch.Tensor)]
    floats = [used for used in found if used.meta["val"].is_floating_point()]
    return floats or found[:1]


def _held(used: Node) -> str:
    """The dtype of a value as it lies in memory."""
    source = used.all_input_nodes[0] if is_dequantize(used) else used
    return "int4" if is_of_four_bits(source) else str(source.meta["val"].dtype).removeprefix("torch.")


def _type(program: Program, node: Node) -> str:
    value = node.meta.get("val")
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(measured_sizes(program, value.shape))}"
    if isinstance(value, (list, tuple)):
        return f"tuple of {len(value)}"
    return type(value).__name__
