"""`Program`: the one IR. An immutable FX graph of ATen calls, its tensors, and its outer form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.fx import Graph, GraphModule, Node
from torch.utils.weak import WeakIdKeyDictionary

from fxopt.errors import InputError
from fxopt.ir.evaluate import run_graph
from fxopt.ir.graphs import copy_graph
from fxopt.ir.interface import Interface
from fxopt.ir.quantized import is_of_four_bits
from fxopt.ir.shapes import ShapeEnvironment

if TYPE_CHECKING:
    from fxopt.ir.edit import Edit

Attribute = torch.Tensor | GraphModule

_tensor_digests: WeakIdKeyDictionary = WeakIdKeyDictionary()


class Program:
    """An immutable graph-level program. Nothing ever mutates one: `edit()` leads to a new Program.

    The graph holds placeholders (one a flat input), get_attr nodes (one an attribute, with the attribute's name),
    call_function nodes, and an output that returns the flat outputs. Every node has its fake value in `meta["val"]`.
    A get_attr may hold a nested graph, the operand of `torch.cond`.

    Attributes:
        interface: inputs, outputs, dynamic dimensions, and how calls and results nest.
        shapes: the environment in which the nodes' fake values live.
    """

    def __init__(
        self, graph: Graph, attributes: Mapping[str, Attribute], interface: Interface, shapes: ShapeEnvironment
    ) -> None:
        self._graph = graph
        self._attributes = dict(attributes)
        self.interface = interface
        self.shapes = shapes
        self._by_name: dict[str, Node] = {node.name: node for node in graph.nodes}
        self._memo: dict[Any, Any] = {}  # analyses of this Program; dies with it

    @classmethod
    def build(cls, graph: Graph, attributes: Mapping[str, Attribute], interface: Interface) -> Program:
        """A Program from a bare graph; fake values are computed here for all nodes.

        Raises:
            InputError: a call does not fit its arguments; the message names the node.
        """
        shapes, sizes = ShapeEnvironment.of_dims(interface.dims)
        attributes = {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in attributes.items()}
        placeholders = iter(interface.inputs)
        for node in graph.nodes:
            if node.op == "placeholder":
                node.meta["val"] = shapes.placeholder(next(placeholders), sizes)
            elif node.op == "get_attr":
                node.meta["val"] = shapes.constant(attributes[str(node.target)])
            elif node.op == "call_function":
                try:
                    node.meta["val"] = shapes.infer(node)
                except Exception as error:
                    raise InputError(f"node {node.name}: {_first_line(error)}") from error
        return cls(graph, attributes, interface, shapes)

    # -- reading ---------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> Iterator[Node]:
        """All nodes in execution order. They are for reading only."""
        return iter(self._graph.nodes)

    @property
    def calls(self) -> Iterator[Node]:
        """The call_function nodes in execution order."""
        return (node for node in self._graph.nodes if node.op == "call_function")

    @property
    def graph(self) -> Graph:
        """The FX graph, for reading only."""
        return self._graph

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """Tensors and nested graphs by name."""
        return MappingProxyType(self._attributes)

    @property
    def output_node(self) -> Node:
        """The output node; its one argument is the list of flat outputs."""
        output: Node = next(reversed(self._graph.nodes))
        return output

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The nodes whose values are the flat outputs."""
        return tuple(cast("list[Node]", self.output_node.args[0]))

    def __str__(self) -> str:
        """The `.fx` form without digests of tensors."""
        from fxopt.ir.text import to_text

        return to_text(self, digests=False)

    def __len__(self) -> int:
        return len(self._graph.nodes)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def node(self, name: str) -> Node:
        """The node of that name.

        Raises:
            KeyError: there is none.
        """
        return self._by_name[name]

    def tensor(self, node: object) -> torch.Tensor | None:
        """The tensor that a get_attr node holds; None for anything else (activations, nested graphs, None)."""
        if isinstance(node, Node) and node.op == "get_attr":
            value = self._attributes[str(node.target)]
            return value if isinstance(value, torch.Tensor) else None
        return None

    def memo(self, analysis: Any, compute: Any) -> Any:
        """The result of an analysis, computed once a Program: `compute(program)` under the key `analysis`."""
        if analysis not in self._memo:
            self._memo[analysis] = compute(self)
        return self._memo[analysis]

    @property
    def weight_bytes(self) -> int:
        """Bytes of all tensors, as in `attribute_bytes`."""
        return sum(self.attribute_bytes.values())

    @property
    def attribute_bytes(self) -> dict[str, int]:
        """Bytes of each tensor by its name; two integers a byte where they need no more than 4 bits."""
        halved = {str(node.target) for node in self._graph.nodes if node.op == "get_attr" and is_of_four_bits(node)}
        return {
            name: -(-value.numel() // 2) if name in halved else value.numel() * value.element_size()
            for name, value in self._attributes.items()
            if isinstance(value, torch.Tensor)
        }

    # -- identity --------------------------------------------------------------------------------------------

    @property
    def structure_digest(self) -> str:
        """Digest of everything but the tensors' values."""
        from fxopt.ir.text import to_text

        return str(self.memo("structure", lambda p: _sha(to_text(p, digests=False).encode())))

    @property
    def digest(self) -> str:
        """Digest of structure and tensors."""
        from fxopt.ir.text import to_text

        return str(self.memo("digest", lambda p: _sha(to_text(p).encode())))

    # -- running ---------------------------------------------------------------------------------------------

    def run(self, inputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The flat outputs for flat inputs, by PyTorch's eager kernels."""
        with torch.no_grad():
            return run_graph(self._graph, self._attributes, inputs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it like the model it was captured from.

        Raises:
            InputError: the arguments do not fit.
        """
        flat = self.interface.flatten(args, kwargs)
        self.interface.check([tuple(t.shape) for t in flat], [str(t.dtype).removeprefix("torch.") for t in flat])
        return self.interface.unflatten(self.run(flat))

    def module(self) -> GraphModule:
        """A module from flat inputs to the tuple of flat outputs, for exporters; it shares the tensors."""
        graph = copy_graph(self._graph)
        output = next(reversed(graph.nodes))
        output.args = (tuple(output.args[0]),)
        return GraphModule(dict(self._attributes), graph)

    def exported(self) -> torch.export.ExportedProgram:
        """The program exported anew, with its dynamic dimensions, from flat inputs to the tuple of flat outputs."""
        from fxopt.ir.samples import sample_inputs

        dims = {dim.name: torch.export.Dim(dim.name, min=dim.min, max=dim.max) for dim in self.interface.dims}
        sizes = {dim.name: max(dim.measured, 2) for dim in self.interface.dims}
        dynamic = [
            {axis: dims[size] for axis, size in enumerate(item.shape) if isinstance(size, str)}
            for item in self.interface.inputs
        ]
        inputs = tuple(sample_inputs(self, sizes=sizes))
        with torch.no_grad():
            return torch.export.export(self.module(), inputs, dynamic_shapes=tuple(dynamic), strict=False)

    # -- changing and storing --------------------------------------------------------------------------------

    def edit(self, fitted: Mapping[str, torch.Tensor] | None = None) -> Edit:
        """A transaction: `with program.edit() as edit: ...`; the outcome is `edit.program`. `fitted` as in `Edit`."""
        from fxopt.ir.edit import Edit

        return Edit(self, fitted)

    def text(self) -> str:
        """The readable `.fx` form; `Program.parse` reads it back."""
        from fxopt.ir.text import to_text

        return to_text(self)

    @staticmethod
    def parse(text: str, tensors: Mapping[str, torch.Tensor]) -> Program:
        """A Program from its text and its tensors by name.

        Raises:
            InputError: the text is malformed, or does not fit the tensors; the message names the line.
        """
        from fxopt.ir.text import from_text

        return from_text(text, tensors)

    def save(self, folder: Path) -> None:
        """Write `program.fx` and `tensors.safetensors` into an existing folder."""
        from safetensors.torch import save_file

        tensors = {
            k: t.detach().contiguous().clone() for k, t in self._attributes.items() if isinstance(t, torch.Tensor)
        }
        save_file(tensors, folder / "tensors.safetensors")
        (folder / "program.fx").write_text(self.text())

    @staticmethod
    def load(folder: Path) -> Program:
        """Read what `save` wrote. Runs no code from the folder."""
        from safetensors.torch import load_file

        return Program.parse((folder / "program.fx").read_text(), load_file(folder / "tensors.safetensors"))


def tensor_digest(tensor: torch.Tensor) -> str:
    """Digest of dtype, shape and bytes."""
    if tensor not in _tensor_digests:
        flat = (
            tensor.detach().contiguous().reshape(-1).view(torch.uint8)
            if tensor.numel()
            else torch.empty(0, dtype=torch.uint8)
        )
        head = json.dumps([str(tensor.dtype), list(tensor.shape)])
        _tensor_digests[tensor] = _sha(head.encode() + flat.numpy().tobytes())
    return str(_tensor_digests[tensor])


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
