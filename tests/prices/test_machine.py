"""The readable profile of a machine."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fxopt.contracts.target import Machine
from fxopt.prices import KernelTable, Place
from fxopt.prices.machine import profile, to_toml
from fxopt.prices.predict import learn
from tests.engines.nets import program

MACHINE = Machine("a CPU", ("avx2", "fma"), 2, 2**34)
SCALARS = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), st.text())
VALUES = st.one_of(SCALARS, st.lists(st.text(), max_size=3))
NESTED = st.recursive(
    st.dictionaries(st.text(min_size=1), VALUES, max_size=4),
    lambda inner: st.dictionaries(st.text(min_size=1), st.one_of(VALUES, inner), max_size=4),
    max_leaves=12,
)


@given(NESTED)
def test_a_profile_is_toml_that_any_reader_takes(data: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(data)) == data


def test_a_profile_tells_what_kernels_reached(tmp_path: Path) -> None:
    table, place = KernelTable(tmp_path / "kernels.sqlite"), Place("engine", "1.2", "a CPU", ("avx2",), 2)
    net = program(nn.Sequential(nn.Linear(100, 100), nn.ReLU()), torch.randn(50, 100))
    kernels = [{"covers": ["linear"], "ms": 0.1}, {"covers": ["relu"], "ms": 0.01}]
    learn(table, place, net, kernels, 0.12)
    found = profile(table, [place, Place("other", "1", "a CPU", (), 2)], MACHINE)
    assert list(found["engine"]) == ["engine"]
    told = found["engine"]["engine"]["threads_2"]
    assert told["kernels"] == 2
    assert told["peak_gflops"] == {"float32": 10.0}  # 2 * 50 * 100 * 100 in 0.1 ms
    assert told["bandwidth_gbs"] == {"within_1MB": 4.0}  # 2 * 4 * 50 * 100 bytes in 0.01 ms
    assert found["machine"]["cpu"] == "a CPU"
    assert tomllib.loads(to_toml(found)) == found
    table.close()


def test_text_that_toml_would_read_otherwise_is_escaped() -> None:
    data = {"cpu": 'a "quoted" \\ name\nof two lines'}
    assert tomllib.loads(to_toml(data)) == data
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads('cpu = "a\nb"')
