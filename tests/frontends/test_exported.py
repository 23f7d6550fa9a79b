"""Sound `.pt2` files load as torch.export.load would load them, and `--input` fits them or is refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.export import Dim
from torch.utils._pytree import tree_map

from fxopt.ir.input_spec import DimSpec
from tests.frontends.loading import load, loads_or_says_why, refusal
from tests.frontends.models import Branching, Net, Sequence, save, save_net


def assert_computes_as_torch_loads(path: Path, *args: Any, **kwargs: Any) -> None:
    loaded = load(path).exported
    assert loaded is not None
    expected = torch.export.load(path).module()(*args, **kwargs)
    assert all(torch.utils._pytree.tree_leaves(tree_map(torch.equal, loaded.module()(*args, **kwargs), expected)))


def test_loads_a_static_program(tmp_path: Path) -> None:
    path = save_net(tmp_path)
    assert_computes_as_torch_loads(path, torch.randn(2, 3, 8, 8))
    loaded = load(path)
    assert loaded.dims == ()
    assert loaded.source == f"exported program {path}"
    assert torch.equal(loaded.measured[0][0], torch.export.load(path).example_inputs[0][0])


def test_loads_a_dynamic_program_with_its_range(tmp_path: Path) -> None:
    path = save_net(tmp_path, dynamic=True)
    assert_computes_as_torch_loads(path, torch.randn(5, 3, 8, 8))
    assert load(path).dims == (DimSpec("N", 1, 8, 2),)


def test_dimensions_come_in_the_order_of_the_inputs_and_take_the_users_names(tmp_path: Path) -> None:
    dims = {
        "ids": {0: Dim("A", min=1, max=8), 1: Dim("B", min=2, max=16)},
        "mask": {0: Dim("A", min=1, max=8), 1: Dim("B", min=2, max=16)},
    }
    example = (torch.zeros(2, 5, dtype=torch.int64), torch.ones(2, 5))
    path = save(tmp_path / "m.pt2", Sequence(), example, dynamic_shapes=dims)
    assert load(path).dims == (DimSpec("N", 1, 8, 2), DimSpec("D0", 2, 16, 5))
    loaded = load(path, "mask=NxT,N=1..8@4,T=2..16@7")
    assert loaded.dims == (DimSpec("N", 1, 8, 4), DimSpec("T", 2, 16, 7))
    assert [value.shape for value in loaded.measured[0]] == [(4, 7), (4, 7)]
    assert "may be 1..8 in this exported program" in refusal(path, "mask=NxT,N=1..9@4,T=2..16@7")
    assert "is one with N=1..8@4" in refusal(path, "mask=NxT,N=1..8@4,T=2..16@7", "ids=5xT:int64")


def test_a_size_that_depends_on_another_must_fit_it(tmp_path: Path) -> None:
    class Halves(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, x]) + y

    n = Dim("n", min=1, max=8)
    path = save(
        tmp_path / "m.pt2",
        Halves(),
        (torch.ones(3, 2), torch.ones(6, 2)),
        dynamic_shapes={"x": {0: n}, "y": {0: 2 * n}},
    )
    assert [value.shape for value in load(path, "x=4x2").measured[0]] == [(4, 2), (8, 2)]
    assert "dimension 0 of y must be 2*s77 = 6, not 7" in refusal(path, "y=7x2").replace("s30", "s77")


def test_loads_several_inputs_nested_outputs_and_a_cond(tmp_path: Path) -> None:
    path = save(tmp_path / "m.pt2", Branching(), (torch.randn(2, 4),), {"y": torch.randn(3)})
    for sign in (1, -1):
        assert_computes_as_torch_loads(path, torch.randn(2, 4), y=sign * torch.ones(3))


def test_loads_sizes_that_are_computed_from_others(tmp_path: Path) -> None:
    class Resize(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            y = torch.nn.functional.interpolate(x, scale_factor=1.5)
            return torch.nn.functional.avg_pool2d(y, 3, 2, 1).reshape(x.shape[0], -1), torch.nonzero(x)

    dims = {0: Dim("N", min=1, max=64), 2: Dim.AUTO, 3: Dim.AUTO}
    path = save(tmp_path / "m.pt2", Resize(), (torch.randn(2, 3, 16, 16),), dynamic_shapes={"x": dims})
    assert_computes_as_torch_loads(path, torch.randn(3, 3, 20, 18))


def test_loads_tied_and_half_precision_weights(tmp_path: Path) -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = torch.nn.Linear(4, 4).to(torch.bfloat16)
            self.second = torch.nn.Linear(4, 4).to(torch.bfloat16)
            self.second.weight = self.first.weight
            self.register_buffer("empty", torch.empty(0))
            self.register_buffer("view", torch.arange(12.0).reshape(3, 4).t())

        def forward(self, x: torch.Tensor) -> Any:
            return self.second(self.first(x)), self.view, self.empty + 1

    path = save(tmp_path / "m.pt2", Tied(), (torch.randn(2, 4, dtype=torch.bfloat16),))
    assert_computes_as_torch_loads(path, torch.randn(2, 4, dtype=torch.bfloat16))
    loaded = load(path).exported
    assert loaded is not None
    assert loaded.state_dict["first.weight"].data_ptr() == loaded.state_dict["second.weight"].data_ptr()


def test_loads_the_layout_of_older_torch(tmp_path: Path) -> None:
    import io

    from torch._export.serde.serialize import serialize

    program = torch.export.export(Net().eval(), (torch.randn(2, 3, 8, 8),))
    artifact = serialize(program)
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("version", "8.20")
        file.writestr("serialized_exported_program.json", artifact.exported_program)
        file.writestr("serialized_state_dict.pt", artifact.state_dict)
        file.writestr("serialized_constants.pt", artifact.constants)
        file.writestr("serialized_example_inputs.pt", artifact.example_inputs)
    x = torch.randn(2, 3, 8, 8)
    loaded = load(path).exported
    assert loaded is not None
    assert torch.equal(loaded.module()(x), program.module()(x))
    evil = io.BytesIO()
    torch.save({"conv.weight": Path}, evil)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (members | {"serialized_state_dict.pt": evil.getvalue()}).items():
            file.writestr(name, data)
    assert "holds more than tensors" in refusal(path)


def test_loads_a_program_after_decomposition(tmp_path: Path) -> None:
    program = torch.export.export(
        torch.nn.Sequential(Net(), torch.nn.BatchNorm2d(4)).eval(), (torch.randn(2, 3, 8, 8),)
    )
    path = tmp_path / "m.pt2"
    torch.export.save(program.run_decompositions(), path)
    assert_computes_as_torch_loads(path, torch.randn(2, 3, 8, 8))


def test_loads_quantize_and_dequantize_operators(tmp_path: Path) -> None:
    from torch.ao.quantization.fx import _decomposed  # noqa: F401

    class Quantized(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            quantized = torch.ops.quantized_decomposed.quantize_per_tensor(x, 0.1, 3, 0, 255, torch.uint8)
            return torch.ops.quantized_decomposed.dequantize_per_tensor(quantized, 0.1, 3, 0, 255, torch.uint8)

    assert_computes_as_torch_loads(save(tmp_path / "m.pt2", Quantized(), (torch.randn(4),)), torch.randn(4))


def test_input_sets_the_measured_size(tmp_path: Path) -> None:
    loaded = load(save_net(tmp_path, dynamic=True), "x=Nx3x8x8,N=1..8@4")
    assert loaded.dims == (DimSpec("N", 1, 8, 4),)
    assert loaded.measured[0][0].shape == (4, 3, 8, 8)


def test_a_plain_size_sets_the_measured_size_too(tmp_path: Path) -> None:
    loaded = load(save_net(tmp_path, dynamic=True), "x=5x3x8x8")
    assert [dim.measured for dim in loaded.dims] == [5]
    assert loaded.measured[0][0].shape == (5, 3, 8, 8)


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("y=1x3x8x8", "has no input 'y'; did you mean|has no input 'y'; there is x"),
        ("x=3x8x8", "x has 3 dimensions, but 4 in this exported program"),
        ("x=2x3x8x8:float16", "x has dtype float16, but float32"),
        ("x=2x3x9x8", "dimension 2 of x is fixed at 8 in this exported program, 9 is asked for"),
        ("x=2x3xHx8,H=8..16", "dimension 2 of x is fixed at 8 in this exported program, H is asked for"),
        ("x=Nx3x8x8,N=1..16", "dimension 0 of x may be 1..8 in this exported program, N=1..16@1 is asked for"),
        ("x=9x3x8x8", "dimension 0 of x may be 1..8 in this exported program, 9 is asked for"),
    ],
)
def test_refuses_an_input_that_the_program_does_not_allow(tmp_path: Path, flag: str, message: str) -> None:
    said = refusal(save_net(tmp_path, dynamic=True), flag)
    assert any(part in said for part in message.split("|")), said


def test_makes_inputs_where_the_file_has_none(tmp_path: Path) -> None:
    program = torch.export.export(Sequence().eval(), (torch.zeros(2, 5, dtype=torch.int64),))
    program._example_inputs = None
    path = tmp_path / "m.pt2"
    torch.export.save(program, path)
    loaded = load(path)
    (ids,) = loaded.measured[0]
    assert (ids.shape, ids.dtype) == ((2, 5), torch.int64)
    assert torch.equal(ids, load(path).measured[0][0])
    assert loaded.exported is not None
    loaded.exported.module()(ids)


def test_refuses_weights_beside_a_pt2(tmp_path: Path) -> None:
    assert "holds its own weights" in refusal(save_net(tmp_path), weights=tmp_path / "w.safetensors")


def test_tells_a_pt2_by_what_is_in_it(tmp_path: Path) -> None:
    renamed = save_net(tmp_path).rename(tmp_path / "net.pt")
    assert load(renamed).exported is not None


@pytest.mark.parametrize("keep", [1, 4, 100, 5000, -1, -30])
def test_refuses_a_file_cut_off_anywhere(tmp_path: Path, keep: int) -> None:
    path = save_net(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    assert "not a whole archive" in refusal(path)


def test_refuses_a_file_with_flipped_bytes(tmp_path: Path) -> None:
    path = save_net(tmp_path)
    data = bytearray(path.read_bytes())
    for index in range(200, len(data), 997):
        changed = bytearray(data)
        changed[index] ^= 0xFF
        path.write_bytes(changed)
        loads_or_says_why(path)


def test_says_what_is_missing_from_an_archive(tmp_path: Path) -> None:
    path = save_net(tmp_path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            if not name.endswith("weight_0"):
                file.writestr(name, data)
    assert "the archive is incomplete, data/weights/weight_0 is missing" in refusal(path)


def test_refuses_another_schema_version_in_one_line(tmp_path: Path) -> None:
    path = save_net(tmp_path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    (name,) = (name for name in members if name.endswith("models/model.json"))
    program = json.loads(members[name])
    program["schema_version"]["major"] = 99
    members[name] = json.dumps(program).encode()
    with zipfile.ZipFile(path, "w") as file:
        for member, data in members.items():
            file.writestr(member, data)
    assert "cannot read this exported program" in refusal(path)


def test_a_program_exported_on_another_device_says_what_to_do(tmp_path: Path) -> None:
    path = save_net(tmp_path)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name).replace(b'"type": "cpu"', b'"type": "cuda"') for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for member, data in members.items():
            file.writestr(member, data)
    assert "exported on cuda: move it to the CPU" in refusal(path)


def test_files_that_are_no_model_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.pt2").write_bytes(b"")
    (tmp_path / "text.pt2").write_text("hello")
    (tmp_path / "text.txt").write_text("hello")
    assert refusal(tmp_path / "missing.pt2").endswith("no such file; give a model file or package.module:factory")
    assert "is a directory" in refusal(tmp_path)
    assert "is empty" in refusal(tmp_path / "empty.pt2")
    assert "not a whole archive" in refusal(tmp_path / "text.pt2")
    assert "not a model that fxopt reads" in refusal(tmp_path / "text.txt")


def test_onnx_is_not_yet_read(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"\x08\x07")
    assert "not yet: .onnx input is planned; export the PyTorch model with torch.export.save" in refusal(
        tmp_path / "m.onnx"
    )
