"""A zoo of awkward programs: small, valid, and each awkward in one way that naive passes get wrong.

Functions here are specimens: `zoo.shared_weights()` is a Program, and `ZOO` has all of them by name. The sentence below
a name says what goes wrong in a pass that has not thought of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.ir.program import Program
from fxopt.ir.quantized import operators
from fxopt.testing.specimen import Specimen, captured


def _image(channels: int = 4) -> Tensor:
    return torch.randn(2, channels, 8, 8)


def _norm(channels: int) -> nn.BatchNorm2d:
    """A batch norm as training leaves it: no scale is 1, no shift is 0."""
    norm = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert tensor is not None
            tensor.uniform_(0.5, 1.5)
    return norm


# -- who uses what ---------------------------------------------------------------------------------------------------


@Specimen
def shared_weights() -> Program:
    """Folding into the weight for the call that is matched changes the other call that uses it."""

    def forward(self: Any, x: Tensor) -> Any:
        return self.norm(self.conv(x)) + self.conv(x.flip(3))

    return captured(forward, _image(), conv=nn.Conv2d(4, 4, 3, padding=1), norm=_norm(4))


@Specimen
def matched_value_is_an_output() -> Program:
    """An inner value of the match is returned as well: it must not die, or become another value."""

    def forward(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x)
        return y, self.norm(y).relu()

    return captured(forward, _image(), conv=nn.Conv2d(4, 4, 3), norm=_norm(4))


@Specimen
def residual() -> Program:
    """The input of a branch is used again after it, so that what moves along the branch leaves the sum behind."""

    def forward(self: Any, x: Tensor) -> Any:
        y = self.norm1(self.conv1(x)).relu()
        return (self.norm2(self.conv2(y)) + y).relu()

    layers: dict[str, Any] = {"conv1": nn.Conv2d(4, 4, 3, padding=1), "conv2": nn.Conv2d(4, 4, 3, padding=1)}
    return captured(forward, _image(), **layers, norm1=_norm(4), norm2=_norm(4))


@Specimen
def used_twice_by_one_call() -> Program:
    """A value is both arguments of one call: it has one user, but two uses."""

    def forward(self: Any, x: Tensor) -> Any:
        y = self.linear(x)
        return y * y

    return captured(forward, torch.randn(3, 4), linear=nn.Linear(4, 4))


@Specimen
def several_outputs() -> Program:
    """One value is returned twice and in a nest, beside others that depend on it."""

    def forward(self: Any, x: Tensor) -> dict[str, Any]:
        y = self.linear(x).relu()
        return {"value": y, "again": [y, (y.sum(), y.argmax(1))], "none": None}

    return captured(forward, torch.randn(3, 4), linear=nn.Linear(4, 4))


@Specimen
def input_is_an_output() -> Program:
    """An input is returned untouched, and once more after a call that does nothing."""
    return captured(lambda _, x: (x, x + 0, x.relu().relu()), torch.randn(3, 4))


@Specimen
def unused_input() -> Program:
    """One input has no users, yet callers go on passing it."""
    return captured(lambda self, x, y: self.linear(x).relu(), torch.randn(3, 4), torch.randn(2), linear=nn.Linear(4, 4))


@Specimen
def constant_output() -> Program:
    """An output depends on no input at all."""
    return captured(
        lambda self, x: (x * self.table[0], (self.table * 2).exp()), torch.randn(4), table=torch.randn(3, 4)
    )


@Specimen
def tied_embedding() -> Program:
    """The table that looks tokens up is also the weight of the last layer: what is scaled for one harms the other."""

    def forward(self: Any, tokens: Tensor) -> Tensor:
        x = self.norm(F.embedding(tokens, self.table))
        return F.linear(x, self.table) * 0.5

    tokens = torch.randint(0, 11, (2, 5))
    return captured(forward, tokens, table=torch.randn(11, 8), norm=nn.LayerNorm(8))


@Specimen
def equal_branches() -> Program:
    """Branches are equal in structure, two of them also in weights, and one differs in its last weight only."""

    def forward(self: Any, x: Tensor) -> Tensor:
        return torch.cat([F.linear(x, self.a).relu(), F.linear(x, self.b).relu(), F.linear(x, self.c).relu()], 1)

    weight, other = torch.randn(4, 4), torch.randn(4, 4)
    return captured(forward, torch.randn(3, 4), a=weight, b=weight.clone(), c=torch.cat([weight[:3], other[3:]]))


# -- normalisation and convolution -----------------------------------------------------------------------------------


@Specimen
def batch_norm_in_training() -> Program:
    """Its mean and variance come from the batch, so that there are no constants to fold."""

    def forward(self: Any, x: Tensor) -> Tensor:
        return F.batch_norm(self.conv(x), None, None, self.weight, self.bias, training=True).relu()

    scales: dict[str, Any] = {"weight": torch.rand(4) + 0.5, "bias": torch.randn(4)}
    return captured(forward, _image(), conv=nn.Conv2d(4, 4, 3), **scales)


@Specimen
def batch_norm_alone() -> Program:
    """It has no scale and no shift, nothing before it, and a variance so small that its eps decides."""
    norm = nn.BatchNorm2d(4, affine=False)
    assert norm.running_var is not None
    norm.running_var.fill_(1e-5)
    return captured(lambda self, x: self.norm(x).relu(), _image(), norm=norm)


@Specimen
def negative_scales() -> Program:
    """A negative factor does not pass a maximum or a ReLU."""
    norm = _norm(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([-1.0, 0.5, 0.0, -2.0]))
    return captured(
        lambda self, x: F.max_pool2d(self.norm(self.conv(x)).relu() * -0.5, 2) * self.factor,
        _image(), conv=nn.Conv2d(4, 4, 3), norm=norm, factor=torch.tensor([-1.0, 2.0, -3.0, 4.0]).reshape(4, 1, 1),
    )  # fmt: skip


@Specimen
def grouped_convolution() -> Program:
    """The weight's second axis holds the channels of one group, not all."""
    return captured(
        lambda self, x: self.norm2(self.conv(self.norm1(x))),
        _image(), norm1=_norm(4), conv=nn.Conv2d(4, 6, 3, groups=2), norm2=_norm(6),
    )  # fmt: skip


@Specimen
def depthwise_convolution() -> Program:
    """Each channel has filters of its own, two here, without a bias."""
    return captured(
        lambda self, x: F.hardtanh(self.norm(self.conv(x)), 0, 6),
        _image(), conv=nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=4, bias=False), norm=_norm(8),
    )  # fmt: skip


@Specimen
def transposed_convolution() -> Program:
    """The output channels are the weight's second axis, by group."""
    return captured(
        lambda self, x: self.norm(self.conv(x)).relu(),
        _image(), conv=nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), norm=_norm(6),
    )  # fmt: skip


@Specimen
def asymmetric_padding() -> Program:
    """The input is padded on two sides only, with ones, and then once more by the convolution."""
    return captured(
        lambda self, x: self.conv(F.pad(self.norm(x), (0, 1, 0, 1), value=1.0)),
        _image(), norm=_norm(4), conv=nn.Conv2d(4, 4, 3, stride=2, padding=1),
    )  # fmt: skip


# -- shapes ----------------------------------------------------------------------------------------------------------


@Specimen
def concat_and_split() -> Program:
    """Channels are taken apart, treated alike, and joined in another order."""

    def forward(self: Any, x: Tensor) -> Tensor:
        a, b = torch.split(x, [1, 3], 1)
        y = torch.cat([self.wide(b), self.narrow(a)], 1)
        return torch.cat(y.chunk(2, 1)[::-1], 1) + x

    return captured(forward, _image(), narrow=nn.Conv2d(1, 1, 1), wide=nn.Conv2d(3, 3, 1))


@Specimen
def views_and_aliases() -> Program:
    """Several values are views of one piece of memory, in layouts that no further view fits; one view is an output."""

    def forward(self: Any, x: Tensor) -> tuple[Tensor, ...]:
        y = self.linear(x)
        flipped = y.transpose(1, 2)
        flat = flipped.reshape(2, -1).contiguous().view(2, 3, 4)
        return flipped, y[:, ::2] * 2, flat.unsqueeze(1).expand(2, 5, 3, 4).sum(1), x.permute(2, 0, 1).permute(1, 2, 0)

    return captured(forward, torch.randn(2, 4, 3), linear=nn.Linear(3, 3))


@Specimen
def in_place_on_a_view() -> Program:
    """The model wrote into a part of a value: after capture the part is computed, and put back by a call."""

    def forward(self: Any, x: Tensor) -> Any:
        y = self.linear(x)
        y[:, 1:3].mul_(2).relu_()
        return y + x

    return captured(forward, torch.randn(3, 4), linear=nn.Linear(4, 4))


@Specimen
def dynamic_batch() -> Program:
    """The batch size differs from call to call: whatever is computed from the size at hand is wrong at others."""

    def forward(self: Any, x: Tensor) -> Any:
        y = self.norm(self.conv(x)).relu()
        return self.head(y.reshape(y.shape[0], -1)) / x.shape[0] + y.mean((0, 2, 3))

    batch = torch.export.Dim("N", min=1, max=64)
    layers = {"conv": nn.Conv2d(4, 4, 3, stride=2), "norm": _norm(4), "head": nn.Linear(36, 4)}
    return captured(forward, _image(), dynamic=({0: batch},), **layers)


@Specimen
def dynamic_length() -> Program:
    """Two sizes are dynamic, and a table of positions is cut to one of them."""

    def forward(self: Any, tokens: Tensor, mask: Tensor) -> Any:
        x = F.embedding(tokens, self.table) + self.positions[: tokens.shape[1]]
        scores = (x @ x.transpose(1, 2)) / 8**0.5
        return scores.masked_fill(mask[:, None, :], -1e4).softmax(-1) @ self.linear(x)

    axes = {0: torch.export.Dim("N", min=1, max=16), 1: torch.export.Dim("L", min=2, max=12)}
    inputs = torch.randint(0, 9, (2, 5)), torch.rand(2, 5) < 0.5
    members = {"table": torch.randn(9, 8), "positions": torch.randn(12, 8), "linear": nn.Linear(8, 8)}
    return captured(forward, *inputs, dynamic=(axes, dict(axes)), **members)


@Specimen
def zero_size() -> Program:
    """One input has no elements: nothing has a maximum, and no size divides."""

    def forward(self: Any, x: Tensor, empty: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cat([self.linear(x), self.linear(empty)]).relu(), empty.sum(1) * 2

    return captured(forward, torch.randn(2, 4), torch.randn(0, 4), linear=nn.Linear(4, 4))


@Specimen
def scalars() -> Program:
    """Values have no axes at all, and constants have one element or none too many."""

    def forward(self: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x * self.scale + 1) * 1, (y.mean() * x + self.one).sqrt() ** 2

    return captured(forward, torch.randn(()), torch.rand(3), scale=torch.tensor(0.5), one=torch.ones(1, 1).reshape(()))


@Specimen
def broadcasting() -> Program:
    """Constants broadcast along axes other than the channels, and make values larger than they were."""

    def forward(self: Any, x: Tensor) -> Any:
        y = F.linear(x, self.weight) * self.row
        return self.norm((y + self.column)[None] * self.cube)

    members: dict[str, Any] = {"weight": torch.randn(4, 4), "row": torch.randn(1, 4), "column": torch.randn(3, 1)}
    return captured(forward, torch.randn(3, 4), **members, cube=torch.randn(2, 1, 1), norm=nn.LayerNorm(4))


# -- numbers ---------------------------------------------------------------------------------------------------------


@Specimen
def integers_and_booleans() -> Program:
    """Arithmetic rounds, wraps and has no inverse, and a comparison has no gradient and no neighbours."""

    def forward(self: Any, tokens: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        halved = (tokens * 3 + 1) // 2
        return (
            halved,
            (halved - 1) * -1,
            mask.logical_not().logical_not(),
            torch.where(mask, halved, tokens).float() * 0.5,
        )

    return captured(forward, torch.randint(0, 9, (2, 5)), torch.rand(2, 5) < 0.5)


@Specimen
def float16() -> Program:
    """Half precision: what is stored must stay half, and 65504 is the largest number."""
    layers = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4)).half()
    return captured(lambda self, x: self.layers(x) * 0.5, torch.randn(3, 8).half(), layers=layers)


@Specimen
def bfloat16() -> Program:
    """Three digits: a constant that is computed in it loses what one computed in double precision keeps."""
    layers = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 4)).bfloat16()
    return captured(lambda self, x: self.layers(x) * 0.5, torch.randn(3, 8).bfloat16(), layers=layers)


@Specimen
def mixed_precision() -> Program:
    """Casts in the middle round on purpose, so that there and back is not the identity."""

    def forward(self: Any, x: Tensor) -> Any:
        low = self.first(x.bfloat16()).relu()
        return self.last(low.float()) + x.bfloat16().float() + x.double().float()

    return captured(forward, torch.randn(3, 8), first=nn.Linear(8, 8).bfloat16(), last=nn.Linear(8, 8))


@Specimen
def quantized_residual() -> Program:
    """Weights are integers, and floats only stand for them: whatever computes the floats once and for all undoes it."""
    qd = operators()

    def rounded(x: Tensor, scale: float, zero: int) -> Any:
        x = qd.quantize_per_tensor(x, scale, zero, 0, 255, torch.uint8)
        return qd.dequantize_per_tensor(x, scale, zero, 0, 255, torch.uint8)

    def forward(self: Any, x: Tensor) -> Any:
        x = rounded(x, 0.0237, 128)
        weight = qd.dequantize_per_channel(self.weight, self.scale, None, 0, -127, 127, torch.int8)
        bias = qd.dequantize_per_channel(self.bias, self.scale * 0.0237, None, 0, -(2**31), 2**31 - 1, torch.int32)
        y = rounded(F.conv2d(x, weight, bias, padding=1).relu(), 0.0171, 0)
        return rounded(x + y, 0.0313, 90)

    weight = torch.randint(-63, 64, (4, 4, 3, 3), dtype=torch.int8)  # sums of 8-bit products saturate on some CPUs
    bias = torch.randint(-999, 1000, (4,), dtype=torch.int32)
    return captured(forward, _image(), weight=weight, bias=bias, scale=torch.rand(4) / 400 + 1e-3)


@Specimen
def masked_attention() -> Program:
    """Scores are minus infinity where masked, and a row that sees nothing is NaN."""

    def forward(self: Any, x: Tensor, mask: Tensor) -> Any:
        query, key, value = self.project(x).chunk(3, -1)
        scores = query @ key.transpose(-2, -1) * 8**-0.5
        return scores.masked_fill(mask, float("-inf")).softmax(-1) @ value

    return captured(forward, torch.randn(2, 5, 8), torch.rand(2, 5, 5) < 0.5, project=nn.Linear(8, 24))


# -- form ------------------------------------------------------------------------------------------------------------


@Specimen
def nested_graph() -> Program:
    """A condition on the data chooses between two graphs of its own, which take the weights as operands."""

    def forward(self: Any, x: Tensor) -> Tensor:
        def left(y: Tensor) -> Any:
            return self.left(y).relu()

        def right(y: Tensor) -> Any:
            return self.right(y) * 2

        return torch.cond(x.sum() > 0, left, right, (x,)).relu()  # type: ignore[no-any-return]

    return captured(forward, torch.randn(2, 4), left=nn.Linear(4, 4), right=nn.Linear(4, 4))


@Specimen
def odd_names() -> Program:
    """Names hold dashes, blanks, and letters beyond ASCII, and look like names that passes make."""

    def forward(self: Any, x: Tensor) -> Tensor:
        for layer in self.layers.values():
            x = self.norm__0(layer(x)).relu()
        return x

    names = ("a-b", "a b", "für", "torch", "relu_1", "linear__bias_0123")
    return captured(
        forward,
        torch.randn(3, 4),
        layers=nn.ModuleDict({name: nn.Linear(4, 4) for name in names}),
        norm__0=nn.LayerNorm(4),
    )


@Specimen
def other_layouts() -> Program:
    """Weights lie in memory as channels last, as a transposed view and as one number repeated with stride 0."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.norm(F.conv2d(x, self.weight, self.bias)).mean((2, 3))
        return F.linear(y, self.last)

    weight = torch.randn(4, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    return captured(
        forward, _image(), weight=weight, bias=torch.randn(1).expand(4), last=torch.randn(4, 6).t(), norm=_norm(4)
    )


@Specimen
def long_chain() -> Program:
    """So many neighbours of one kind that a rewrite of two has to be done again and again, on its own work."""

    def forward(_: Any, x: Tensor) -> Tensor:
        for index in range(24):
            x = x * (1 + index / 16) + 0.25
        return x

    return captured(forward, torch.randn(3, 4))


@Specimen
def no_match() -> Program:
    """Calls that no pass knows: nothing to find, and nothing to fall over."""
    return captured(lambda _, x: x.cumsum(1).sort(1)[0].cos().roll(1, 0), torch.randn(3, 4))


ZOO: dict[str, Specimen] = {item.name: item for item in list(globals().values()) if isinstance(item, Specimen)}
