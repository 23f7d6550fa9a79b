"""Workers: what they answer, and that every way of failing is one line and loses one request only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from fxopt.errors import EngineError, InputError
from fxopt.measure import Limits, Worker
from tests.measure.engines import artifact

INPUT = np.arange(6, dtype=np.float32).reshape(2, 3)


def engine(name: str) -> str:
    return f"tests.measure.engines:{name}"


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return artifact(tmp_path / "artifact")


def failure(worker: Worker, name: str, folder: Path) -> str:
    worker.load(engine(name), folder)
    with pytest.raises(EngineError) as caught:
        worker.run([INPUT])
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{engine(name)}: run: ")
    return line.removeprefix(f"{engine(name)}: run: ")


def works(worker: Worker, folder: Path) -> bool:
    worker.load(engine("Honest"), folder)
    return np.array_equal(worker.run([INPUT])[0], INPUT + 1)


def test_runs_an_artifact(worker: Worker, folder: Path) -> None:
    assert works(worker, folder)


@pytest.mark.parametrize("value", [np.float32(3), np.zeros((0, 2)), np.arange(6).reshape(2, 3).T, np.ones((1 << 21,))])
def test_carries_arrays_of_any_shape_and_layout(worker: Worker, folder: Path, value: np.ndarray) -> None:
    worker.load(engine("Honest"), folder)
    (output,) = worker.run([np.asarray(value)])
    assert output.shape == np.shape(value)
    np.testing.assert_array_equal(output, np.asarray(value) + 1)


def test_passes_values_from_stage_to_stage(worker: Worker, tmp_path: Path) -> None:
    worker.load(engine("Honest"), artifact(tmp_path / "chain", stages=3))
    np.testing.assert_array_equal(worker.run([INPUT])[0], INPUT + 3)


def test_times_each_call(worker: Worker, folder: Path) -> None:
    worker.load(engine("Honest{work=1}"), folder)
    worker.run([INPUT])
    times = worker.time(7)
    assert times.shape == (7,)
    assert (times > 0).all()


def test_a_device_with_a_clock_of_its_own_times_calls_itself(worker: Worker, folder: Path) -> None:
    worker.load(engine("HasAClock"), folder)
    worker.run([INPUT])
    assert worker.time(3).tolist() == [INPUT.size] * 3


def test_hands_over_what_the_engine_did(worker: Worker, folder: Path) -> None:
    graph = worker.graph(engine("Honest"), folder)
    assert graph.signature
    assert graph.kernels[0].covers == ("add",)
    assert worker.profile(engine("Honest"), folder, [INPUT])[0].milliseconds == 0.5


def test_prints_of_an_engine_do_not_reach_the_answers(worker: Worker, folder: Path) -> None:
    worker.load(engine("Prints"), folder)
    np.testing.assert_array_equal(worker.run([INPUT])[0], INPUT + 1)


def test_an_engine_that_reads_stdin_finds_its_end(worker: Worker, folder: Path) -> None:
    worker.load(engine("ReadsStdin"), folder)
    assert worker.run([INPUT])


def test_segfault_is_one_line_and_the_worker_serves_on(worker: Worker, folder: Path) -> None:
    assert failure(worker, "Segfaults", folder).startswith("was killed by SIGSEGV")
    assert works(worker, folder)


@pytest.mark.parametrize("name", ["Hangs", "HangsHoldingTheGil"])
def test_hang_is_ended_at_the_limit(folder: Path, name: str) -> None:
    with Worker(Limits(run_s=0.5)) as worker:
        assert failure(worker, name, folder) == "gave no answer in 0.5 s"
        assert works(worker, folder)


@pytest.mark.parametrize("name", ["Allocates", "AllocatesInAChild"])
def test_memory_is_limited_children_included(folder: Path, name: str) -> None:
    with Worker(Limits(memory_bytes=400 << 20)) as worker:
        assert failure(worker, name, folder) == "used over 400 MiB"


def test_exception_is_its_last_line(worker: Worker, folder: Path) -> None:
    assert failure(worker, "Raises", folder) == "ValueError: no kernel for Foo"


def test_refusal_of_the_input_stays_an_input_error(worker: Worker, folder: Path) -> None:
    worker.load(engine("Refuses"), folder)
    with pytest.raises(InputError, match="run: give it float32"):
        worker.run([INPUT])


def test_exit_tells_the_status_and_the_last_words(worker: Worker, folder: Path) -> None:
    assert failure(worker, "Exits", folder) == "exited with status 3: license expired"


def test_death_at_import_is_one_line(worker: Worker, folder: Path) -> None:
    with pytest.raises(EngineError, match="load: exited with status 4: no such instruction"):
        worker.load("tests.measure.dies_at_import:Engine", folder)


@pytest.mark.parametrize(
    ("name", "says"), [("ReturnsNothing", "not a list of arrays"), ("ReturnsObjects", "arrays of Python objects")]
)
def test_answers_that_are_no_arrays_are_refused(worker: Worker, folder: Path, name: str, says: str) -> None:
    assert says in failure(worker, name, folder)


def test_run_without_an_artifact_says_so(worker: Worker) -> None:
    with pytest.raises(EngineError, match="no artifact is loaded"):
        worker.run([INPUT])


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


PARENT = """
import sys, pathlib, numpy as np
from fxopt.measure import Worker
worker = Worker()
worker.load(sys.argv[1], pathlib.Path(sys.argv[2]))
print(worker._process.pid, flush=True)
worker.run([np.ones(2)])
{after}
"""


def python(script: str, *arguments: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A Python that hears Ctrl-C even where the tests run in the background, and the numbers that it prints first."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    return process, [int(number) for number in process.stdout.readline().split()]


def parent(name: str, folder: Path, after: str = "") -> tuple[subprocess.Popen[str], int]:
    process, (child,) = python(PARENT.format(after=after), engine(name), str(folder))
    return process, child


@pytest.mark.parametrize("name", ["Hangs", "HangsHoldingTheGil"])
def test_worker_dies_with_a_killed_parent(folder: Path, name: str) -> None:
    process, child = parent(name, folder)
    assert not gone(child)
    process.kill()
    process.wait()
    assert eventually(lambda: gone(child))


def test_stopped_worker_dies_with_a_killed_parent(folder: Path) -> None:
    after = "worker.pause(); print('paused', flush=True); import time; time.sleep(1000)"
    process, child = parent("Honest", folder, after)
    assert process.stdout is not None
    assert process.stdout.readline() == "paused\n"
    process.kill()
    process.wait()
    assert eventually(lambda: gone(child))


def test_ctrl_c_leaves_no_orphan(folder: Path) -> None:
    process, child = parent("Hangs", folder)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    assert eventually(lambda: gone(child))


def test_a_worker_that_was_killed_before_it_started_does_not_start(worker: Worker, folder: Path) -> None:
    worker.kill()
    with pytest.raises(EngineError, match="was killed"):
        worker.load(engine("Hangs"), folder)


@pytest.mark.parametrize("handing_out", [0, 1000], ids=["while they load", "while they are handed out"])
def test_ctrl_c_while_measuring_ends_at_once_and_leaves_no_orphan(folder: Path, handing_out: int) -> None:
    script = """
import sys, pathlib, threading, time, numpy as np, psutil
from concurrent.futures import ThreadPoolExecutor
from fxopt.measure import Variant, measure
class Slow(ThreadPoolExecutor):
    handed_out = 0
    def submit(self, *arguments):
        result = super().submit(*arguments)
        self.handed_out += 1
        for _ in range(int(sys.argv[3]) if self.handed_out == 2 else 0):
            time.sleep(1)  # in short naps: Python does not hear a Ctrl-C that comes just before it falls asleep
        return result
measure.__globals__["ThreadPoolExecutor"] = Slow
def report():
    while len(children := psutil.Process().children()) < 2:
        time.sleep(0.01)
    print(*(child.pid for child in children), flush=True)
threading.Thread(target=report, daemon=True).start()
measure([Variant(n, sys.argv[1], pathlib.Path(sys.argv[2])) for n in "abcd"], [np.ones(2)])
"""
    process, children = python(script, engine("Hangs"), str(folder), str(handing_out))
    process.send_signal(signal.SIGINT)
    assert process.wait(30) != 0
    assert eventually(lambda: all(gone(child) for child in children))


def test_worker_started_by_a_thread_outlives_the_thread(folder: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with Worker() as worker:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(worker.load, engine("Honest"), folder).result()
        time.sleep(0.2)
        np.testing.assert_array_equal(worker.run([INPUT])[0], INPUT + 1)
