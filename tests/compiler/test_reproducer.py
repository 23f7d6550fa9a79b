"""call.json of a reproducer: what is read, and what is refused as damaged."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fxopt.compiler.reproducer import Broken, read, reproduce, save_program
from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Pass
from fxopt.contracts.target import Capabilities
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.registry import Registry
from tests.compiler.plain_data import JSON, Place, like, places, replaced, value_at


class Raises(Pass):
    """Nothing."""

    name = "raises"

    def propose(self, program: Any, view: Any) -> Any:
        return ()

    def apply(self, edit: Any, candidate: Any) -> None:
        raise ZeroDivisionError


CALL: dict[str, Any] = {
    "version": 1,
    "fxopt": "0.1",
    "fault": "stranger: raises apply raised",
    "pass": "raises",
    "action": "apply",
    "candidates": [Candidate("raises", ("relu",), frozenset({"relu"}), parameters={"axis": [0]}).to_json()],
    "capabilities": Capabilities(frozenset({"float32"}), ("avx2",)).to_json(),
    "limit_s": 5.0,
    "command": "fxopt reproduce raises-0",
}


def read_call(folder: Path, call: object) -> Broken:
    (folder / "call.json").write_text(json.dumps(call))
    if not (folder / "before.fx").exists():
        save_program(capture(export(nn.ReLU(), (torch.ones(2),))), folder)
    return read(folder, Registry(passes={"raises": Raises}))


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("pass",), 1, "pass: a string is needed, not 1"),
        (("limit_s",), "5", "limit_s: a finite number is needed"),
        (("limit_s",), 0, "limit_s: more than 0 seconds are needed"),
        (("limit_s",), float("inf"), "limit_s: a finite number is needed"),
        (("candidates", 0, "site"), [], "candidates.0.site: it is empty"),
        (("candidates",), [], "action: candidates are what is applied"),
        (("capabilities", "dtypes"), "float32", "capabilities.dtypes: a list is needed"),
    ],
)
def test_a_call_that_is_not_of_its_form_is_refused_and_named(
    tmp_path: Path, place: Place, value: object, says: str
) -> None:
    assert read_call(tmp_path, CALL).limit_s == 5.0
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: damaged ({says}")):
        read_call(tmp_path, replaced(CALL, place, value))


@given(st.sampled_from(list(places(CALL))), JSON)
def test_any_value_of_a_call_in_place_of_another_is_read_as_such_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: Place, value: object
) -> None:
    damage = ""
    try:
        read_call(tmp_path_factory.getbasetemp(), replaced(CALL, place, value))
    except InputError as error:
        damage = str(error)
    assert len(damage.splitlines()) <= 1
    assert damage or "parameters" in place or like(value_at(CALL, place), value)


def test_the_command_is_quoted_for_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "an output; of $HOME" / "raises-0"
    assert shlex.split(reproduce(folder)) == ["fxopt", "reproduce", str(folder)]
