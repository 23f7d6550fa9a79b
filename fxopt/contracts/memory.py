"""How an engine says that it uses memory, for predictions of peak memory."""

from __future__ import annotations

from dataclasses import dataclass

from fxopt.contracts.quantization import QuantScheme


@dataclass(frozen=True)
class MemoryUse:
    """How an engine uses memory where that is not as the Program says; predictions of peak memory know it.

    Operators are named like `"aten.relu"`, without overloads.

    Attributes:
        holds_inputs: whether inputs count; else they are the caller's alone.
        in_place: operators that write over a value of the same size which is read for the last time;
            `"aten.conv2d+aten.add"`: only where they run as one with that other.
        copies: operators that yield views in PyTorch, and copies here.
        attention_scores: how often the scores of an attention are in memory at once while it runs; 0: it is one kernel.
        masked_scores: how often they are where a mask is added to them.
        keeps: whether memory is kept for later values of the same shape and size, and is no other value's in between.
        flattens: operators that take all dimensions but the last as one, which is then the shape of what they write.
        scheme: which calls run on integers, by dequantizes before and a quantize after them; what else reads a dequantized
            value reads floats, each reader a copy of its own, and what else is quantized is written as floats before. None:
            a dequantize is a view of its integers, and what is quantized is never written as floats.
        blocks: operators whose kernels take and leave channels in a layout of their own: in blocks of floats, or integers
            with the channels last. What comes from others is copied for them, and what they leave for others.
        block: channels in a block of floats. A convolution whose groups of several channels end amid one is not in blocks.
        carries: operators that leave in that layout what they make of values which all lie in it.
        depth_first: how often the steps are put in the order that a search from the outputs back leaves them in, which goes
            first to the last one that a step needs; once more where calls run on integers. 0: in the order of the graph.
    """

    holds_inputs: bool = True
    in_place: frozenset[str] = frozenset()
    copies: frozenset[str] = frozenset()
    attention_scores: int = 0
    masked_scores: int = 0
    keeps: bool = False
    flattens: frozenset[str] = frozenset()
    scheme: QuantScheme | None = None
    blocks: frozenset[str] = frozenset()
    block: int = 1
    carries: frozenset[str] = frozenset()
    depth_first: int = 0
