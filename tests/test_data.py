"""Data for `--calib` and its like: what may be given, how it is cut, and what is said of what does not fit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fxopt.data import BATCH, Data
from fxopt.errors import InputError
from fxopt.ir.capture import capture, export
from fxopt.ir.interface import Dim, Input, Interface

SOURCE = """
import numpy as np
import torch

def dicts():
    for size in (3, 1):
        yield {"x": np.ones((size, 4), np.float32), "labels": np.arange(size)}

def tensors(): return [torch.ones(3, 4), torch.ones(1, 4)]
def tuples(): yield (torch.ones(3, 4),)
def labelled(): yield torch.ones(3, 4), torch.arange(3)
loader = tensors()

def number(): return 4
def fails():
    yield torch.ones(3, 4)
    raise ZeroDivisionError("by design")
def nothing(): yield from ()
"""


def arguments(count: int) -> dict[str, Any]:
    return {"tuple": [{"tuple": [{"leaf": index} for index in range(count)]}, {"dict": {}}]}


def interface(*inputs: Input, dims: tuple[Dim, ...] = (Dim("N", 1, 64, 1),)) -> Interface:
    names = tuple(item.name for item in inputs)
    return Interface(inputs, ("y",), dims, names, arguments(len(names)), {"leaf": 0})


def one(first: int | str = "N", dims: tuple[Dim, ...] = (Dim("N", 1, 64, 1),)) -> Interface:
    """A model of one input x of shape (first, 4)."""
    return interface(Input("x", (first, 4), "float32"), dims=dims if isinstance(first, str) else ())


TWO = interface(
    Input("x", ("N", 4), "float32"), Input("ids", ("N", "L"), "int64"), dims=(Dim("N", 1, 8, 1), Dim("L", 1, None, 7))
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "feed.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("feed", None)


def npz(**arrays: Any) -> str:
    np.savez("d.npz", **arrays)
    return "d.npz"


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def spoilt(row: int) -> np.ndarray[Any, Any]:
    """Three samples, and NaN in one of them."""
    values = floats(3, 4)
    values[row, 1] = np.nan
    return values


def refusal(source: Any, wanted: Interface | None = None) -> str:
    with pytest.raises(InputError) as caught:
        Data.read(source, wanted or one(), "calib")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sizes(data: Data) -> list[int]:
    return [batch.inputs[0].shape[0] for batch in data.batches()]


# -- what may be given -------------------------------------------------------------------------------------------


def test_an_npz_gives_inputs_in_the_order_of_the_model_and_labels() -> None:
    x, ids = floats(5, 4), np.arange(15).reshape(5, 3)
    data = Data.read(npz(labels=np.arange(5), ids=ids, x=x, unused=np.zeros(2)), TWO, "calib")
    (batch,) = data.batches()
    assert batch.inputs[0].equal(torch.from_numpy(x))
    assert batch.inputs[1].equal(torch.from_numpy(ids))
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1, 2, 3, 4]
    assert (data.path, data.samples) == ("d.npz", 5)


@pytest.mark.parametrize(
    ("source", "expected", "labelled"),
    [
        ("feed:dicts", [3, 1], True),
        ("feed:tensors", [3, 1], False),
        ("feed:tuples", [3], False),
        ("feed:labelled", [3], True),
        ("feed:loader", [3, 1], False),
    ],
)
def test_a_function_of_the_user_yields_batches(source: str, expected: list[int], labelled: bool) -> None:
    data = Data.read(source, one(), "calib")
    assert sizes(data) == sizes(data) == expected
    assert all((batch.labels is not None) == labelled for batch in data.batches())
    assert data.path == source


@pytest.mark.parametrize(
    "source",
    [
        lambda: iter([torch.ones(3, 4)]),
        [torch.ones(3, 4)],
        iter([torch.ones(3, 4)]),
        ({"x": np.ones((3, 4), np.float32)} for _ in range(1)),
        torch.ones(3, 4),
        {"x": np.ones((3, 4), np.float32)},
        Path("d.npz"),
    ],
)
def test_from_python_objects_will_do_as_well(source: Any) -> None:
    npz(x=np.ones((3, 4), np.float32))
    data = Data.read(source, one(), "calib")
    assert [batch.inputs[0].tolist() for batch in data.batches()] == [[[1.0] * 4] * 3]
    assert sizes(data) == [3]  # also at the second time


def test_two_inputs_in_order_are_not_taken_for_labels() -> None:
    x, ids = torch.ones(3, 4), torch.ones(3, 2, dtype=torch.int64)
    for batch, labels in [((x, ids), None), (((x, ids), torch.arange(3)), [0, 1, 2])]:
        (found,) = Data.read([batch], TWO, "calib").batches()
        assert len(found.inputs) == 2
        assert (found.labels.tolist() if found.labels is not None else None) == labels


def test_inputs_go_by_the_names_of_arguments_or_of_the_graph() -> None:
    class Net(torch.nn.Module):
        def forward(self, input: Any, pair: Any, *, type: Any) -> Any:  # noqa: A002 - names that torch.export changes
            return input + pair[0] + pair[1] + type

    x = torch.ones(2, 4)
    taken = capture(export(Net(), (x, (x, x)), {"type": x}), names=["input", "pair"]).interface
    assert taken.argument_names == ["input", "pair_0", "pair_1", "type"]
    for batch in ({"input": x, "type": x}, {"input_1": x, "type_1": x}):
        (found,) = Data.read(batch | {"pair_0": 2 * x, "pair_1": 3 * x}, taken, "calib").batches()
        assert [int(value.mean()) for value in found.inputs] == [1, 2, 3, 1]
    assert "input type is missing" in refusal({"input": x, "pair_0": x, "pair_1": x}, taken)


# -- how it is cut -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "low", "high", "count", "expected"),
    [
        ("N", 1, 64, 2 * BATCH + 3, [BATCH, BATCH, 3]),
        ("N", 1, None, BATCH + 1, [BATCH, 1]),
        ("N", 1, 4, 6, [4, 2]),
        ("N", 2, 4, 5, [3, 2]),  # a rest of 1 would be too little
        ("N", 40, 64, 80, [40, 40]),
        (1, 0, 0, 2, [1, 1]),
        (32, 0, 0, 64, [32, 32]),
    ],
)
def test_samples_are_cut_to_batches_that_the_model_takes(
    first: int | str, low: int, high: int | None, count: int, expected: list[int]
) -> None:
    x = floats(count, 4)
    data = Data.read(npz(x=x), one(first, (Dim("N", low, high, 1),)), "calib")
    assert sizes(data) == expected
    assert torch.cat([batch.inputs[0] for batch in data.batches()]).equal(torch.from_numpy(x))


@pytest.mark.parametrize(
    ("first", "low", "high", "count", "expected"),
    [
        ("N", 1, 64, 7, [3, 3, 1]),
        ("N", 8, 64, 16, [8, 8]),
        ("N", 3, 64, 5, [5]),  # of 3 or 4, two would be left
        (6, 0, 0, 6, [6]),
    ],
)
def test_batches_can_be_asked_to_be_small(
    first: int | str, low: int, high: int | None, count: int, expected: list[int]
) -> None:
    x = floats(count, 4)
    data = Data.read(npz(x=x), one(first, (Dim("N", low, high, 1),)), "calib")
    assert [batch.samples for batch in data.batches(3)] == expected
    assert torch.cat([batch.inputs[0] for batch in data.batches(3)]).equal(torch.from_numpy(x))


def test_labels_are_cut_with_their_samples() -> None:
    data = Data.read(npz(x=floats(4, 4), labels=np.arange(4)), one(2), "eval")
    assert [batch.labels.tolist() for batch in data.batches() if batch.labels is not None] == [[0, 1], [2, 3]]


@pytest.mark.parametrize(("first", "low", "high", "count"), [(4, 0, 0, 6), ("N", 4, 5, 7), ("N", 2, 8, 1)])
def test_samples_that_do_not_fill_batches_are_not_dropped(first: int | str, low: int, high: int, count: int) -> None:
    said = refusal(npz(x=floats(count, 4)), one(first, (Dim("N", low, high, low),)))
    assert said.startswith(f"d.npz: {count} samples do not make batches of")


# -- a part of it ------------------------------------------------------------------------------------------------


def test_a_part_has_its_samples_and_their_labels_in_order() -> None:
    x = floats(40, 4)
    part = Data.read(npz(x=x, labels=np.arange(40)), one(), "eval").part([33, 2, 5, 2])
    (batch,) = part.batches()
    assert (part.samples, batch.samples) == (3, 3)
    assert batch.inputs[0].equal(torch.from_numpy(x[[2, 5, 33]]))
    assert batch.labels is not None
    assert batch.labels.tolist() == [2, 5, 33]


def test_a_part_crosses_the_batches_of_its_source_and_can_be_parted_again() -> None:
    source = [torch.full((3, 4), 1.0), torch.full((2, 4), 2.0), torch.full((3, 4), 3.0)]
    part = Data.read(source, one(), "eval").part([1, 2, 7])
    assert [batch.inputs[0][:, 0].tolist() for batch in part.batches()] == [[1, 1], [3]]
    assert [batch.inputs[0][:, 0].tolist() for batch in part.part([2]).batches()] == [[3]]


def test_a_part_that_does_not_fill_a_fixed_batch_is_filled_up_by_its_last_sample() -> None:
    x = floats(8, 4)
    part = Data.read(npz(x=x, labels=np.arange(8)), one(4), "eval").part([0, 1, 2, 3, 6])
    first, second = part.batches()
    assert (first.samples, second.samples) == (4, 1)
    assert second.inputs[0].equal(torch.from_numpy(x[[6, 6, 6, 6]]))
    assert second.labels is not None
    assert second.labels.tolist() == [6]


def test_parts_have_digests_of_their_own() -> None:
    data = Data.read(npz(x=floats(4, 4)), one(), "eval")
    assert len({data.digest, data.part([0]).digest, data.part([1]).digest}) == 3
    assert data.part([0, 1]).digest == data.part([1, 0]).digest


def test_a_part_without_samples_is_refused() -> None:
    with pytest.raises(InputError, match=r"d\.npz: no sample is left"):
        Data.read(npz(x=floats(4, 4)), one(), "eval").part([])


def test_sample_digests_follow_the_inputs_alone() -> None:
    x = floats(5, 4)
    x[3] = x[0]
    digests = Data.read(npz(x=x, labels=np.arange(5)), one(), "eval").sample_digests()
    assert digests[3] == digests[0]
    assert len(set(digests)) == 4
    assert Data.read([torch.from_numpy(x[:2]), torch.from_numpy(x[2:])], one(), "eval").sample_digests() == digests
    assert Data.read(npz(x=x), one(1), "eval").sample_digests() == digests


# -- its digest --------------------------------------------------------------------------------------------------


def digest(wanted: Interface | None = None, **arrays: Any) -> str:
    return Data.read(npz(**arrays), wanted or one(), "calib").digest


def test_the_digest_follows_the_contents() -> None:
    x, labels = floats(4, 4), np.arange(4)
    same = digest(x=x)
    assert digest(x=x, unused=labels) == same
    assert digest(one(2), x=x) == same  # the model's batch does not matter
    np.savez_compressed("other.npz", x=x)
    assert Data.read("other.npz", one(), "calib").digest == same
    assert Data.read({"x": torch.from_numpy(x)}, one(), "calib").digest == same
    others = {digest(x=-x), digest(x=x[:3]), digest(x=x, labels=labels), digest(x=x, labels=labels[::-1])}
    assert len(others | {same}) == 5


# -- what does not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": floats(3, 4)}, "d.npz: input x is missing; there is y"),
        ({"x": floats(3, 5)}, "d.npz: input x: axis 1 is 5, expected 4 of float32[N, 4]"),
        ({"x": floats(4)}, "d.npz: input x: expected float32[N, 4], got 1 axes"),
        ({"x": np.ones((3, 4))}, "d.npz: input x: expected float32[N, 4], got float64[3, 4]"),
        ({"x": np.float32(1)}, "d.npz: x is a single number; its first axis must be the sample"),
        ({"x": floats(3, 4), "labels": np.arange(2)}, "d.npz: labels has 2 samples, but x has 3"),
        ({"x": np.array([["a"] * 4])}, "d.npz: x has dtype <U1"),
        ({"x": np.array([[None] * 4])}, "array x cannot be read as plain numbers"),
        ({"x": floats(0, 4)}, "d.npz holds no samples"),
        ({"x": spoilt(2)}, "d.npz: input x holds NaN (sample 3); mend or leave out such samples"),
        ({}, "d.npz: input x is missing"),
    ],
)
def test_an_npz_that_does_not_fit_is_refused_with_the_place(arrays: dict[str, Any], message: str) -> None:
    assert message in refusal(npz(**arrays))


def test_a_missing_input_suggests_the_nearest_array() -> None:
    wanted = interface(Input("image", ("N", 4), "float32"))
    assert "input image is missing; did you mean 'images'?" in refusal(npz(images=floats(3, 4), z=floats(3)), wanted)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("feed:number", "feed:number: expected batches, got a int"),
        ("feed:fails", "feed:fails failed: ZeroDivisionError: by design (at "),
        ("feed:nothing", "feed:nothing holds no samples"),
        ("feed:dict", "feed has no 'dict'; did you mean 'dicts'?"),
        ("fed:dicts", "there is no module 'fed'"),
        ("missing.npz", "missing.npz: no such file; give an .npz or module:function"),
        ([(torch.ones(3, 4), None, None)], "calib: batch 1: 3 inputs; the model takes x"),
        ([torch.ones(3, 4), torch.ones(3, 5)], "calib: batch 2: input x: axis 1 is 5"),
        ([{"x": [1.0] * 4}], "calib: batch 1: x is a list, not an array or a tensor"),
        ([], "calib holds no samples"),
        (7, "calib: expected batches, got a int"),
    ],
)
def test_other_sources_that_do_not_fit_are_refused_with_the_place(source: Any, message: str) -> None:
    assert message in refusal(source)


def test_inputs_of_different_first_axes_take_no_samples() -> None:
    wanted = interface(Input("x", (2, 4), "float32"), Input("y", (3, 4), "float32"), dims=())
    assert "begin with axes of different sizes" in refusal(npz(x=floats(6, 4), y=floats(6, 4)), wanted)


class Payload:
    """Leaves a trace where it is unpickled."""

    def __reduce__(self) -> Any:
        return Path("trace").touch, ()


@pytest.mark.parametrize("place", ["file", "array", "unused array"])
def test_nothing_is_unpickled(place: str) -> None:
    planted = np.array([Payload()], dtype=object)
    if place == "file":
        planted.dump("d.npz")
    else:
        npz(**{"x" if place == "array" else "z": planted})
    refusal("d.npz")
    assert not Path("trace").exists()


@pytest.mark.parametrize("keep", [10, 200, 400])
def test_a_truncated_npz_is_refused(keep: int) -> None:
    path = Path(npz(x=floats(30, 4)))
    path.write_bytes(path.read_bytes()[:keep])
    assert "d.npz: not an .npz; save one with numpy.savez('d.npz', x=...)" in refusal("d.npz")


def test_a_damaged_array_is_refused_by_name() -> None:
    path = Path(npz(x=floats(30, 4)))
    content = bytearray(path.read_bytes())
    content[300] ^= 255
    path.write_bytes(content)
    assert "d.npz: array x cannot be read as plain numbers" in refusal("d.npz")


def test_a_bare_array_is_not_an_npz() -> None:
    np.save("d.npy", floats(3, 4))
    assert "d.npy: a single array without a name, not an .npz; save one with numpy.savez('d.npz', x=...)" in refusal(
        "d.npy"
    )
