"""The networks of the benchmark that have trained weights, with the parameter names of those who trained them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.models import define_torchvision_operators

TOKENS = 128


class LeNet5(nn.Module):
    """Digits (N, 1, 28, 28) to logits (N, 10), as advertorch has it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.linear1 = nn.Linear(64 * 7 * 7, 200)
        self.linear2 = nn.Linear(200, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.linear2(F.relu(self.linear1(x.flatten(1))))


class DigitCnn(nn.Module):
    """Digits (N, 1, 28, 28) to logits (N, 10), as digit-recognizer-py has it."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.conv_layers = nn.Sequential(*layers)
        self.fc_layers = nn.Sequential(nn.Linear(128 * 3 * 3, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc_layers(self.conv_layers(x).flatten(1))


class Demosaic(nn.Module):
    """Bayer mosaic (N, 3, H, W), 0 where nothing was sensed, to picture (N, 3, H - 62, W - 62).

    Gharbi et al., "Deep Joint Demosaicking and Denoising" (2016), as its authors released it: near the end one half of
    the features multiplies the other.
    """

    BORDER = 31  # pixels lost on each side

    def __init__(self, depth: int = 15, width: int = 64) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {"pack_mosaic": nn.Conv2d(3, 4, 2, stride=2)}
        for number in range(1, depth + 1):
            inputs, outputs = 4 if number == 1 else width, 2 * width if number == depth else width
            layers |= {f"conv{number}": nn.Conv2d(inputs, outputs, 3), f"relu{number}": nn.ReLU()}
        self.main_processor = nn.Sequential()
        for name, layer in layers.items():
            self.main_processor.add_module(name, layer)
        self.residual_predictor = nn.Conv2d(width, 12, 1)
        self.upsampler = nn.ConvTranspose2d(12, 3, 2, stride=2, groups=3)
        self.fullres_processor = nn.Sequential()
        self.fullres_processor.add_module("post_conv", nn.Conv2d(6, width, 3))
        self.fullres_processor.add_module("post_relu", nn.ReLU())
        self.fullres_processor.add_module("output", nn.Conv2d(width, 3, 1))

    def forward(self, mosaic: Tensor) -> Tensor:
        filters, masks = self.main_processor(mosaic).chunk(2, 1)
        residual = self.upsampler(self.residual_predictor(filters * masks))
        border = self.BORDER - 1
        return self.fullres_processor(torch.cat([mosaic[..., border:-border, border:-border], residual], 1))


class Block(nn.Module):
    """Attention and a perceptron, each behind a layer norm and around a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Pictures (N, 1, 28, 28) to logits (N, 10) by 16 patches."""

    def __init__(self, width: int = 96, depth: int = 4, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 7, stride=7)
        self.positions = nn.Parameter(0.02 * torch.randn(1, 16, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.blocks(x)).mean(1))


class MiniLm(nn.Module):
    """Text, as the mean of a transformer's hidden states, and a linear head on it.

    Token ids (N, T), int64, and a mask (N, T), float32, 1 where there is a token, to logits (N, 2).
    """

    def __init__(self) -> None:
        super().__init__()
        define_torchvision_operators()
        from transformers import BertConfig, BertModel

        config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
        self.trunk = BertModel(config, add_pooling_layer=False)
        self.head = nn.Linear(384, 2)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.features(tokens, mask))

    def features(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """What the head sees, of shape (N, 384)."""
        added = (1 - mask)[:, None, None, :].expand(-1, -1, mask.shape[1], -1) * -1e4
        hidden = self.trunk(tokens, attention_mask=added).last_hidden_state
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
