"""The architectures that benchmarks and tests run on: `build("resnet50")` gives the module and example inputs.

Weights are random but plausible, and the same each time; those of `mobilenet_v2` and `efficientnet_lite0` are trained.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from examples import mobilenet_v2
from examples.assets import fetch

Model = tuple[nn.Module, tuple[Tensor, ...]]


def build(name: str) -> Model:
    """The named architecture in evaluation mode, and example inputs of batch 1.

    Raises:
        KeyError: the name is not in `MODELS`.
        AssetUnavailable: its trained weights cannot be had.
    """
    torch.manual_seed(0)
    return MODELS[name]()


def timm_model(name: str, size: int = 224, **options: object) -> Model:
    """An architecture of timm's with random weights; `options` are timm's, as for other widths."""
    define_torchvision_operators()
    import timm

    return randomize(timm.create_model(name, pretrained=False, **options), (torch.randn(1, 3, size, size),))


def trained_mobilenet_v2() -> Model:
    """18 of the 20 photographs right."""
    module, inputs = mobilenet_v2.network()
    module.load_state_dict(torch.load(fetch("mobilenet_v2"), weights_only=True))
    return module, inputs


def trained_efficientnet_lite0() -> Model:
    """17 of the 20 photographs right; input (x - 127) / 128."""
    module, inputs = timm_model("tf_efficientnet_lite0")
    weights = torch.load(fetch("efficientnet_lite0"), weights_only=True)
    # Both register their layers in the order of execution, under other names.
    names = module.state_dict().keys()
    module.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    return module, inputs


class Bert(nn.Module):
    """A BERT encoder with separate query, key and value projections: token ids (N, T) to hidden states (N, T, C)."""

    def __init__(self, attention: str = "sdpa", layers: int = 4, width: int = 256) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=1000,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            intermediate_size=4 * width,
            attn_implementation=attention,
        )
        self.encoder = BertModel(config, add_pooling_layer=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.encoder(tokens).last_hidden_state


def bert(attention: str = "sdpa", width: int = 256) -> Model:
    """A small BERT on 128 tokens."""
    define_torchvision_operators()
    return randomize(Bert(attention, width=width), (torch.randint(0, 1000, (1, 128)),))


def randomize(module: nn.Module, inputs: tuple[Tensor, ...]) -> Model:
    """Give normalisations and layer scales values as training leaves them, so that folding them changes something."""
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
        for name, parameter in module.named_parameters():
            if name.endswith("gamma"):  # LayerScale, which starts near zero
                parameter.uniform_(0.1, 1)
        if norms:
            # Statistics of what really comes by: made-up ones let the activations of a deep network grow to 1e13.
            module.eval()
            for norm in norms:
                norm.momentum = None
                norm.train()
            module(*inputs)
    return module.eval(), inputs


def define_torchvision_operators() -> None:
    """Let torchvision be imported beside a torch that its compiled operators do not fit.

    Its wheels are built for CUDA: beside the CPU build of torch its library does not load, and the import fails where
    it registers fake kernels for two operators that are then not there. Nothing here calls them.
    """
    if _torchvision:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _torchvision.append(library)


_torchvision: list[torch.library.Library] = []  # operators go when the library object that defined them does

MODELS: dict[str, Callable[[], Model]] = {
    "mobilenet_v2": trained_mobilenet_v2,
    "efficientnet_lite0": trained_efficientnet_lite0,
    "resnet50": lambda: timm_model("resnet50"),
    "convnext_tiny": lambda: timm_model("convnext_tiny"),
    "vit_tiny_patch16_224": lambda: timm_model("vit_tiny_patch16_224"),
    "repvgg_a0": lambda: timm_model("repvgg_a0"),  # its training form, with parallel branches
    "inception_v3": lambda: timm_model("inception_v3", 299),
    "bert": bert,
    "bert_eager": lambda: bert("eager"),
}
