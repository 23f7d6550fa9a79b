"""Calls on an NVIDIA GPU, timed by its own clock. It was written without one, and was not run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

    Arrays = Sequence[np.ndarray[Any, Any]]

_FLUSHED = 2  # times the second-level cache that is written between calls


def present() -> bool:
    """Whether the driver knows of a GPU; imports nothing."""
    return any(Path("/proc/driver/nvidia/gpus").glob("*"))


class CudaCall:
    """A function on tensors of the GPU as one on arrays; `timer` tells what it takes there, without the way to it and back."""

    def __init__(self, run: Callable[[list[torch.Tensor]], Iterable[torch.Tensor]]) -> None:
        self._run = run

    def __call__(self, inputs: Arrays) -> list[np.ndarray[Any, Any]]:
        return [value.cpu().numpy() for value in self._run(_on_gpu(inputs))]

    def timer(self, inputs: Arrays, calls: int) -> np.ndarray[Any, Any]:
        """Nanoseconds of each of `calls` calls by events on the stream; what the cache holds of the call before is written over.

        On a stream that always has work the host's launches are hidden, as a CUDA graph hides them.
        """
        import numpy as np
        import torch

        tensors = _on_gpu(inputs)
        cache = torch.cuda.get_device_properties(0).L2_cache_size
        flushed = torch.empty(_FLUSHED * cache, dtype=torch.uint8, device="cuda")
        marks = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(calls)]
        list(self._run(tensors))
        torch.cuda.synchronize()
        for begin, end in marks:
            flushed.zero_()
            begin.record()
            list(self._run(tensors))
            end.record()
        torch.cuda.synchronize()
        return np.array([round(begin.elapsed_time(end) * 1e6) for begin, end in marks], np.int64)


def _on_gpu(inputs: Arrays) -> list[torch.Tensor]:
    import numpy as np
    import torch

    return [torch.from_numpy(np.require(array, requirements=["C", "W"])).cuda() for array in inputs]
