"""Which samples values are observed on."""

from __future__ import annotations

import torch
from torch import nn

from fxopt.data import Data
from fxopt.ir.capture import capture, export
from fxopt.ir.observe import observe


def test_samples_come_from_all_parts_of_data_that_may_be_sorted() -> None:
    program = capture(export(nn.ReLU(), (torch.zeros(2, 1),)))
    data = Data.read(torch.arange(100.0)[:, None], program.interface, "calib")
    (node,) = program.calls
    seen = torch.cat([batch[node.name].value for batch in observe(program, data, [node.name], most=4)])
    assert seen.flatten().tolist() == [0, 25, 50, 75]
