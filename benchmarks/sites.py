"""A small net for each rewrite: `SITES["gelu"].build()` gives a module and inputs where it is a good share of the time.

A call takes some 0.3 to 3 ms on two threads, so that the rewrite can be measured. Weights are random but plausible, and
the same each time. What becomes of the rewrites on each engine is measured by `benchmarks/bench_rewrites.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.models import Model, randomize


@dataclass(frozen=True)
class Site:
    """A rewrite, and a net where it applies.

    Attributes:
        title: the rewrite in words.
        rule: name of the pass that does it; empty where the capture does, so that no pass gets to see it.
        layers: makes the layers in a row that hold it.
        shape: of the input.
        times: how often the row is repeated, made anew each time.
        declines: part of the reason that the pass gives for what it must leave as it is; empty where there is nothing.
    """

    title: str
    rule: str
    layers: Callable[[], Sequence[nn.Module]]
    shape: tuple[int, ...]
    times: int = 6
    declines: str = ""

    def build(self) -> Model:
        """The net in evaluation mode, and its inputs; the same each time."""
        torch.manual_seed(0)
        net = nn.Sequential(*(layer for _ in range(self.times) for layer in self.layers()))
        return randomize(net, (torch.randn(self.shape),))


class Net(nn.Module):
    """Calls `function(self, x)`; what is given by name are layers, or tensors that become parameters."""

    def __init__(self, function: Callable[..., Tensor], **members: nn.Module | Tensor) -> None:
        super().__init__()
        self.function = function
        for name, member in members.items():
            setattr(self, name, nn.Parameter(member) if isinstance(member, Tensor) else member)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


IMAGE, SMALL_IMAGE, PHOTOGRAPH = (1, 32, 56, 56), (1, 32, 28, 28), (1, 3, 224, 224)
TOKENS, ROWS = (1, 196, 192), (196, 192)


def factors(*shape: int) -> Tensor:
    """Scales as training leaves them."""
    return torch.empty(shape).uniform_(0.5, 1.5)


def shifts(*shape: int) -> Tensor:
    """Offsets as training leaves them."""
    return torch.empty(shape).normal_(0, 0.1)


def pointwise() -> nn.Module:
    """A convolution of `IMAGE` that leaves time for what is beside it."""
    return nn.Conv2d(32, 32, 1)


def linear() -> nn.Module:
    """The same for `TOKENS`."""
    return nn.Linear(192, 192)


def after(layer: nn.Module, function: Callable[[Tensor], Tensor]) -> Sequence[nn.Module]:
    """A layer, a function of its output, and a ReLU."""
    return layer, Net(lambda self, x: function(x)), nn.ReLU()


def mlp(activation: Callable[[Tensor], Tensor]) -> Sequence[nn.Module]:
    """A transformer's MLP with an activation that is written out."""
    return nn.Linear(192, 768), Net(lambda self, x: activation(x)), nn.Linear(768, 192)


# -- layers ----------------------------------------------------------------------------------------------------------


def weight_norm(self: Net, x: Tensor) -> Tensor:
    """A linear layer whose weight is computed from its direction and its length."""
    return F.linear(x, self.v * (self.g / self.v.norm(dim=1, keepdim=True))).relu()


def split_heads(x: Tensor) -> Tensor:
    """From (1, tokens, width) to (1, heads, tokens, 64)."""
    return x.reshape(1, x.shape[1], -1, 64).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """The inverse of `split_heads`."""
    return x.transpose(1, 2).reshape(1, x.shape[2], -1)


def relative_positions(self: Net, x: Tensor) -> Tensor:
    """Attention with a bias looked up by distance: nothing but the number of tokens goes into which one."""
    places = torch.arange(x.shape[1])
    distances = (places[None] - places[:, None]).clamp(-16, 16) + 16
    bias = self.table[distances].permute(2, 0, 1)[None]
    query, key, value = (split_heads(part) for part in self.qkv(x).chunk(3, -1))
    return x + self.out(join_heads(F.scaled_dot_product_attention(query, key, value, attn_mask=bias)))


def separate_projections(self: Net, x: Tensor) -> Tensor:
    """Attention with a linear layer each for query, key and value."""
    query, key, value = (split_heads(part(x)) for part in (self.q, self.k, self.v))
    return x + self.out(join_heads(F.scaled_dot_product_attention(query, key, value)))


def softmax_attention(self: Net, x: Tensor) -> Tensor:
    """Attention written out."""
    query, key, value = (split_heads(part) for part in self.qkv(x).chunk(3, -1))
    return x + self.out(join_heads((query @ key.transpose(-2, -1) / 8).softmax(-1) @ value))


def layer_scale(self: Net, x: Tensor) -> Tensor:
    """A residual branch that ends in a scale."""
    return x + self.gamma * self.last(self.first(x).relu())


def inception() -> nn.Module:
    """Three branches that begin with a pointwise convolution of the same value."""

    def forward(self: Net, x: Tensor) -> Tensor:
        branches = self.a(x), self.b2(self.b1(x).relu()), self.c2(self.c1(x).relu())
        return torch.cat([branch.relu() for branch in branches], 1)

    narrow = {name: nn.Conv2d(64, 16, 1) for name in ("b1", "c1")}
    wide = {name: nn.Conv2d(16, 16, 3, padding=1) for name in ("b2", "c2")}
    return Net(forward, a=nn.Conv2d(64, 32, 1), **narrow, **wide)


def selective_kernels() -> nn.Module:
    """Branches that are weighted by squeeze and excitation, with one squeeze for all."""

    def forward(self: Net, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x.mean((2, 3), keepdim=True)).relu()
        return sum(getattr(self, f"wide{i}")(x) * getattr(self, f"excite{i}")(squeezed).sigmoid() for i in range(3))

    wide = {f"wide{i}": nn.Conv2d(256, 256, 3, padding=i + 1, dilation=i + 1, groups=256) for i in range(3)}
    excite = {f"excite{i}": nn.Conv2d(64, 256, 1) for i in range(3)}
    return Net(forward, squeeze=nn.Conv2d(256, 64, 1), **wide, **excite)


def repvgg() -> nn.Module:
    """A 3x3 convolution, a 1x1 convolution and the value itself, each with its batch norm."""
    return Net(
        lambda self, x: (self.wide(x) + self.narrow(x) + self.same(x)).relu(),
        wide=nn.Sequential(nn.Conv2d(48, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48)),
        narrow=nn.Sequential(nn.Conv2d(48, 48, 1, bias=False), nn.BatchNorm2d(48)),
        same=nn.BatchNorm2d(48),
    )


def normalised_input() -> nn.Module:
    """A photograph's channels as a network wants them."""
    return Net(lambda self, x: (x - self.mean) / self.std, mean=shifts(3, 1, 1), std=factors(3, 1, 1))


def layer_norm(self: Net, x: Tensor) -> Tensor:
    """LayerNorm written out."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * self.weight + self.bias


def rms_norm(self: Net, x: Tensor) -> Tensor:
    """RMSNorm written out."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def zero_weights() -> Sequence[nn.Module]:
    """An inverted bottleneck whose wide layer was pruned: half of it gives its bias, whatever comes in."""
    wide = nn.Conv2d(32, 192, 1)
    nn.init.zeros_(wide.weight[::2])
    return wide, nn.ReLU6(), nn.Conv2d(192, 32, 1)


def never_positive() -> Sequence[nn.Module]:
    """Half of the first layer has no positive weight or bias, its input nothing negative: the ReLU lets nothing by."""
    first = nn.Conv2d(32, 64, 3, padding=1)
    with torch.no_grad():
        first.weight[::2] = -first.weight[::2].abs()
        first.bias[::2] = -first.bias[::2].abs()
    return nn.ReLU(), first, nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1)


# -- sites -----------------------------------------------------------------------------------------------------------

SITES = {
    "batch_norm_after_conv": Site(
        "batch norm into the convolution before it",
        "fold_batch_norm",
        lambda: [pointwise(), nn.BatchNorm2d(32), nn.ReLU()],
        IMAGE,
    ),
    "batch_norm_after_transposed_conv": Site(
        "batch norm into the transposed convolution before it",
        "fold_batch_norm",
        lambda: [nn.ConvTranspose2d(16, 16, 2, 2), nn.BatchNorm2d(16), nn.ReLU()],
        (1, 16, 14, 14),
        times=3,
    ),
    "batch_norm_after_linear": Site(
        "batch norm into the linear layer before it",
        "fold_batch_norm",
        lambda: [linear(), nn.BatchNorm1d(192), nn.ReLU()],
        ROWS,
    ),
    "batch_norm_before_conv": Site(
        "batch norm into the convolution after it, which does not pad",
        "fold_batch_norm",
        lambda: [nn.BatchNorm2d(32), pointwise(), nn.ReLU()],
        IMAGE,
    ),
    "batch_norm_before_linear": Site(
        "batch norm into the linear layer after it",
        "fold_batch_norm",
        lambda: [nn.BatchNorm1d(192), linear(), nn.ReLU()],
        ROWS,
    ),
    "constants": Site(
        "fold constants (a weight computed from others)",
        "fold_constants",
        lambda: [Net(weight_norm, v=torch.randn(512, 512), g=factors(512, 1))],
        (1, 32, 512),
        times=3,
    ),
    "shape_arithmetic": Site(
        "fold shape arithmetic (position biases from sizes)",
        "fold_constants",
        lambda: [Net(relative_positions, qkv=nn.Linear(256, 768), out=nn.Linear(256, 256), table=shifts(33, 4))],
        (1, 64, 256),
        times=3,
    ),
    "affine_after_conv": Site(
        "scale and shift into a convolution",
        "fold_affine",
        lambda: [
            pointwise(),
            Net(lambda self, x: x * self.a + self.b, a=factors(32, 1, 1), b=shifts(32, 1, 1)),
            nn.ReLU(),
        ],
        IMAGE,
    ),
    "layer_norm_affine": Site(
        "weight and bias of LayerNorm into a linear layer",
        "fold_affine",
        lambda: [nn.LayerNorm(192), linear(), nn.ReLU()],
        TOKENS,
    ),
    "layer_scale": Site(
        "LayerScale into a linear layer",
        "fold_affine",
        lambda: [Net(layer_scale, gamma=factors(192), first=linear(), last=linear())],
        TOKENS,
    ),
    "input_normalisation": Site(
        "input normalisation into a convolution",
        "fold_affine",
        lambda: [normalised_input(), nn.Conv2d(3, 96, 4, 4)],
        PHOTOGRAPH,
        times=1,
    ),
    "input_normalisation_padded": Site(
        "input normalisation into a convolution that pads (the scale; zeros would see the shift)",
        "fold_affine",
        lambda: [normalised_input(), nn.Conv2d(3, 32, 3, 2, 1)],
        PHOTOGRAPH,
        times=1,
        declines="would see the shift",
    ),
    "parallel_linears": Site(
        "merge parallel linear layers (Q/K/V)",
        "merge_parallel",
        lambda: [Net(separate_projections, **{name: nn.Linear(256, 256) for name in ("q", "k", "v", "out")})],
        (1, 64, 256),
        times=3,
    ),
    "parallel_convs": Site(
        "merge parallel convolutions (Inception)",
        "merge_parallel",
        lambda: [inception()],
        (1, 64, 28, 28),
        times=4,
    ),
    "parallel_excitations": Site(
        "merge parallel branches of squeeze and excitation",
        "merge_parallel",
        lambda: [selective_kernels()],
        (1, 256, 7, 7),
        times=3,
        declines="it is grouped",
    ),
    "repvgg": Site(
        "merge branches that add up (RepVGG)", "merge_branches", lambda: [repvgg()], (1, 48, 28, 28), times=4
    ),
    "composed_linears": Site(
        "compose two linear layers",
        "compose_linear",
        lambda: [nn.Linear(192, 768), nn.Linear(768, 192), nn.ReLU()],
        (1, 64, 192),
        times=3,
    ),
    "composed_convs": Site(
        "compose two 1x1 convolutions",
        "compose_linear",
        lambda: [nn.Conv2d(32, 128, 1), nn.Conv2d(128, 32, 1), nn.ReLU()],
        SMALL_IMAGE,
        times=3,
    ),
    "gelu": Site(
        "recognise GELU",
        "recognise_activation",
        lambda: mlp(lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
        TOKENS,
        times=2,
    ),
    "gelu_tanh": Site(
        "recognise GELU, its approximation by tanh",
        "recognise_activation",
        lambda: mlp(lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
        TOKENS,
        times=2,
    ),
    "silu": Site("recognise SiLU", "recognise_activation", lambda: mlp(lambda x: x * x.sigmoid()), TOKENS, times=2),
    "hardswish": Site(
        "recognise HardSwish", "recognise_activation", lambda: mlp(lambda x: x * F.relu6(x + 3) / 6), TOKENS, times=2
    ),
    "layer_norm": Site(
        "recognise LayerNorm",
        "recognise_normalization",
        lambda: [Net(layer_norm, weight=factors(192), bias=shifts(192)), linear()],
        TOKENS,
    ),
    "rms_norm": Site(
        "recognise RMSNorm",
        "recognise_normalization",
        lambda: [Net(rms_norm, weight=factors(192)), linear()],
        TOKENS,
    ),
    "softmax_attention": Site(
        "recognise softmax attention",
        "recognise_attention",
        lambda: [Net(softmax_attention, qkv=nn.Linear(192, 576), out=linear())],
        TOKENS,
        times=2,
    ),
    "transposes": Site(
        "cancel transposes",
        "cancel_inverses",
        lambda: after(pointwise(), lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).contiguous()),
        IMAGE,
    ),
    "reshapes": Site(
        "cancel reshapes",
        "cancel_inverses",
        lambda: after(pointwise(), lambda x: x.reshape(1, 32, -1).reshape(x.shape)),
        IMAGE,
    ),
    "pads": Site(
        "add up pads",
        "cancel_inverses",
        lambda: [nn.ZeroPad2d((1, 0, 1, 0)), nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(16, 16, 3), nn.ReLU()],
        (1, 16, 56, 56),
    ),
    "casts": Site("cancel casts", "cancel_inverses", lambda: after(linear(), lambda x: x.double().float()), TOKENS),
    "clamps": Site(
        "join repeated clamps",
        "cancel_inverses",
        lambda: after(pointwise(), lambda x: x.clamp(-6, 6).clamp(max=3).clamp(min=-3)),
        IMAGE,
    ),
    "common_subexpressions": Site(
        "compute common subexpressions once",
        "common_subexpressions",
        lambda: [Net(lambda self, x: self.f(x).tanh() * self.f(x).sigmoid(), f=linear())],
        TOKENS,
        times=3,
    ),
    "dead_code": Site(
        "remove dead code",
        "",
        lambda: [Net(lambda self, x: (self.a(x), self.b(x))[1], a=linear(), b=linear())],
        TOKENS,
        times=1,
    ),
    "dropout": Site("remove dropout", "remove_identities", lambda: [linear(), nn.Dropout(0.1), nn.ReLU()], TOKENS),
    "identities": Site(
        "remove identities", "remove_identities", lambda: after(linear(), lambda x: (x + 0) * 1), TOKENS
    ),
    "padding_into_conv": Site(
        "padding into a convolution",
        "fold_padding",
        lambda: [nn.ZeroPad2d(1), nn.Conv2d(16, 16, 3), nn.ReLU()],
        (1, 16, 56, 56),
    ),
    "padding_into_pooling": Site(
        "padding into a pooling",
        "fold_padding",
        lambda: [pointwise(), nn.ReLU(), nn.ZeroPad2d(1), nn.MaxPool2d(3, 1)],
        SMALL_IMAGE,
        times=3,
    ),
    "zero_weights": Site(
        "remove channels that are constant by zero weights",
        "remove_constant_channels",
        zero_weights,
        SMALL_IMAGE,
        times=3,
    ),
    "never_positive": Site(
        "remove channels that are zero after the ReLU for every input",
        "remove_constant_channels",
        never_positive,
        SMALL_IMAGE,
        times=3,
    ),
}
