"""Which samples values are observed on."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn

from fxopt.data import Data
from fxopt.errors import DataError
from fxopt.ir.capture import capture, export
from fxopt.ir.observe import observe
from fxopt.ir.threads import one_thread


def test_samples_come_from_all_parts_of_data_that_may_be_sorted() -> None:
    program = capture(export(nn.ReLU(), (torch.zeros(2, 1),)))
    data = Data.read(torch.arange(100.0)[:, None], program.interface, "calib")
    (node,) = program.calls
    seen = torch.cat([batch[node.name].value for batch in observe(program, data, [node.name], most=4)])
    assert seen.flatten().tolist() == [0, 25, 50, 75]


@pytest.mark.parametrize("outputs", [1, 5])
def test_values_and_gradients_do_not_depend_on_how_many_batches_are_run_at_once(
    outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, outputs))
    program = capture(export(net.eval(), (torch.zeros(2, 3),), dynamic_shapes=({0: torch.export.Dim("n")},)))
    data = Data.read(torch.randn(13, 3), program.interface, "calib")
    names = [node.name for node in program.calls]
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process, cores=cores: set(range(cores)))
        with one_thread():
            batches = list(observe(program, data, names, gradients=True))
        values = [batch[name].value for batch in batches for name in names]
        slopes = [slope for batch in batches if (slope := batch[names[0]].gradient) is not None]
        assert len(slopes) == len(batches)
        found.append([*values, *slopes])
    torch.testing.assert_close(*found)


def test_what_fails_in_a_batch_is_told_as_it_would_be_alone() -> None:
    program = capture(export(nn.Embedding(4, 2), (torch.zeros(1, dtype=torch.int64),)))
    data = Data.read(torch.tensor([0, 3, 9, 1]), program.interface, "calib")
    with one_thread(), pytest.raises(DataError, match="cannot be run on calib"):
        list(observe(program, data, [node.name for node in program.calls]))
