"""How FasterTransformer runs encoders, of which figures are published: library calls, launched one by one by the host.

From its sources (`NVIDIA/FasterTransformer`, `src/fastertransformer`): what follows a product is no part of its kernel; queries,
keys and values are products of their own with a kernel for their bias (`layers/attention_layers/FusedAttentionLayer.cu`); on
integers all products and attention read and write bytes (`layers/attention_layers_int8`). Calls are not recorded as a CUDA graph
(`examples/cpp/vit`). So on a fast device and at small batches it takes as long as the host needs for its launches, whatever the
precision: for BERT on integers its guide has an A100 take 1.55 ms with 32 tokens, and 1.75 with 384.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fxopt_plugins.targets.gpu_kernels import TENSOR, Kernel
from fxopt_plugins.targets.gpu_times import Table

LAUNCHED = ("FasterTransformer",)  # stacks that run so; of the others AITemplate and TensorRT's examples record graphs


def way(stack: str, precision: str) -> str:
    """By which name of a model's descriptions a stack runs it."""
    return f"{precision} by library" if stack in LAUNCHED else precision


def by_library(found: Iterable[Kernel]) -> list[Kernel]:
    """Kernels with products for queries, keys and values each by itself, and a kernel for their bias before attention."""
    out: list[Kernel] = []
    for kernel in found:
        if kernel.kind == "linear" and kernel.columns == 3 * kernel.terms:
            third = {name: getattr(kernel, name) / 3 for name in ("flops", "weights", "written")}
            out += [replace(kernel, **third, columns=kernel.terms)] * 3
            continue
        if kernel.kind == "attention":
            out.append(Kernel("pointwise", "float16", 0, kernel.read, 0, kernel.read, 0, 0, 0, 0))
        out.append(kernel)
    return out


def launches_ms(table: Table, count: NDArray[np.float64], launch_us: float, prepared_us: float) -> float:
    """What the host takes for its launches, where each product on integers has its layouts described anew (cuBLASLt)."""
    prepared = (table.dtype == "int8") & (table.kind < len(TENSOR))
    return float(count @ (launch_us + prepared_us * prepared)) / 1e3
