"""What a run refuses before it begins, and which of its plans it takes."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch
from torch import nn

import fxopt.compiler.dry_run as module
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


def test_a_search_takes_one_thread_and_leaves_the_number_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def search() -> None:
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    before = torch.get_num_threads()
    run = types.SimpleNamespace(search=search, close=lambda: None)
    monkeypatch.setattr(module, "prepare", lambda *_: run)
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError):
            module.dry_run(Request("m", Path("out")))
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)
