"""`package.module:factory` with `--weights` and `--input`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fxopt.ir.input_spec import DimSpec
from tests.frontends.loading import export, load, refusal
from tests.frontends.models import Net, Sequence

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.norm = nn.BatchNorm1d(2)
    def forward(self, x, mask=None):
        out = self.norm(self.linear(x))
        return out if mask is None else out * mask

class Star(nn.Module):
    def forward(self, *xs):
        return xs[0] + xs[1]

class Keywords(nn.Module):
    def forward(self, x, **rest):
        return x + rest["y"]

def plain(): return Net()
def quiet(): return Net().eval()
def with_tensor(): return Net(), torch.ones(3, 4)
def with_tuple(): return Net(), (torch.ones(3, 4), torch.ones(3, 2))
def with_names(): return Net(), {"x": torch.ones(3, 4), "mask": torch.ones(3, 2)}
def with_nonsense(): return Net(), "x"
def nothing(): return None
def star(): return Star()
def keywords(): return Keywords()
def broken():
    return nn.Linear("four", 2)
def leaves(): raise SystemExit(3)
instance = Net()
number = 4
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "zoo.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    sys.path[:] = path
    for name in ("zoo", "broken_import", "needs_other"):
        sys.modules.pop(name, None)


def test_makes_examples_from_input_and_evaluates() -> None:
    loaded = load("zoo:plain", "x=3x4")
    assert loaded.module is not None
    assert not any(part.training for part in loaded.module.modules())
    assert "training mode" in loaded.notes[0]
    assert loaded.args[0].shape == (3, 4)
    assert loaded.dynamic_shapes is None
    export(loaded)


def test_says_nothing_of_a_module_in_evaluation_mode() -> None:
    assert load("zoo:quiet", "x=3x4").notes == ()


def test_takes_a_module_in_place_of_a_function() -> None:
    assert load("zoo:instance", "x=3x4").module is not None


@pytest.mark.parametrize("factory", ["with_tensor", "with_tuple", "with_names"])
def test_takes_example_inputs_of_the_factory(factory: str) -> None:
    loaded = load(f"zoo:{factory}")
    assert torch.equal(loaded.measured[0][0], torch.ones(3, 4))
    assert loaded.kwargs == {}
    export(loaded)


def test_input_replaces_one_of_the_factorys_examples_and_keeps_the_rest() -> None:
    loaded = load("zoo:with_tuple", "x=Nx4,N=1..8@3")
    assert loaded.dynamic_shapes is not None
    assert loaded.dynamic_shapes["mask"] is None
    assert torch.equal(loaded.args[1], torch.ones(3, 2))


def test_a_dynamic_dimension_is_captured_beyond_one_and_measured_at_one() -> None:
    loaded = load("zoo:plain", "x=Nx4,N=1..64@1")
    assert loaded.args[0].shape == (2, 4)
    assert loaded.measured[0][0].shape == (1, 4)
    assert loaded.dims == (DimSpec("N", 1, 64, 1),)
    (range_,) = export(loaded).range_constraints.values()
    assert (range_.lower, range_.upper) == (1, 64)


def test_dimensions_are_listed_in_the_order_of_the_inputs() -> None:
    loaded = load("zoo:plain", "mask=MxD,M=2..8@2,D=2..4@2", "x=NxE,N=2..8@2,E=2..4@4")
    assert [dim.name for dim in loaded.dims] == ["N", "E", "M", "D"]


def test_a_dimension_of_one_size_is_static() -> None:
    loaded = load("zoo:plain", "x=Nx4,N=1..1")
    assert loaded.dims == ()
    assert loaded.dynamic_shapes is None
    assert loaded.args[0].shape == (1, 4)


def test_two_inputs_share_a_dimension() -> None:
    program = export(load("zoo:plain", "x=Nx4,N=1..8@2", "mask=Nx2"))
    assert len(program.range_constraints) == 1


def test_inputs_go_to_variable_arguments() -> None:
    loaded = load("zoo:star", "a=Nx4,N=1..8@3", "b=Nx4")
    assert len(loaded.args) == 2
    assert loaded.dynamic_shapes is not None
    assert len(loaded.dynamic_shapes["xs"]) == 2
    export(loaded)


def test_inputs_go_to_variable_keyword_arguments() -> None:
    loaded = load("zoo:keywords", "x=3x4", "y=3x4")
    assert list(loaded.kwargs) == ["y"]
    export(loaded)
    assert "has no argument y; torch.export takes no dynamic sizes" in refusal(
        "zoo:keywords", "x=Nx4,N=1..8@3", "y=Nx4"
    )


def test_unused_variable_arguments_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "zoo.py").write_text(
        "from torch import nn\n"
        "class M(nn.Module):\n def forward(self, x, *a, **k): return x + 1\n"
        "def make(): return M()\n"
    )
    export(load("zoo:make", "x=Nx4,N=1..8@3"))


def test_integers_are_valid_indices_and_values_are_repeatable(tmp_path: Path) -> None:
    (tmp_path / "zoo.py").write_text("from torch import nn\ndef make(): return nn.Embedding(2, 4)\n")
    first, second = (load("zoo:make", "input=2x5:int64").measured[0][0] for _ in range(2))
    assert torch.equal(first, second)
    assert set(first.flatten().tolist()) <= {0, 1}


@pytest.mark.parametrize(
    ("model", "flags", "message"),
    [
        ("zoo:plain", [], "no example for input x; describe it, like --input x="),
        ("zoo:plain", ["y=3x4"], "zoo:plain has no input 'y'"),
        ("zoo:plain", ["masc=3x4"], "did you mean 'mask'"),
        ("zoo:with_tuple", ["x=4"], "x has 1 dimensions, but 2 in the example inputs (3, 4)"),
        ("zoo:with_tuple", ["x=3x4:int64"], "x has dtype int64, but float32 in the example inputs"),
        ("zoo:with_nonsense", [], "returned example inputs of type str"),
        ("zoo:nothing", [], "returned a NoneType; return a torch.nn.Module"),
        ("zoo:number", [], "is a int, not a function"),
        ("zoo:plane", [], "zoo has no 'plane'; did you mean 'plain'?"),
        ("zoo:plain.more", [], "has no 'more'"),
        ("zo:plain", [], "there is no module 'zo'"),
        ("zoo.more:plain", [], "importing zoo.more failed|there is no module 'zoo.more'"),
        ("zoo:broken", [], "zoo:broken failed: "),
        ("zoo:leaves", [], "zoo:leaves failed: "),
    ],
)
def test_says_in_one_line_what_does_not_fit(model: str, flags: list[str], message: str) -> None:
    said = refusal(model, *flags)
    assert any(part in said for part in message.split("|")), said


def test_an_error_in_the_factory_names_its_line(tmp_path: Path) -> None:
    line = SOURCE.splitlines().index('    return nn.Linear("four", 2)') + 1
    assert f"{tmp_path / 'zoo.py'}:{line}" in refusal("zoo:broken")


def test_an_error_on_import_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "broken_import.py").write_text("x = 1\ny = x / 0\n")
    assert f"ZeroDivisionError: division by zero (at {tmp_path / 'broken_import.py'}:2)" in refusal(
        "broken_import:make"
    )


def test_a_missing_import_of_the_users_module_is_not_taken_for_a_missing_module(tmp_path: Path) -> None:
    (tmp_path / "needs_other.py").write_text("import not_installed_anywhere\n")
    assert "importing needs_other failed: ModuleNotFoundError: No module named 'not_installed_anywhere'" in refusal(
        "needs_other:make"
    )


def zoo_net() -> torch.nn.Module:
    module = load("zoo:quiet", "x=3x4").module
    assert module is not None
    return module


def weights(path: Path, state: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_come_from_a_file(tmp_path: Path, suffix: str) -> None:
    state = {key: torch.full_like(value, 3) for key, value in zoo_net().state_dict().items()}
    loaded = load("zoo:quiet", "x=3x4", weights=weights(tmp_path / f"w{suffix}", state))
    assert loaded.module is not None
    assert torch.equal(loaded.module.state_dict()["linear.weight"], state["linear.weight"])


def test_weights_come_from_a_checkpoint_that_holds_more(tmp_path: Path) -> None:
    torch.save({"state_dict": zoo_net().state_dict(), "epoch": 3}, tmp_path / "w.pt")
    assert load("zoo:quiet", "x=3x4", weights=tmp_path / "w.pt").module is not None


def test_weights_that_do_not_fit_name_a_few_keys(tmp_path: Path) -> None:
    state = Net().state_dict()
    said = refusal("zoo:quiet", "x=3x4", weights=weights(tmp_path / "w.safetensors", state))
    assert "it lacks linear.weight, linear.bias, norm.weight and 3 more and has beyond it" in said
    assert "conv.weight" in said


def test_weights_of_another_size_name_the_key(tmp_path: Path) -> None:
    state = zoo_net().state_dict() | {"linear.weight": torch.ones(5, 4)}
    assert "size mismatch for linear.weight" in refusal("zoo:quiet", "x=3x4", weights=weights(tmp_path / "w.pt", state))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_damaged_weights_are_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    path = weights(tmp_path / f"w{suffix}", Net().state_dict())
    path.write_bytes(path.read_bytes()[:100])
    assert str(path) in refusal("zoo:quiet", "x=3x4", weights=path)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"a": Sequence()}, tmp_path / "w.pt")
    assert "cannot be read as a state dict of tensors" in refusal("zoo:quiet", "x=3x4", weights=tmp_path / "w.pt")


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal("zoo:quiet", "x=3x4", weights=tmp_path / "w.pt")
