"""call.json of a reproducer: what is read, and what is refused as damaged."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from fxopt.compiler.calls import Call
from fxopt.compiler.context import Context
from fxopt.compiler.offers import offer
from fxopt.compiler.reproducer import Broken, read, reproduce, run, save_program
from fxopt.compiler.search import search
from fxopt.compiler.steps import replay
from fxopt.contracts.candidate import Candidate, Fidelity, Stage, Step
from fxopt.contracts.passes import Pass, View
from fxopt.contracts.quantization import QuantScheme
from fxopt.contracts.target import Capabilities
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.registry import Registry
from tests.compiler.plain_data import JSON, Place, like, places, replaced, value_at


class Raises(Pass):
    """Nothing."""

    name = "raises"

    def propose(self, program: Any, view: Any) -> Any:
        return ()

    def apply(self, edit: Any, candidate: Any) -> None:
        raise ZeroDivisionError


class Picky(Raises):
    """Fails with some fitted tensors alone, or where it is asked under some scheme, or told of tensors that are known."""

    name = "picky"
    stage = Stage.PRECISION

    def propose(self, program: Any, view: Any) -> Any:
        (relu,) = program.calls
        candidate = Candidate(self.name, (relu.name,), frozenset({relu.name}), fidelity=Fidelity.APPROXIMATE)
        fitted = view.fit(candidate, lambda: {"factor": torch.full((2,), 13.0)})
        if view.scheme is not None and view.scheme.residual == "identity":
            raise ValueError(f"at {view.scheme.bias} with {float(fitted.fitted['factor'][0]):g}")
        yield fitted

    def apply(self, edit: Any, candidate: Any) -> None:
        factor = candidate.fitted.get("factor", torch.zeros(2))
        if bool((factor == 13).any()):
            raise ValueError("13 is unlucky")
        (relu,) = edit.nodes(candidate)
        edit.replace(relu, edit.call(torch.ops.aten.mul.Tensor, (relu.args[0], edit.constant(factor, "factor"))))


SCHEME = QuantScheme(
    "s8", True, "channel", "float", "both", integer_ops=frozenset({"aten.conv2d"}), native={"int8": ("avx512_vnni",)}
)
CALL: dict[str, Any] = {
    "version": 1,
    "fxopt": "0.1",
    "fault": "stranger: raises apply raised",
    "pass": "raises",
    "action": "apply",
    "candidates": [Candidate("raises", ("relu",), frozenset({"relu"}), parameters={"axis": [0]}).to_json()],
    "capabilities": Capabilities(frozenset({"float32"}), ("avx2",)).to_json(),
    "scheme": json.loads(json.dumps(SCHEME.to_json())),
    "limit_s": 5.0,
    "command": "fxopt reproduce raises-0",
}


def relu() -> Program:
    return capture(export(nn.ReLU(), (torch.ones(2),)))


def broken_in_offers(scheme: QuantScheme) -> Call:
    """The call that breaks where offers are looked for under a scheme."""
    plugins = Registry(passes={"picky": Picky})
    found = search(relu(), (), plugins)
    return offer(found, [Picky()], plugins, Context(scheme=scheme)).broken["picky"]


def broken_in_a_replay() -> Call:
    """The call that breaks where a step is replayed with tensors that are known."""
    plugins = Registry(passes={"picky": Picky})
    scheme, known = replace(SCHEME, residual="identity"), {"picky@relu/factor": torch.ones(2)}
    context = Context(scheme=scheme, fitted={**known, "other@relu/factor": torch.zeros(2)})
    (candidate,) = Picky().propose(relu(), View("picky"))
    _, skipped = replay(relu(), [Step(candidate, "picky", 0)], plugins, context)
    assert skipped == ["picky@relu"]
    return context.failed["picky"][1]


@pytest.mark.parametrize(
    ("broken", "says", "tensors"),
    [
        (lambda: broken_in_offers(SCHEME), "apply raised ValueError: 13 is unlucky", {"picky@relu/factor"}),
        (
            lambda: broken_in_offers(replace(SCHEME, residual="identity")),
            "propose raised ValueError: at float with 13",
            set(),
        ),
        (broken_in_a_replay, "propose raised ValueError: at float with 1", {"picky@relu/factor"}),
    ],
)
def test_a_call_that_breaks_only_under_its_scheme_or_with_what_was_fitted_breaks_again(
    tmp_path: Path, broken: Callable[[], Call], says: str, tensors: set[str]
) -> None:
    plugins = Registry(passes={"picky": Picky})
    folder = Broken(broken(), "fault", None, None, 5.0).write(tmp_path)
    assert (folder / "fitted.safetensors").exists() == bool(tensors)
    if tensors:
        assert load_file(folder / "fitted.safetensors").keys() == tensors
    again = read(folder, plugins)
    assert str(run(again, plugins)).startswith(says)
    assert again.write(tmp_path / "again").name == folder.name


def test_a_reproducer_of_old_has_no_scheme(tmp_path: Path) -> None:
    assert read_call(tmp_path, {key: value for key, value in CALL.items() if key != "scheme"}).call.scheme is None


def read_call(folder: Path, call: object) -> Broken:
    (folder / "call.json").write_text(json.dumps(call))
    if not (folder / "before.fx").exists():
        save_program(relu(), folder)
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
        (("scheme", "residual"), "all", "scheme.residual: one of both, identity is needed"),
        (("scheme", "symmetric_ops"), ["aten.relu"], "ValueError: symmetric_ops: aten.relu is not among integer_ops"),
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
