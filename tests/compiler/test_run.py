"""What a run refuses before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fxopt.compiler.progress import NULL
from fxopt.compiler.request import Request
from fxopt.compiler.run import Run
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.registry import Registry


def test_without_a_planner_it_says_which_flag_took_it_away() -> None:
    exported = export(nn.ReLU(), (torch.ones(2),))
    request = Request("model", Path("out"), engine="eager", threads=1)
    with pytest.raises(InputError, match="leave out -p no:planners"):
        Run(request, Registry.load(["planners"]), capture(exported), exported, "model", NULL)
