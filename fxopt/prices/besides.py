"""Programs that read more bytes in a call than they need, as if there were more of the network.

What is run again and again finds its weights in the caches, where in a whole network they have to make room for the rest.
"""

from __future__ import annotations

import torch

from fxopt.ir.graphs import copy_graph, new_node
from fxopt.ir.interface import Input
from fxopt.ir.program import Program
from fxopt.ir.shrink import flat_interface

_READ = "read_besides"
_MOST_BYTES = 1 << 26  # more than caches of CPUs hold


def reading(program: Program, count: int) -> Program:
    """A Program that reads so many bytes besides, before all else in a call; no more than caches may hold."""
    if (size := min(count, _MOST_BYTES) // 4) <= 0:
        return program
    graph, border = copy_graph(program.graph), program.interface
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    with graph.inserting_before(inputs[-1].next if inputs else next(iter(graph.nodes))):
        read = new_node(graph, "placeholder", _READ, _READ)
        most = new_node(graph, "call_function", torch.ops.aten.amax.default, f"{_READ}_most", (read, [0]))
    output = next(reversed(graph.nodes))
    output.args = ([*output.args[0], most],)
    values = (*border.inputs, Input(_READ, (size,), "float32"))
    return Program.build(graph, program.attributes, flat_interface(values, (*border.outputs, most.name)))
