"""What ONNX Runtime's profiler writes of nodes, less what it adds to the time of each.

Before it reads the clock again it writes down what each thread did: 1 to 2 us a node in one thread, 3 to 4 in two, where small
networks have nodes of 10.
"""

from __future__ import annotations

import gc
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fxopt.measure import least_disturbed, undisturbed

if TYPE_CHECKING:
    import onnxruntime

_NODES, _SIDE = 30, 64  # products of small square matrices, each of which runs in all threads
_BURST_S, _TIMED_S = 0.02, 0.1
_LEAST_MS = 5e-4  # of a node: half of what the profiler counts in


def node_times(events: Iterable[Mapping[str, Any]], added_ms: float) -> dict[str, list[float]]:
    """Milliseconds of each time that a node ran, by its name, from what a profiler wrote.

    Args:
        events: that it wrote.
        added_ms: what it added to each.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["name"].removesuffix("_kernel_time")].append(max(event["dur"] / 1000 - added_ms, _LEAST_MS))
    return dict(times)


def read_events(file: Path) -> list[dict[str, Any]]:
    """What a profiler wrote: so many objects that looking for garbage among them would take longer than reading them."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return list(json.loads(file.read_text()))
    finally:
        if collects:
            gc.enable()


def added_ms(options: Callable[[], onnxruntime.SessionOptions]) -> float:
    """Milliseconds that the profiler adds to a node here: how much longer some take in a profile than a call is without one.

    Args:
        options: makes those of a session.
    """
    import numpy as np
    import onnxruntime as ort

    model, inputs, made = _products(), {"x0": np.ones((_SIDE, _SIDE), np.float32)}, options()
    threads = made.intra_op_num_threads

    def session(made: ort.SessionOptions) -> ort.InferenceSession:
        made.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return ort.InferenceSession(model, made, providers=["CPUExecutionProvider"])

    plain = session(made)
    whole = _timed(lambda: plain.run(None, inputs), threads)
    with tempfile.TemporaryDirectory() as folder:
        made = options()
        made.enable_profiling, made.profile_file_prefix = True, f"{folder}/profile"
        profiled = session(made)
        _timed(lambda: profiled.run(None, inputs), threads)
        events = read_events(Path(profiled.end_profiling()))
    nodes = [sum(call) for call in zip(*node_times(events, 0.0).values(), strict=True)]
    return max(_least(nodes) - _least(whole), 0.0) / _NODES


def _products() -> bytes:
    """A model of matrix products, one after another."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.full((_SIDE, _SIDE), 1 / _SIDE, np.float32), "weight")
    nodes = [helper.make_node("MatMul", [f"x{i}", "weight"], [f"x{i + 1}"], name=f"n{i}") for i in range(_NODES)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [_SIDE, _SIDE]) for name in ("x0", f"x{_NODES}")]
    graph = helper.make_graph(nodes, "products", ends[:1], ends[1:], [weight])
    opset = helper.make_opsetid("", 17)
    return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString())


def _timed(call: Callable[[], object], threads: int) -> list[float]:
    """Milliseconds of calls, after one that sets up memory."""
    call()

    def burst() -> list[float]:
        took, begun = [], time.perf_counter()
        while time.perf_counter() - begun < _BURST_S:
            started = time.perf_counter()
            call()
            took.append(1e3 * (time.perf_counter() - started))
        return took

    return [one for burst_of in undisturbed(burst, _TIMED_S, threads) for one in burst_of]


def _least(times: list[float]) -> float:
    return statistics.fmean(times[index] for index in least_disturbed(times))
