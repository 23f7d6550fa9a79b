"""Kernels that were never timed, timed in parts of the Program that they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fxopt.contracts.price import Estimate, Piece, Prediction, Priced
from fxopt.ir import shrink
from fxopt.ir.evaluate import run_graph
from fxopt.ir.program import Program
from fxopt.ir.quantized import is_dequantize
from fxopt.ir.samples import sample_inputs
from fxopt.prices import KernelTable, Place, besides
from fxopt.prices.estimate import Roofline
from fxopt.prices.micro import Part, unknown
from fxopt.prices.pieces import piece
from fxopt.prices.predict import Predictor, learn
from fxopt.registry import Registry
from tests.engines.nets import program
from tests.engines.quantized_nets import quantized

HERE = Place("engine", "1", "a CPU", (), 2)
ROOF = Roofline({"float32": 1e11}, 2e10)


class Net(nn.Module):
    """Layers of which two are alike."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.wide, self.last = nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.wide(torch.relu(self.first(x)))
        return self.last(torch.tanh(self.wide(torch.tanh(x))))


NET = program(Net(), torch.randn(1, 4, 16, 16))


def doubtful(kernel: str, milliseconds: float, source: str = "interpolated") -> Priced:
    return Priced(Piece(kernel, {}, (kernel,)), Estimate(milliseconds, 0.2, source))  # type: ignore[arg-type]


def test_what_leaves_most_in_doubt_is_timed_first_and_once() -> None:
    pieces = (doubtful("a", 2), doubtful("b", 3), doubtful("a", 2), doubtful("c", 9, "profile"), doubtful("d", 1))
    prediction = Prediction(17, 0.1, pieces)
    assert [item.kernel for item in unknown(prediction, 2)] == ["a", "b"]
    assert [item.kernel for item in unknown(prediction, 5, known={"a"})] == ["b", "d"]


def around(net: Program, *names: str) -> tuple[Part, Prediction]:
    found = Predictor(KernelTable(Path(":memory:")), HERE, ROOF).predict(net)
    wanted = [item.piece for item in found.pieces if set(names) & set(item.piece.nodes)]
    return Part.around(net, found.pieces, wanted), found


def test_a_part_holds_what_makes_the_inputs_and_what_reads_the_outputs() -> None:
    part, _ = around(NET, "tanh")
    calls = [node.name for node in part.program.calls if not node.name.startswith("read_besides")]
    assert calls == ["conv2d_1", "tanh", "conv2d_2"]
    assert part.wanted == {"tanh"}


def test_a_part_reads_as_many_bytes_besides_as_the_rest_of_the_network_holds_but_no_more_than_caches_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part, _ = around(NET, "tanh")
    (more,) = (item for item in part.program.interface.inputs if item.name == "read_besides")
    first = next(part.program.calls)
    assert first.args[0] is part.program.node("read_besides")
    first_and_last = 8 * 4 * 9 + 8 + 2 * 8 * 9 + 2
    whole_at_relu, part_at_first = 2 * 8 * 14 * 14, 8 * 14 * 14 + 8 * 12 * 12
    assert more.shape == (first_and_last + whole_at_relu - part_at_first,)
    monkeypatch.setattr(besides, "_MOST_BYTES", 64)
    part, _ = around(NET, "tanh")
    assert part.program.interface.inputs[-1].shape == (16,)


def test_what_a_part_reads_besides_changes_none_of_its_values() -> None:
    whole, _ = around(NET, "tanh")
    alone, inputs = shrink.part(NET, ["conv2d_1", "tanh", "conv2d_2"], shrink.seen_values(NET, sample_inputs(NET)))
    more = torch.randn(whole.program.interface.inputs[-1].shape)
    *values, most = run_graph(whole.program.graph, whole.program.attributes, [*inputs, more])
    assert most == more.amax()
    for value, expected in zip(values, run_graph(alone.graph, alone.attributes, inputs), strict=True):
        assert torch.equal(value, expected)


def test_of_a_part_only_the_wanted_pieces_are_learnt(tmp_path: Path) -> None:
    part, foretold = around(NET, "tanh")
    kernels = [{"covers": [node.name], "ms": 0.5} for node in part.program.calls]
    table = KernelTable(tmp_path / "kernels.sqlite")
    part.learn(table, HERE, kernels)
    wanted = next(item.piece for item in foretold.pieces if item.piece.nodes == ("tanh",))
    (kernel,) = table.prices(HERE)
    assert kernel == wanted.kernel
    assert table.prices(HERE)[kernel].source == "micro"
    after = Predictor(table, HERE, ROOF).predict(NET)
    sources = {name: item.estimate.source for item in after.pieces for name in item.piece.nodes}
    assert sources["tanh"] == "micro"
    assert sources["conv2d"] != "micro"
    table.close()


def test_of_several_profiles_each_piece_has_its_least_time_whatever_the_order_of_kernels(tmp_path: Path) -> None:
    part, _ = around(NET, "tanh")
    profiles = [
        [{"covers": [node.name], "ms": ms + place} for place, node in enumerate(part.program.calls)]
        for ms in (0.5, 0.25)
    ]
    table = KernelTable(tmp_path / "kernels.sqlite")
    part.learn(table, HERE, profiles[0], [*reversed(profiles[1])])
    place = [node.name for node in part.program.calls].index("tanh")
    assert place > 0
    assert [round(price.milliseconds, 6) for price in table.prices(HERE).values()] == [0.25 + place]
    table.close()


def test_what_was_timed_in_a_build_counts_more_than_in_a_part(tmp_path: Path) -> None:
    part, _ = around(NET, "tanh")
    table = KernelTable(tmp_path / "kernels.sqlite")
    part.learn(table, HERE, [{"covers": [node.name], "ms": 0.5} for node in part.program.calls])
    learn(table, HERE, NET, [{"covers": [node.name], "ms": 0.25} for node in NET.calls])
    assert {round(price.milliseconds, 6) for price in table.prices(HERE).values()} == {0.25}
    table.close()


def test_a_piece_on_integers_is_the_same_in_a_part() -> None:
    scheme = Registry.load().engines["onnxruntime"].quant_scheme
    assert scheme is not None
    net, *_ = quantized("depthwise separable", scheme)
    depthwise = next(node for node in net.calls if node.args[-1] == 32)
    part, _ = around(net, depthwise.name)
    assert is_dequantize(part.program.node(depthwise.name).all_input_nodes[0])
    assert piece(part.program, [depthwise.name]).kernel == piece(net, [depthwise.name]).kernel


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_times_the_kernels_that_are_asked_for(engine: str, tmp_path: Path) -> None:
    from fxopt.prices.builds import Builder

    registry = Registry.load()
    if engine not in registry.engines or registry.engines[engine].available() is not None:
        pytest.skip(f"{engine} is not installed")
    made = registry.make_engine(engine)
    place = Place.of(made, registry.make_target("cpu").machine())
    table = KernelTable(tmp_path / "kernels.sqlite")
    with Builder() as builder:
        found = Predictor(table, place, ROOF).predict(NET)
        part = Part.around(NET, found.pieces, unknown(found, 2))
        with builder.build(made, part.program) as build:
            part.learn(table, place, build.kernels(made))
    assert table.prices(place)
    assert {price.source for price in table.prices(place).values()} == {"micro"}
    table.close()
