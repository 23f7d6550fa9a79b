"""What a profiler adds to the time of nodes is taken off again."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from fxopt_plugins.engines import onnxruntime_profiler as profiler
from fxopt_plugins.engines.onnxruntime_profiler import added_ms, node_times, read_events

ort = pytest.importorskip("onnxruntime")


def _event(name: str, dur: int, cat: str = "Node") -> dict[str, object]:
    return {"cat": cat, "name": name, "dur": dur, "ts": 0}


def test_what_was_added_is_taken_off_each_time_that_a_node_ran() -> None:
    events = [
        _event("conv_kernel_time", 100),
        _event("conv_fence_before", 50),
        _event("model_run", 900, "Session"),
        _event("relu_kernel_time", 12),
        _event("conv_kernel_time", 90),
    ]
    assert node_times(events, 0.002) == {
        "conv": pytest.approx([0.098, 0.088]),
        "relu": pytest.approx([0.010]),
    }


def test_a_node_never_takes_nothing_where_the_profiler_takes_longer_than_it() -> None:
    assert node_times([_event("cast_kernel_time", 1)], 0.003)["cast"] == [profiler._LEAST_MS]


@pytest.mark.serial
@pytest.mark.parametrize("threads", [1, 2])
def test_small_nodes_add_up_to_their_call(threads: int, tmp_path: Path) -> None:
    """Of another model than the one that it was found with."""

    def options() -> ort.SessionOptions:
        made = ort.SessionOptions()
        made.intra_op_num_threads = threads
        return made

    from onnx import TensorProto, helper

    nodes = [helper.make_node("Erf", [f"x{i}"], [f"x{i + 1}"], name=f"n{i}") for i in range(100)]
    first, last = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2048]) for name in ("x0", "x100"))
    graph = helper.make_graph(nodes, "g", [first], [last])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    inputs = {"x0": np.ones((1, 2048), np.float32)}

    made = options()
    made.enable_profiling, made.profile_file_prefix = True, str(tmp_path / "profile")
    plain, profiled = (
        ort.InferenceSession(model, each, providers=["CPUExecutionProvider"]) for each in (options(), made)
    )
    whole = []
    for _ in range(400):  # in turns, so that what comes between comes to both
        started = time.perf_counter()
        plain.run(None, inputs)
        whole.append(1e3 * (time.perf_counter() - started))
        profiled.run(None, inputs)
    events = read_events(Path(profiled.end_profiling()))
    added = added_ms(options)

    def off(taken: float) -> float:
        calls = np.sum(list(node_times(events, taken).values()), axis=0)
        return float(abs(np.quantile(calls, 0.25) - np.quantile(whole, 0.25)))

    assert 0 <= added < 0.1
    assert off(added) < off(0.0) or off(0.0) < 0.1 * float(np.quantile(whole, 0.25))
