"""Small programs with sites of the built-in passes, and near misses of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program
from fxopt.testing import Specimen, captured

aten = torch.ops.aten
BATCH = torch.export.Dim("N", min=1, max=16)


def image(channels: int = 4) -> Tensor:
    return torch.randn(2, channels, 6, 6)


def norm(channels: int) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels)
    for tensor in (layer.weight.data, layer.bias.data, layer.running_mean, layer.running_var):
        tensor.uniform_(0.5, 1.5)
    return layer


# -- cleanup ---------------------------------------------------------------------------------------------------------


@Specimen
def identities() -> Program:
    return captured(lambda _, x: (x.clone() * 1 + 0).reshape(3, 4).relu(), torch.randn(3, 4))


@Specimen
def identity_that_is_an_output() -> Program:
    return captured(lambda _, x: (x * 1, x.relu()), torch.randn(3, 4))


@Specimen
def sizes_of_static_axes() -> Program:
    program = captured(lambda _, x: x.relu().reshape(-1, 12).exp(), torch.randn(2, 3, 4), dynamic=[{0: BATCH}])
    with program.edit() as edit:
        relu, reshape = (node for node in list(edit.before.calls)[:2])
        relu, reshape = edit.node(relu.name), edit.node(reshape.name)
        sizes = [edit.call(aten.sym_size.int, (relu, axis)) for axis in (1, 2)]
        product = edit.call(torch.sym_max, (sizes[0], sizes[1]))
        edit.replace(reshape, edit.call(aten.reshape.default, (relu, [-1, sizes[0], product])))
    return edit.program


@Specimen
def constants() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        weight = self.direction * (self.length / self.direction.norm(dim=1, keepdim=True))
        return F.linear(x, weight) + (self.length * 2).sum()

    return captured(forward, torch.randn(3, 4), direction=torch.randn(5, 4), length=torch.rand(5, 1))


@Specimen
def constant_that_grows() -> Program:
    return captured(lambda self, x: x + self.row.expand(4, 512, 40).exp(), torch.randn(512, 40), row=torch.randn(40))


@Specimen
def repeated_calls() -> Program:
    return captured(lambda _, x: (x.exp() + 1).relu() * (x.exp() + 1).neg() - x.exp(), torch.randn(3, 4))


@Specimen
def repeated_output() -> Program:
    return captured(lambda _, x: (x.exp(), x.exp() * 1.0, x.exp()), torch.randn(3, 4))


@Specimen
def inverses() -> Program:
    return captured(
        lambda _, x: (
            F.relu6(x.transpose(1, 2).transpose(2, 1).double().float().relu()).reshape(2, 12).reshape(6, 4) * 2
        ),
        torch.randn(2, 3, 4),
    )


@Specimen
def inverses_of_one_value() -> Program:
    """Each match leaves the first call to the other; both together let it die."""

    def forward(_: Any, x: Tensor) -> Tensor:
        y = x.transpose(0, 1)
        return y.transpose(1, 0).exp() + y.transpose(0, 1).relu()

    return captured(forward, torch.randn(3, 4))


@Specimen
def cast_that_rounds() -> Program:
    return captured(lambda _, x: x.half().float() * 2, torch.randn(3, 4))


# -- folding ---------------------------------------------------------------------------------------------------------


@Specimen
def norms_around_convolutions() -> Program:
    return captured(
        lambda self, x: self.after(self.conv(self.before(x))).relu(),
        image(), dynamic=[{0: BATCH}], before=norm(4), conv=nn.Conv2d(4, 6, 3, bias=False), after=norm(6),
    )  # fmt: skip


@Specimen
def norm_of_a_shared_convolution() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y).relu() + y

    return captured(forward, image(), conv=nn.Conv2d(4, 4, 3), norm=norm(4))


@Specimen
def scales_and_shifts() -> Program:
    return captured(
        lambda self, x: self.last(self.norm((self.first(x) * self.scale + self.shift) * 0.5)),
        torch.randn(3, 4), dynamic=[{0: BATCH}], first=nn.Linear(4, 8), scale=torch.rand(8) + 0.5, shift=torch.randn(8),
        norm=nn.LayerNorm(8), last=nn.Linear(8, 4),
    )  # fmt: skip


@Specimen
def scale_of_a_shared_layer() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.linear(x)
        return y * self.scale + y

    return captured(forward, torch.randn(3, 4), linear=nn.Linear(4, 4), scale=torch.rand(4))


@Specimen
def padded_calls() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.conv(F.pad(x, (1, 1, 1, 1))).relu()
        return F.avg_pool2d(F.pad(y, (1, 1, 1, 1)), 3, stride=2)

    return captured(forward, image(), dynamic=[{0: BATCH}], conv=nn.Conv2d(4, 4, 3))


@Specimen
def padding_on_one_side() -> Program:
    return captured(lambda self, x: self.conv(F.pad(x, (0, 1, 0, 1))), image(), conv=nn.Conv2d(4, 4, 3, stride=2))


@Specimen
def constant_channels() -> Program:
    first, last = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 3, padding=1)
    with torch.no_grad():
        first.weight[:3] = 0
        first.bias[:3] = -1  # type: ignore[index]
    return captured(
        lambda self, x: self.last(self.first(x).relu()), image(), dynamic=[{0: BATCH}], first=first, last=last
    )


@Specimen
def constant_channels_of_an_output() -> Program:
    layer = nn.Linear(4, 8)
    with torch.no_grad():
        layer.weight[:3] = 0
    return captured(lambda self, x: self.layer(x).relu(), torch.randn(3, 4), layer=layer)


# -- linear maps -----------------------------------------------------------------------------------------------------


@Specimen
def bottlenecks() -> Program:
    return captured(
        lambda self, x: self.b(self.a(x).mean((2, 3))) + self.d(self.c(x)).mean((2, 3)),
        image(), dynamic=[{0: BATCH}], a=nn.Conv2d(4, 16, 1), b=nn.Linear(16, 4),
        c=nn.Conv2d(4, 16, 1), d=nn.Conv2d(16, 4, 3, bias=False),
    )  # fmt: skip


@Specimen
def wide_then_narrow_layers() -> Program:
    return captured(
        lambda self, x: self.b(self.a(x)).relu(),
        torch.randn(3, 4),
        dynamic=[{0: BATCH}],
        a=nn.Linear(4, 16),
        b=nn.Linear(16, 4),
    )


@Specimen
def narrow_then_wide_layers() -> Program:
    return captured(
        lambda self, x: self.b(self.a(x)).relu(), torch.randn(3, 16), a=nn.Linear(16, 2), b=nn.Linear(2, 16)
    )


@Specimen
def parallel_layers() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        query, key, value = self.q(x), self.k(x), self.v(x)
        return F.scaled_dot_product_attention(query, key, value) + torch.cat([self.a(x).relu(), self.b(x).relu()], 2)

    layers = {name: nn.Linear(8, 8) for name in "qkv"} | {name: nn.Linear(8, 4) for name in "ab"}
    return captured(forward, torch.randn(2, 5, 8), dynamic=[{0: BATCH}], **layers)


@Specimen
def parallel_convolutions_of_other_strides() -> Program:
    return captured(
        lambda self, x: self.a(x).mean((2, 3)) + self.b(x).mean((2, 3)),
        image(), a=nn.Conv2d(4, 4, 3), b=nn.Conv2d(4, 4, 3, stride=2),
    )  # fmt: skip


@Specimen
def branches_that_add_up() -> Program:
    return captured(
        lambda self, x: (self.norm(self.wide(x)) + self.narrow(x) + self.alone(x)).relu(),
        image(), dynamic=[{0: BATCH}], wide=nn.Conv2d(4, 4, 3, padding=1, bias=False), norm=norm(4),
        narrow=nn.Conv2d(4, 4, 1), alone=norm(4),
    )  # fmt: skip


@Specimen
def branches_of_other_groups() -> Program:
    return captured(
        lambda self, x: self.wide(x) + self.grouped(x),
        image(), wide=nn.Conv2d(4, 4, 3, padding=1), grouped=nn.Conv2d(4, 4, 1, groups=2),
    )  # fmt: skip


# -- recognising -----------------------------------------------------------------------------------------------------


@Specimen
def gelu_written_out() -> Program:
    return captured(lambda _, x: (x * 0.5 * (1 + torch.erf(x / 2**0.5))) + x * x.sigmoid(), torch.randn(3, 4))


@Specimen
def gelu_with_a_shared_part() -> Program:
    def forward(_: Any, x: Tensor) -> Tensor:
        part = torch.erf(x / 2**0.5)
        return x * 0.5 * (1 + part) + part

    return captured(forward, torch.randn(3, 4))


@Specimen
def attention_written_out() -> Program:
    def forward(self: Any, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (part.reshape(2, 5, 2, 4).transpose(1, 2) for part in self.project(x).chunk(3, -1))
        return (query @ key.transpose(-2, -1) * 0.5 + mask).softmax(-1) @ value

    return captured(forward, torch.randn(2, 5, 8), torch.randn(5, 5), project=nn.Linear(8, 24))


@Specimen
def attention_with_finite_mask() -> Program:
    def forward(self: Any, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = self.project(x).chunk(3, -1)
        return (query @ key.transpose(-2, -1)).masked_fill(mask, -1e4).softmax(-1) @ value

    return captured(forward, torch.randn(2, 5, 8), torch.rand(5, 5) < 0.5, project=nn.Linear(8, 24))


@Specimen
def norms_written_out() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        apart = x - x.mean(-1, keepdim=True)
        y = apart / (apart.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * self.weight + self.bias
        return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)

    return captured(
        forward, torch.randn(2, 4, 8), dynamic=[{0: BATCH}], weight=torch.rand(8) + 0.5, bias=torch.randn(8)
    )


@Specimen
def norm_with_eps_outside() -> Program:
    def forward(_: Any, x: Tensor) -> Tensor:
        apart = x - x.mean(-1, keepdim=True)
        return apart / (apart.pow(2).mean(-1, keepdim=True).sqrt() + 1e-5)

    return captured(forward, torch.randn(2, 4, 8))


# -- quantize --------------------------------------------------------------------------------------------------------


@Specimen
def layers_of_many_kinds() -> Program:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(40, 64)
            self.wide, self.plain = nn.Linear(64, 64), nn.Linear(64, 64, bias=False)
            self.along, self.last = nn.Conv1d(64, 64, 3, padding=1), nn.Linear(64, 8)

        def forward(self, tokens: Tensor) -> Any:
            x = self.plain(F.gelu(self.wide(self.table(tokens)))).relu()
            return self.last(self.along(x.transpose(1, 2)).transpose(1, 2))

    return capture(export(Layers(), (torch.randint(0, 40, (2, 5)),), dynamic_shapes=({0: BATCH},)))


@Specimen
def weight_that_is_an_activation_too() -> Program:
    return captured(lambda self, x: F.linear(x, self.w) + self.w.sum(), torch.randn(2, 64), w=torch.randn(16, 64))


@Specimen
def one_convolution() -> Program:
    return captured(lambda self, x: F.conv2d(x, self.w), image(16), w=torch.randn(8, 16, 3, 3))


@Specimen
def rows_of_odd_length() -> Program:
    return captured(lambda self, x: F.linear(x, self.w), torch.randn(2, 65), w=torch.randn(16, 65))
