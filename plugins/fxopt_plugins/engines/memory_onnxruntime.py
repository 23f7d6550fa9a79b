"""How ONNX Runtime uses memory on the CPU: its plan of allocations, as the profile of what its arena is asked for shows it.

With these rules applied to the graph that it runs, the figures of its profile came out to the byte for the networks that this
was tried on; what is left open is what can be told from a Program, before that graph is there.
"""

from __future__ import annotations

from fxopt.contracts.memory import MemoryUse
from fxopt_plugins.cpuinfo import cpuinfo
from fxopt_plugins.engines.common import aten
from fxopt_plugins.engines.schemes import ONNX_RUNTIME


def _block() -> int:
    """Channels in a block of floats, which its library chooses by this CPU."""
    return 16 if "avx512f" in cpuinfo()["flags"].split() else 8


MEMORY = MemoryUse(
    holds_inputs=False,  # they are not in its arena; outputs are
    # A sum is written over what was there only by the convolution that takes it in.
    in_place=aten("relu", "clamp", "sigmoid", "tanh") | {"aten.conv2d+aten.add"},
    copies=aten("permute", "transpose", "slice", "select", "expand", "split", "split_with_sizes", "chunk", "unbind"),
    # The softmax is written over them; the sum with a mask is not.
    attention_scores=1,
    masked_scores=2,
    # Its plan lets a later value have the memory of the last one of its shape that is no longer read, and lets memory go
    # only after the last value that has it.
    keeps=True,
    flattens=aten("linear"),  # a Gemm has two dimensions
    # Q and DQ become part of kernels on integers alone. Of a DQ that several read it makes one for each.
    scheme=ONNX_RUNTIME,
    # Convolutions and pools: NCHWc in floats, NHWC on integers, with a reorder or a transpose where others meet them.
    blocks=aten("conv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    block=_block(),
    carries=aten("batch_norm", "relu", "clamp", "hardtanh", "sigmoid", "tanh", "add", "mul", "cat", "pad")
    | aten("split", "split_with_sizes"),
    # Nodes run in the order that a search from the outputs leaves them in, by their numbers; those of kernels with a layout of
    # their own are numbered anew in the order of an earlier such search, those on integers when they are made as well.
    depth_first=2,
)
