"""The calls that PyTorch runs beside those that a model has: casts, copies, and attention for which it has no kernel.

The rows were measured under automatic mixed precision with channels last. What is added, each from PyTorch's sources:

- A layer casts what it reads in float32 to float16; normalizations cast to float32 (`aten/src/ATen/autocast_mode.h`). Compiled,
  casts are part of the kernel before.
- Convolutions copy what does not lie with channels last, linear layers and batched products what does not lie in rows, and call
  by call normalizations and softmax as well.
- `scaled_dot_product_attention` has kernels for values of four dimensions. With more it is products and a softmax
  (`transformers/attention.cpp`): in float16 until PyTorch 2.4, later in float32, where products round to TF32.
- Bilinear resizing of what does not lie with channels last is done by a thread for each position of an output, which walks through
  images and channels one after another (`cuda/UpSampleBilinear2d.cu`, `upsample_bilinear2d_out_frame`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.gpu.layout import Laid, Lie, channels_last, dense, in_batches
from fxopt_plugins.targets.gpu_kernels import TENSOR, Call

_AS_IT_COMES = ("getitem", "clone", "alias")  # calls for which nothing runs, though memory differs on meta tensors
Read = tuple[int, float]  # number of the call that is read, and bytes


def as_run(calls: Sequence[Call], laid: Sequence[Laid], apart: bool) -> list[Call]:
    """Calls with those that run beside them.

    Args:
        calls: of a model, with bytes by `mixed`.
        laid: where their values lie.
        apart: whether each call is a kernel, as opposed to compiled.
    """
    run = _Run(apart)
    for call, where in zip(calls, laid, strict=True):
        run.add(call, where)
    return run.calls


@dataclass
class _Run:
    apart: bool
    calls: list[Call] = field(default_factory=list)
    number: list[int] = field(default_factory=list)  # in `calls`, of each call of the model
    heads: list[bool] = field(default_factory=list)  # whether it is attention's output, or a view of it

    def add(self, call: Call, where: Laid) -> None:
        before = next((self.heads[source] for source, _ in call.reads if source >= 0), False)
        kind = _kind(call, where, before)
        whole = kind == "attention" and len(where.inputs[0][0]) <= 4
        self.heads.append(whole or (kind == "view" and before))
        reads = [(self.number[source] if source >= 0 else source, size) for source, size in call.reads]
        if kind == "attention" and not whole:
            self._attention(call, where, reads)
        else:
            if _is_layer(kind) or kind in ("normalization", "softmax"):
                lies = where.inputs
                reads = [self._read(kind, read, lie, before) for read, lie in zip(reads, lies, strict=True)]
            if self.apart and "upsample_bilinear" in where.name and not channels_last(where.inputs[0]):
                call, kind = replace(call, flops=float(math.prod(where.inputs[0][0][:2]))), "serial"
            self._run(replace(call, kind=kind, reads=tuple(reads), dtype="float16"))
        self.number.append(len(self.calls) - 1)

    def _run(self, call: Call) -> int:
        self.calls.append(call)
        return len(self.calls) - 1

    def _read(self, kind: str, read: Read, lie: Lie, heads: bool) -> Read:
        """What a call reads after it was cast and copied as it has to be."""
        source, size = read
        count, shape = math.prod(lie[0]), lie[0]
        if source < 0 or not shape:
            return read
        wide = size == 4 * count
        if self.apart and _is_layer(kind) and wide:
            source, size = self._run(Call("pointwise", count, shape, 2.0 * count, ((source, size),))), 2.0 * count
        if self.apart and kind == "normalization" and size == 2 * count:
            source, size = self._run(Call("pointwise", count, shape, 4.0 * count, ((source, size),))), 4.0 * count
        if not heads and not self._fits(kind)(lie):
            source = self._run(Call("move", count, shape, size, ((source, size),)))
        return source, size

    def _fits(self, kind: str) -> Callable[[Lie], bool]:
        if kind in ("linear", "matmul"):
            return dense if kind == "linear" else in_batches
        if kind in ("normalization", "softmax"):
            return dense if self.apart else _any
        return _any if kind == "attention" else channels_last

    def _attention(self, call: Call, where: Laid, reads: Sequence[Read]) -> None:
        """Attention by products: of queries and keys that are scaled first, of the softmax with values."""
        item, dtype = (2.0, "float16") if self.apart else (4.0, "tf32")
        rows, columns, terms, groups = call.size
        prepared: list[Read] = []
        for (source, size), (shape, _) in zip(reads[:3], where.inputs[:3], strict=True):
            count = math.prod(shape)
            kind = "pointwise" if len(prepared) < 2 else "move"
            prepared.append((self._run(Call(kind, count, shape, item * count, ((source, size),))), item * count))
        shape = (*where.inputs[0][0][:-1], columns)
        size, half = item * math.prod(shape), call.flops / 2
        product = Call("matmul", half, shape, size, tuple(prepared[:2]), call.size, dtype=dtype)
        scores = Call("softmax", 5 * size / item, shape, size, ((self._run(product), size), *reads[3:]))
        size_out = item * math.prod(call.shape)
        weighted = ((self._run(scores), size), prepared[2])
        last = Call("matmul", half, call.shape, size_out, weighted, (rows, terms, columns, groups), dtype=dtype)
        done = self._run(last)
        if not self.apart:
            self._run(Call("pointwise", 0.0, call.shape, size_out / 2, ((done, size_out),)))


def _kind(call: Call, where: Laid, heads: bool) -> str:
    """A call's kind, where it is known which views are copies."""
    if call.kind == "move" and "clone" in where.name:
        return "view" if heads or dense(where.inputs[0]) else "move"
    if (call.kind == "view" or "reshape" in where.name) and where.out[0]:
        free = heads or where.shares or any(part in where.name for part in _AS_IT_COMES)
        return "view" if free else "move"
    return call.kind


def _is_layer(kind: str) -> bool:
    return kind in TENSOR or kind.startswith("depthwise")


def _any(_lie: Lie) -> bool:
    return True
