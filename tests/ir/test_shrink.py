"""Parts of a Program compute what they computed in the whole, from the values that were seen at their border."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fxopt.bisect.minimize import closed
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs
from fxopt.ir.shrink import inseparable, neighbourhood, part, seen_values

aten = torch.ops.aten


class Net(nn.Module):
    """A dynamic batch, a size that is used as a number, a split, and a value that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 6), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.first(x).relu()
        left, right = y.split(3, dim=1)
        z = self.second(left) * right
        return z.reshape(x.shape[0] * 3), y.sum(1)


@pytest.fixture(scope="module")
def program() -> Program:
    batch = torch.export.Dim("N", min=1, max=8)
    return capture(export(Net().eval(), (torch.randn(2, 6),), dynamic_shapes=({0: batch},)))


def names(program: Program) -> list[str]:
    return [node.name for node in program.calls]


@given(data=st.data())
@settings(max_examples=60)
def test_every_part_gives_the_values_of_the_whole_and_survives_its_text(program: Program, data: st.DataObject) -> None:
    values = seen_values(program, sample_inputs(program))
    wanted = data.draw(st.sets(st.sampled_from(names(program)), min_size=1))
    wanted = closed(wanted, inseparable(program, values))
    try:
        small, inputs = part(program, wanted, values)
    except ValueError:
        assert not any(isinstance(values[name], torch.Tensor) for name in wanted)
        return
    assert set(names(small)) <= wanted
    assert small.interface.dims == ()
    for name, output in zip(small.interface.outputs, small.run(inputs), strict=True):
        torch.testing.assert_close(output, values[name])
    tensors = {name: value for name, value in small.attributes.items() if isinstance(value, torch.Tensor)}
    assert Program.parse(small.text(), tensors).digest == small.digest


def test_a_part_has_only_what_its_calls_use(program: Program) -> None:
    values = seen_values(program, sample_inputs(program))
    (relu,) = (node.name for node in program.calls if node.target == aten.relu.default)
    small, inputs = part(program, [relu], values)
    assert [node.op for node in small.nodes] == ["placeholder", "call_function", "output"]
    assert not small.attributes
    assert [tuple(value.shape) for value in inputs] == [(2, 6)]


def test_a_value_that_is_used_outside_stays_an_output(program: Program) -> None:
    values = seen_values(program, sample_inputs(program))
    (relu,) = (node for node in program.calls if node.target == aten.relu.default)
    near = closed(neighbourhood(program, [relu.name], 2), inseparable(program, values))
    small, _ = part(program, near, values)
    assert relu.name not in small.interface.outputs  # all its users came along
    (total,) = (user.name for user in relu.users if user.target == aten.sum.dim_IntList)
    small, _ = part(program, near - {total}, values)
    assert relu.name in small.interface.outputs


def test_a_neighbourhood_grows_by_edges_to_all_calls(program: Program) -> None:
    (relu,) = (node.name for node in program.calls if node.target == aten.relu.default)
    sizes = [len(neighbourhood(program, [relu], distance)) for distance in range(8)]
    assert sizes[0] == 1
    assert sizes == sorted(sizes)
    assert neighbourhood(program, [relu, "gone"], 0) == {relu}
    assert neighbourhood(program, [names(program)[0]], 99) >= set(names(program)) - {
        node.name for node in program.calls if not isinstance(node.meta["val"], (torch.Tensor, list, tuple))
    }
