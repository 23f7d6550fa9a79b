"""The benchmark of quantization: samples that are apart, what is kept once, and a whole run on a tiny net."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import bench_quantize, by_model
from benchmarks.quantize import data
from benchmarks.quantize.networks import Demosaic, VisionTransformer
from benchmarks.quantize.peers import THREADS, Peer, peers
from benchmarks.quantize.quality import digest
from benchmarks.quantize.store import Store
from fxopt.contracts.target import Machine

SIDE = 64


@pytest.mark.parametrize(
    ("isa", "kind"),
    [
        (("avx2",), "no_vnni"),
        (("avx2", "avx512_vnni"), "vnni"),
        (("avx2", "avx_vnni"), "vnni"),
        (("asimddp",), "vnni"),
        (("avx512_vnni", "amx_int8"), "amx"),
    ],
)
def test_figures_of_cpus_with_and_without_dot_products_stand_apart(isa: tuple[str, ...], kind: str) -> None:
    machine = Machine("a CPU", isa, 2, 1)
    assert by_model.result("quantize", machine).name == f"quantize_{kind}.json"


def test_what_is_too_small_to_be_worth_keeping_is_not_kept_beside_the_figures() -> None:
    with pytest.raises(SystemExit):
        bench_quantize.main(["--smoke"])


@pytest.fixture
def twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty photographs, each of one grey level: its number."""
    made = tuple(np.full((SIDE, SIDE, 3), number, np.uint8) for number in range(20))
    monkeypatch.setattr(data, "photographs", lambda: made)


@pytest.mark.usefixtures("twenty")
def test_no_photograph_is_in_two_sets() -> None:
    seen = {role: set(np.unique(data.crops(data.PHOTOGRAPHS[role], 40))) for role in data.ROLES}
    assert seen == {role: set(numbers) for role, numbers in data.PHOTOGRAPHS.items()}
    assert not seen["calib"] & seen["search"]
    assert not (seen["calib"] | seen["search"]) & seen["report"]


def test_crops_are_shared_out_evenly_and_none_is_lost() -> None:
    shares = data.shares(256, range(6))
    assert sum(shares.values()) == 256
    assert max(shares.values()) - min(shares.values()) == 1


@pytest.mark.usefixtures("twenty")
def test_crops_are_the_same_each_time_and_fewer_are_the_first() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    first, again = (data.resized_crop(crop, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (224, 224, 3)


@pytest.mark.usefixtures("twenty")
def test_image_sets_can_be_gone_through_again() -> None:
    split = data.images([0.0], [1.0], 6, 4, 20)
    once, again = (torch.cat(list(split.report())) for _ in range(2))
    assert once.shape == (20, 3, 224, 224)
    assert torch.equal(once, again)


def test_samples_in_memory_are_split_in_order_and_only_evaluation_has_labels() -> None:
    values = torch.arange(50.0)[:, None]
    split = data.in_order(values, torch.arange(50), 20, 17, 13)
    calib = torch.cat(list(split.calib()))
    search, report = (tuple(map(torch.cat, zip(*samples(), strict=True))) for samples in (split.search, split.report))
    assert calib[:, 0].tolist() == list(range(20))
    assert search[0][:, 0].tolist() == search[1].tolist() == list(range(20, 37))
    assert report[1].tolist() == list(range(37, 50))


def test_a_bayer_mosaic_has_one_colour_a_pixel_and_green_twice() -> None:
    seen = data.bayer(torch.ones(1, 3, 4, 4))
    assert torch.equal(seen.sum(1), torch.ones(1, 4, 4))
    assert seen.sum((0, 2, 3)).tolist() == [4, 8, 4]


def test_a_demosaicked_picture_lies_in_the_middle_of_the_mosaic() -> None:
    net = Demosaic().eval()
    with torch.no_grad():
        assert net(torch.rand(1, 3, 80, 96)).shape == (1, 3, 80 - 2 * Demosaic.BORDER, 96 - 2 * Demosaic.BORDER)
        for layer in net.modules():  # with the learned part off, what comes out is the mosaic's middle
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.zero_()
                layer.bias.zero_()
        for channel in range(3):
            net.fullres_processor.post_conv.weight[channel, channel, 1, 1] = 1
            net.fullres_processor.output.weight[channel, channel] = 1
        mosaic = torch.rand(1, 3, 80, 80)
        border = Demosaic.BORDER
        assert torch.equal(net(mosaic), mosaic[..., border:-border, border:-border])


def test_the_transformer_learns_where_a_patch_is() -> None:
    torch.manual_seed(0)
    net = VisionTransformer().eval()
    x = torch.zeros(1, 1, 28, 28)
    x[..., :7, :7] = 1
    with torch.no_grad():
        assert net(x).shape == (1, 10)
        assert not torch.allclose(net(x), net(x.flip(-1)))


def test_mails_lose_headers_and_markup() -> None:
    mail = "From: a@b\nX-Spam: yes\nSubject: Cheap clips\nTo: c\n\n<html><b>Buy</b>\n now</html>"
    assert data.content(mail) == "Cheap clips Buy now"


def test_a_peer_runs_with_the_threads_of_the_benchmark() -> None:
    assert Peer("a", "onnxruntime").spec() == f"onnxruntime{{threads={THREADS}}}"
    assert Peer("b", "openvino{precision=bf16}").spec() == f"openvino{{precision=bf16,threads={THREADS}}}"


def test_weights_of_seven_bits_are_among_the_peers_where_eight_may_saturate() -> None:
    def recipes(isa: tuple[str, ...]) -> set[str | None]:
        return {peer.recipe for peer in peers(Machine("cpu", isa, 2, 0))}

    assert {"static_u8s8_reduced", "x86_reduced"} <= recipes(("avx2",))
    assert not {"static_u8s8_reduced", "x86_reduced"} & recipes(("avx2", "avx512_vnni"))


def test_what_may_be_lost_is_said_by_a_peer_that_quantizes_all_it_can() -> None:
    class Lost:
        def __init__(self, drop: float) -> None:
            self.drop = drop

    contest = object.__new__(bench_quantize.Contest)
    contest.task = data_task = bench_quantize.task("mobilenet_v2")
    contest.peers = [
        Peer("static", "e", "static"),
        Peer("better", "e", "nncf"),
        Peer("part", "e", "dynamic", whole=False),
    ]
    contest.int8 = [peer.name for peer in contest.peers]
    drops = {"static": 0.05, "better": 0.035, "part": 0.001}
    found = contest._limit({name: {data_task.metric: Lost(drop)} for name, drop in drops.items()})
    assert str(found) == "3.5pt"


def test_the_store_makes_once_and_keeps_nothing_half_made(tmp_path: Path) -> None:
    store, made = Store(tmp_path / "store"), []

    def make() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"x": torch.arange(3)}

    def fail(draft: Path) -> None:
        draft.mkdir()
        (draft / "half").touch()
        raise RuntimeError("broke")

    assert torch.equal(store.arrays(("a", 1), make)["x"], torch.arange(3))
    store.arrays(("a", 1), make)
    assert len(made) == 1
    with pytest.raises(RuntimeError, match="broke"):
        store.folder(("b",), fail)
    assert len(list((tmp_path / "store").iterdir())) == 1


def test_an_unknown_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_quantize.main(["lenet6"])
    assert "unknown model 'lenet6'" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.serial
def test_smoke_judges_and_measures_all_and_keeps_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "quantize.json"
    out.write_text(json.dumps({"benchmark": "quantize", "models": {"lenet5": {"title": "LeNet5"}}}))
    bench_quantize.main(["--smoke", "--out", str(out), "--cache", str(tmp_path / "cache")])
    models = json.loads(out.read_text())["models"]
    assert list(models) == ["lenet5", "tiny"]
    tiny = models["tiny"]
    rows = {row["name"]: row for row in tiny["variants"]}
    assert rows["ONNX Runtime"]["quality"]["top1"]["drop"]["estimate"] == 0
    assert rows["ONNX Runtime"]["kept"]
    static = rows["ONNX Runtime U8S8"]
    assert static["latency_ms"]["estimate"] > 0
    assert static["quality"]["kl"]["candidate"] > 0  # it was quantized
    assert static["size_bytes"] < rows["ONNX Runtime"]["size_bytes"]
    assert tiny["peers_kept"] <= tiny["peers"]
    assert {"ONNX Runtime", "OpenVINO f32"} <= tiny["on_one_thread"].keys() <= rows.keys()
    assert "Inductor" not in tiny["on_one_thread"]  # its threads are compiled in
    for label in bench_quantize.FXOPT:
        assert rows[label]["kept"], rows[label]["note"]
        assert tiny["runs"][label]["peak_rss_bytes"] > 0


def test_the_stamp_of_a_check_makes_no_other_artifact(tmp_path: Path) -> None:
    for name, weights in (("stamped", b"1"), ("plain", b"1"), ("other", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_bytes(weights)
    (tmp_path / "stamped" / "checked.json").write_text("{}")
    assert digest(tmp_path / "stamped") == digest(tmp_path / "plain") != digest(tmp_path / "other")
