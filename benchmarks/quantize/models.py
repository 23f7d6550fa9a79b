"""The models of the benchmark: each with its samples, the metric that it is judged by, and what it may lose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks import models
from benchmarks.quantize.data import Split, clothes, digits, images, in_order, mails, mosaics
from benchmarks.quantize.networks import TOKENS, Demosaic, DigitCnn, LeNet5
from benchmarks.quantize.training import MAILS, TRAINED_ON, minilm, vision_transformer
from examples.assets import fetch
from examples.photographs import IMAGENET_DEVIATION, IMAGENET_MEAN

Model = tuple[nn.Module, tuple[Tensor, ...]]


@dataclass(frozen=True)
class Task:
    """One model of the benchmark.

    Attributes:
        title: its name in tables.
        build: gives the module in evaluation mode and example inputs of batch 1.
        data: gives its samples.
        metric: spec of the metric that the budget is about.
        budget: what it may lose, as `--max-drop` takes it; None: what the best int8 peer loses.
        others: specs of metrics that are stated as well.
        trained: whether quality means anything; random weights are there for speed.
    """

    title: str
    build: Callable[[], Model]
    data: Callable[[], Split]
    metric: str = "top1"
    budget: str | None = "0.5pt"
    others: tuple[str, ...] = ()
    trained: bool = True


def _filled(net: nn.Module, asset: str) -> nn.Module:
    net.load_state_dict(torch.load(fetch(asset), map_location="cpu", weights_only=True))
    return net.eval()


def _imagenet(calib: int, search: int, report: int) -> Callable[[], Split]:
    mean, deviation = ([255 * value for value in values] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return lambda: images(mean, deviation, calib, search, report)


def _fashion() -> Split:
    pictures, labels = clothes("train")
    unseen = in_order(pictures[TRAINED_ON:], labels[TRAINED_ON:], 512, 3000, 0)
    return Split(unseen.calib, unseen.search, in_order(*clothes("t10k"), 0, 0, 10_000).report)


def _mails() -> Split:
    tokens, mask, spam = (value[MAILS:] for value in mails())
    return in_order((tokens, mask), spam, 256, 800, 1000)


def _minilm() -> Model:
    tokens = torch.randint(1000, 20_000, (1, TOKENS), generator=torch.Generator().manual_seed(0))
    return minilm(), (tokens, torch.ones(1, TOKENS))


def _digit() -> tuple[Tensor]:
    return (torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0)),)


def _for_speed(title: str, name: str) -> Task:
    """Random weights: the metric only keeps out what is plainly broken."""
    return Task(title, lambda: models.build(name), _imagenet(64, 32, 64), "cosine", "0.1", trained=False)


TASKS = {
    "mobilenet_v2": Task(
        "MobileNetV2",
        lambda: models.build("mobilenet_v2"),
        _imagenet(256, 600, 2000),
        metric="agreement",
        budget=None,
        others=("kl",),
    ),
    "efficientnet_lite0": Task(
        "EfficientNet-Lite0",
        lambda: models.build("efficientnet_lite0"),
        lambda: images([127.0], [128.0], 256, 400, 2000),
        metric="agreement",
        budget=None,
        others=("kl",),
    ),
    "lenet5": Task("LeNet5", lambda: (_filled(LeNet5(), "lenet5"), _digit()), lambda: digits(0, 1, 500, 2000, 2500)),
    "digit_cnn": Task(
        "digit CNN",
        lambda: (_filled(DigitCnn(), "digit_cnn"), _digit()),
        lambda: digits(0.1307, 0.3081, 500, 2000, 2500),
    ),
    "fashion_vit": Task("ViT, Fashion-MNIST", lambda: (vision_transformer(), _digit()), _fashion),
    "demosaicnet": Task(
        "demosaicnet",
        lambda: (_filled(Demosaic(), "demosaicnet"), (torch.rand(1, 3, 128, 128),)),
        lambda: mosaics(64, 64, 200),
        metric="psnr",
        budget="0.3",
    ),
    "minilm": Task("MiniLM, spam", _minilm, _mails),
    "resnet50": _for_speed("ResNet-50, random", "resnet50"),
    "vit_tiny_patch16_224": _for_speed("ViT-Ti, random", "vit_tiny_patch16_224"),
    "convnext_tiny": _for_speed("ConvNeXt-T, random", "convnext_tiny"),
}


def task(name: str) -> Task:
    """The one of `TASKS`, or `"tiny"`.

    Raises:
        KeyError: there is none of that name.
    """
    return tiny() if name == "tiny" else TASKS[name]


def tiny() -> Task:
    """A net that takes seconds, on made-up samples, to see that the benchmark runs."""

    def build() -> Model:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
        return net.eval(), (torch.rand(1, 3, 8, 8),)

    def data() -> Split:
        inputs = torch.rand(96, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            return in_order(inputs, build()[0](inputs).argmax(-1), 16, 40, 40)

    return Task("a tiny net", build, data, budget="20pt", others=("kl",))
