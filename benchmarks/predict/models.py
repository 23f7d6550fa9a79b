"""The networks whose latencies are foretold, by family; some also in narrower copies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks import by_model
from benchmarks.models import Model, bert, build, define_torchvision_operators, randomize, timm_model


def tiny() -> Model:
    """To see that the benchmark runs."""
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return randomize(nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(5)), (torch.randn(1, 3, 16, 16),))


def _timm(name: str, **options: object) -> Callable[[], Model]:
    return lambda: timm_model(name, **options)


def _narrow_mixer() -> Model:
    """Three quarters of the channels of `mixer_s32_224`, of which timm lets nobody choose."""
    define_torchvision_operators()
    from timm.models.mlp_mixer import MlpMixer

    net = MlpMixer(img_size=224, patch_size=32, num_blocks=8, embed_dim=384)
    return randomize(net, (torch.randn(1, 3, 224, 224),))


_NARROW_RESNET = (48, 96, 192, 384)
# Families; in each the models, and of each its copies: `full`, and one of fewer channels.
FAMILIES: dict[str, dict[str, dict[str, Callable[[], Model]]]] = {
    "CNN": {
        "resnet18": {"full": _timm("resnet18"), "narrow": _timm("resnet18", channels=_NARROW_RESNET)},
        "resnet50": {"full": _timm("resnet50"), "narrow": _timm("resnet50", channels=_NARROW_RESNET)},
        "densenet121": {"full": _timm("densenet121")},
        "regnety_004": {"full": _timm("regnety_004")},
        "repvgg_a0": {"full": lambda: build("repvgg_a0")},
    },
    "mobile": {
        "mobilenetv2": {"full": _timm("mobilenetv2_100"), "narrow": _timm("mobilenetv2_050")},
        "mobilenetv3_large": {"full": _timm("mobilenetv3_large_100"), "narrow": _timm("mobilenetv3_large_075")},
        "mnasnet": {"full": _timm("mnasnet_100"), "narrow": _timm("mnasnet_050")},
        "efficientnet_b0": {"full": _timm("efficientnet_b0")},
    },
    "ViT": {
        "vit_tiny_patch16": {
            "full": _timm("vit_tiny_patch16_224"),
            "narrow": _timm("vit_tiny_patch16_224", embed_dim=128, num_heads=2),
        },
        "vit_small_patch32": {"full": _timm("vit_small_patch32_224")},
        "mixer_s32": {"full": _timm("mixer_s32_224"), "narrow": _narrow_mixer},
    },
    "BERT": {
        "bert": {"full": bert, "narrow": lambda: bert(width=192)},
        "bert_eager": {"full": lambda: bert("eager")},
    },
    by_model.TINY: {by_model.TINY: {"full": tiny}},
}
FROM = {
    "CNN": "ViT",
    by_model.TINY: by_model.TINY,
}  # whose builds are known where a family is foretold; else those of CNNs
FAMILY_OF = {model: family for family, models in FAMILIES.items() for model in models}
NAMES = [model for model in FAMILY_OF if model != by_model.TINY]
