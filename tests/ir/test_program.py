"""Programs: capture, text form, calls, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.ir.samples import sample_inputs


class Mixed(nn.Module):
    """Several inputs and outputs, nested; a branch; an embedding; a tied weight; a batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.tied = nn.Linear(4, 4)
        self.tied.weight = self.linear.weight
        self.table = nn.Embedding(10, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor, extra: dict[str, torch.Tensor], ids: torch.Tensor) -> dict[str, Any]:
        y = self.norm(self.tied(self.linear(x)) + self.table(ids))
        y = torch.cond(y.sum() > 0, lambda a: a * 2, lambda a: a - 1, (y,))
        return {"y": y, "more": (y + extra["k"], extra["k"] * 2)}


def mixed() -> tuple[Mixed, tuple[Any, ...], Program]:
    model = Mixed().eval()
    args = (torch.randn(3, 4), {"k": torch.ones(4)}, torch.tensor([1, 2, 3]))
    batch = Dim("N", min=1, max=64)
    exported = export(model, args, dynamic_shapes=({0: batch}, {"k": None}, {0: batch}))
    return model, args, capture(exported, {"N": 3}, names=("x", "extra", "ids"))


def test_a_program_returns_what_the_model_returns_at_any_batch() -> None:
    model, _, program = mixed()
    for size in (1, 5):
        args = (torch.randn(size, 4), {"k": torch.ones(4)}, torch.randint(0, 10, (size,)))
        found, expected = program(*args), model(*args)
        torch.testing.assert_close(found["y"], expected["y"])
        torch.testing.assert_close(found["more"], expected["more"])


def test_a_program_takes_inputs_by_name() -> None:
    _, args, program = mixed()
    by_position = program(*args)
    by_parameter = program(x=args[0], extra=args[1], ids=args[2])
    by_input = program(x=args[0], extra_k=args[1]["k"], ids=args[2])
    torch.testing.assert_close(by_parameter["y"], by_position["y"])
    torch.testing.assert_close(by_input["y"], by_position["y"])


def test_a_tied_weight_is_one_attribute() -> None:
    _, _, program = mixed()
    weights = [t for t in program.attributes.values() if isinstance(t, torch.Tensor) and t.shape == (4, 4)]
    assert len(weights) == 1


def test_text_reads_back_to_the_same_text_with_branches_and_dynamic_sizes() -> None:
    _, _, program = mixed()
    tensors = {k: v for k, v in program.attributes.items() if isinstance(v, torch.Tensor)}
    again = Program.parse(program.text(), tensors)
    assert again.text() == program.text()
    assert "float32[N, 4]" in program.text()
    inputs = sample_inputs(program)
    for found, expected in zip(again.run(inputs), program.run(inputs), strict=True):
        assert torch.equal(found, expected)


def test_a_saved_program_loads_to_the_same_digest(tmp_path: Path) -> None:
    _, _, program = mixed()
    program.save(tmp_path)
    assert Program.load(tmp_path).digest == program.digest


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("evil : float32[3] = os.system('x')", "there is no operator"),
        ("evil = aten.relu.default(missing)", "neither a literal nor a node"),
        ("evil = aten.relu.default(__import__('os'))", "neither a literal nor a node"),
        ("this is no line", "expected `name : type"),
    ],
)
def test_a_malformed_line_is_named(line: str, message: str) -> None:
    _, _, program = mixed()
    tensors = {k: v for k, v in program.attributes.items() if isinstance(v, torch.Tensor)}
    text = program.text().replace("return [", f"{line}\nreturn [").replace(f"  {line}\n", "")
    with pytest.raises(InputError, match="line \\d+.*" + message):
        Program.parse(text, tensors)


def test_text_with_other_weights_is_refused() -> None:
    _, _, program = mixed()
    tensors = {k: v + 1 for k, v in program.attributes.items() if isinstance(v, torch.Tensor)}
    with pytest.raises(InputError, match="holds other values"):
        Program.parse(program.text(), tensors)


def test_the_structure_digest_does_not_depend_on_weights() -> None:
    first, second = (capture(export(nn.Linear(3, 2), (torch.randn(2, 3),))) for _ in range(2))
    assert first.structure_digest == second.structure_digest
    assert first.digest != second.digest


def test_a_model_that_mutates_a_buffer_is_refused_by_name() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return x + self.calls

    with pytest.raises(InputError, match="mutates.*'calls'"):
        capture(export(Counter(), (torch.randn(2),)))


def test_a_model_that_mutates_an_input_is_refused_by_name() -> None:
    class InPlace(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.mul_(2)

    with pytest.raises(InputError, match="mutates.*'image'"):
        capture(export(InPlace(), (torch.randn(2),)))


def test_a_model_that_draws_random_numbers_is_refused() -> None:
    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand_like(x)

    with pytest.raises(InputError, match="random"):
        capture(export(Noise(), (torch.randn(2),)))


def test_attention_without_dropout_is_not_taken_for_random() -> None:
    class Attend(nn.Module):
        def forward(self, q: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(q, q, q)

    program = capture(export(Attend(), (torch.randn(1, 2, 3, 4),)))
    assert any("attention" in str(node.target) for node in program.calls)


def test_a_graph_that_cannot_be_captured_names_the_source_line() -> None:
    class Branches(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.sum() > 0:
                return x
            return -x

    with pytest.raises(InputError, match=r"cannot capture Branches.*test_program\.py:\d+") as caught:
        export(Branches(), (torch.randn(2),))
    assert "\n" not in str(caught.value)


def test_a_wrong_shape_is_one_line_that_names_the_input() -> None:
    _, args, program = mixed()
    with pytest.raises(InputError, match="input x: axis 1 is 5, expected 4 of float32\\[N, 4\\]"):
        program(torch.randn(3, 5), args[1], args[2])
    with pytest.raises(InputError, match="input x: N=65 is outside 1..64"):
        program(torch.randn(65, 4), args[1], torch.zeros(65, dtype=torch.int64))


def test_capture_leaves_the_model_in_the_mode_it_was_in() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    model.train()
    export(model, (torch.randn(1, 2),))
    assert model.training and model[1].training


def test_a_tensor_made_from_sizes_says_its_dtype() -> None:
    class Ones(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.ones(3)

    program = capture(export(Ones(), (torch.randn(3),)))
    assert "dtype=torch.float32" in program.text()


def test_outputs_that_are_inputs_or_weights_have_names_of_their_own() -> None:
    class GivesBack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return x, self.weight, x * self.weight

    program = capture(export(GivesBack(), (torch.randn(2),)))
    names = program.interface.outputs
    assert len(set(names)) == 3
    assert not any(name in program for name in names)


def test_padding_keeps_a_dynamic_batch_dynamic() -> None:
    class Pad(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.pad(x, (1, 1))

    program = capture(export(Pad(), (torch.randn(2, 3),), dynamic_shapes=({0: Dim("N", min=1, max=8)},)))
    assert "float32[N, 5]" in program.text()
