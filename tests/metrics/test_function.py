"""Metrics in the user's own code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fxopt.errors import InputError
from fxopt.registry import Registry
from fxopt.verify.score import collect, value
from fxopt_plugins import metrics
from fxopt_plugins.metrics.function import Function

SOURCE = """
def hits(outputs, labels): return (outputs[:, 0] > 0) == labels
def arrays(outputs, labels): return outputs.numpy().mean(1)
def pairs(outputs, labels): return outputs[0][:, 0] + outputs[1][:, 0]
def fails(outputs, labels): raise ZeroDivisionError("by design")
def mean(outputs, labels): return outputs.mean()
def nothing(outputs, labels): return None
def undefined(outputs, labels): return outputs[:, 0] * float("nan")
number = 4
"""
OUTPUTS, LABELS = torch.tensor([[1.0, 3.0], [-1.0, 1.0]]), torch.tensor([True, True])


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "judge.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("judge", None)


def registry() -> Registry:
    found = Registry()
    found.register(metrics, "metrics", "fxopt")
    return found


def test_it_is_named_by_its_reference_alone() -> None:
    metric = registry().make_metric("judge:hits{rate=true}")
    assert metric == Function(of="judge:hits", rate=True)
    assert registry().make_metric(metric.spec()) == metric
    assert value(metric, collect(metric, (OUTPUTS,), LABELS)) == 0.5


def test_its_direction_is_an_option() -> None:
    assert registry().make_metric("judge:hits").direction == "higher"
    assert registry().make_metric("judge:hits{direction=lower}").direction == "lower"
    with pytest.raises(InputError, match="direction='down': give higher or lower"):
        registry().make_metric("judge:hits{direction=down}")


def test_it_may_return_an_array() -> None:
    assert collect(Function(of="judge:arrays"), (OUTPUTS,), LABELS)[:, 0].tolist() == [2, 0]


def test_several_outputs_come_as_a_tuple() -> None:
    assert collect(Function(of="judge:pairs"), (OUTPUTS, OUTPUTS), LABELS)[:, 0].tolist() == [2, -2]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fails", "judge:fails failed: ZeroDivisionError: by design (at "),
        ("mean", "it gave scores of the shape [] for 2 samples; give one a sample"),
        ("nothing", "function{of=judge:nothing}: "),
        ("undefined", "function{of=judge:undefined} is nan (sample 1)"),
        ("number", "function{of=judge:number}: "),
        ("hit", "judge has no 'hit'; did you mean 'hits'?"),
    ],
)
def test_what_goes_wrong_is_one_line_that_names_the_function(name: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        collect(Function(of=f"judge:{name}"), (OUTPUTS,), LABELS)
    assert says in str(caught.value)
    assert f"judge:{name}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scores_of_a_rate_lie_in_0_to_1() -> None:
    with pytest.raises(InputError, match=r"rate=true, but scores lie in 0\.\.2"):
        collect(Function(of="judge:arrays", rate=True), (OUTPUTS,), LABELS)


def test_a_function_that_is_no_reference_is_refused() -> None:
    with pytest.raises(InputError, match="of='judge' is not of the form module:function"):
        registry().make_metric("function{of=judge}")


def test_without_a_function_it_is_there_and_says_what_it_needs() -> None:
    with pytest.raises(InputError, match="name one: --metric module:function"):
        collect(registry().make_metric("function"), (OUTPUTS,), LABELS)
