from __future__ import annotations

import math
import multiprocessing
import sqlite3
import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt.prices import KernelTable, Observation, Place, table

HERE = Place("onnxruntime", "1.32", "a CPU", ("avx2", "fma"), 2)


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "prices" / "kernels.sqlite"


@given(times=st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=30))
def test_a_price_is_the_mean_of_logarithms_and_their_deviation(
    times: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    kernels = KernelTable(tmp_path_factory.mktemp("table") / "kernels.sqlite")
    kernels.record(HERE, [Observation("conv", time) for time in times])
    price = kernels.prices(HERE)["conv"]
    assert price.milliseconds == pytest.approx(statistics.geometric_mean(times))
    assert price.spread == pytest.approx(statistics.stdev(map(math.log, times)), abs=1e-9)
    assert price.count == len(times)
    kernels.close()


def test_what_was_recorded_is_there_for_the_next_process(file: Path) -> None:
    first = KernelTable(file)
    first.record(HERE, [Observation("conv", 0.5, "micro", {"flops": 3})])
    first.close()
    price = KernelTable(file).prices(HERE)["conv"]
    assert (price.milliseconds, price.source, price.features) == (0.5, "micro", {"flops": 3})
    assert price.spread == math.inf  # of one observation nothing is known


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HERE, engine="onnxruntime{spinning=false}"),
        replace(HERE, version="1.33"),
        replace(HERE, cpu="another CPU"),
        replace(HERE, isa=("avx2",)),
        replace(HERE, threads=1),
    ],
    ids=str,
)
def test_prices_of_one_place_hold_at_no_other(file: Path, elsewhere: Place) -> None:
    kernels = KernelTable(file)
    kernels.record(HERE, [Observation("conv", 0.5)])
    assert kernels.prices(elsewhere) == {}


def test_what_a_kernel_takes_in_a_build_counts_more_than_what_it_takes_alone(file: Path) -> None:
    kernels = KernelTable(file)
    for order in (["micro", "profile"], ["profile", "micro"]):
        for source in order:
            kernels.record(HERE, [Observation(f"conv {order}", 1.0 if source == "profile" else 9.0, source)])  # type: ignore[arg-type]
    assert [price.milliseconds for price in kernels.prices(HERE).values()] == [1.0, 1.0]


def test_features_that_come_later_are_kept_and_those_known_are_not_lost(file: Path) -> None:
    kernels = KernelTable(file)
    for features in (None, {"flops": 3}, None):
        kernels.record(HERE, [Observation("conv", 1.0, features=features)])
    assert kernels.prices(HERE)["conv"].features == {"flops": 3}


def test_old_observations_fade(file: Path) -> None:
    kernels = KernelTable(file)
    kernels.record(HERE, [Observation("conv", 1.0)] * 1000)
    kernels.record(HERE, [Observation("conv", 2.0)] * 200)
    assert kernels.prices(HERE)["conv"].milliseconds == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize("time", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_time_is_left_out(file: Path, time: float) -> None:
    kernels = KernelTable(file)
    kernels.record(HERE, [Observation("broken", time), Observation("conv", 1.0)])
    assert list(kernels.prices(HERE)) == ["conv"]


def _fill(file: Path, name: str) -> None:
    kernels = KernelTable(file)
    for index in range(20):
        kernels.record(HERE, [Observation(f"{name} {index}", 1.0), Observation("shared", 1.0)])


def test_processes_fill_one_table_at_once_without_loss(file: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_fill, args=(file, name)) for name in ("a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = KernelTable(file).prices(HERE)
    assert len(found) == 41
    assert found["shared"].count == 40


def _damage(file: Path, at: float) -> None:
    """Overwrite what follows a share of a table of many pages."""
    kernels = KernelTable(file)
    kernels.record(HERE, [Observation(f"conv {index} {'x' * 100}", 1.0) for index in range(500)])
    kernels.close()
    content = bytearray(file.read_bytes())
    start = int(at * len(content))
    content[start:] = b"\xff" * (len(content) - start)
    file.write_bytes(content)


@pytest.mark.parametrize("at", [0.0, 0.3])
def test_a_damaged_table_is_set_aside_and_begun_anew(file: Path, notes: list[str], at: float) -> None:
    _damage(file, at)
    kernels = KernelTable(file, notes.append)
    kernels.record(HERE, [Observation("conv", 1.0)])
    assert list(kernels.prices(HERE)) == ["conv"]
    assert len(notes) == 1
    assert "damaged" in notes[0]
    assert file.with_name("kernels.sqlite.damaged1").exists()
    kernels.close()
    assert list(KernelTable(file, notes.append).prices(HERE)) == ["conv"]
    assert len(notes) == 1


def test_a_table_that_is_damaged_while_open_is_set_aside_too(file: Path, notes: list[str]) -> None:
    _damage(file, 2.0)  # whole
    kernels = KernelTable(file, notes.append)
    with file.open("r+b") as stream:
        stream.seek(100)
        stream.write(b"\xff" * (file.stat().st_size - 100))
    kernels._connection.execute("PRAGMA shrink_memory")  # else it goes on with the pages that it has read
    kernels.record(HERE, [Observation("conv", 1.0)])
    assert list(kernels.prices(HERE)) == ["conv"]
    assert len(notes) == 1


def test_only_one_of_two_processes_sets_a_damaged_table_aside(file: Path, notes: list[str]) -> None:
    _damage(file, 0.0)
    first = KernelTable(file, notes.append)
    first.record(HERE, [Observation("conv", 1.0)])
    table._set_aside(file, "as another process found", notes.append)
    assert len(notes) == 1
    assert list(first.prices(HERE)) == ["conv"]


def test_a_locked_table_is_not_waited_for_for_ever(
    file: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_WAIT_S", 0.1)
    kernels = KernelTable(file, notes.append)
    assert kernels.prices(HERE) == {}  # is open from here on
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    kernels.record(HERE, [Observation("conv", 1.0)])
    assert len(notes) == 1
    assert "locked" in notes[0]
    kernels.record(HERE, [Observation("conv", 1.0)])  # goes on, in memory
    assert list(kernels.prices(HERE)) == ["conv"]
    assert len(notes) == 1
    other.execute("ROLLBACK")
    assert KernelTable(file).prices(HERE) == {}


def test_a_folder_that_cannot_be_written_is_said_and_done_without(tmp_path: Path, notes: list[str]) -> None:
    (tmp_path / "prices").write_text("a file where the folder should be")
    kernels = KernelTable(tmp_path / "prices" / "kernels.sqlite", notes.append)
    kernels.record(HERE, [Observation("conv", 1.0)])
    assert list(kernels.prices(HERE)) == ["conv"]
    assert len(notes) == 1
