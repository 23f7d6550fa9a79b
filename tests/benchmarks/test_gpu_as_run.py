"""What PyTorch runs beside the calls of a model, and where values lie with channels last."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.gpu.as_run import as_run
from benchmarks.gpu.layout import channels_last, dense, in_batches, laid
from benchmarks.gpu.mixed import mixed
from fxopt.ir.capture import capture, export
from fxopt_plugins.targets.gpu_kernels import Call, calls_of


class Tokens(nn.Module):
    """Channels as tokens to a linear layer, or rows as tokens, which have to be copied."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        self.turned, self.first, self.second = turned, nn.Conv2d(3, 16, 1), nn.Linear(16, 8)

    def forward(self, image: Tensor) -> Tensor:
        found = self.first(image)
        tokens: Tensor = self.second(found.transpose(1, 2) if self.turned else found.flatten(2).transpose(1, 2))
        return tokens


class Resized(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return functional.interpolate(image, scale_factor=2, mode="bilinear")


class Windows(nn.Module):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value)


class Normalized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(16), nn.Linear(16, 16)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.norm(self.layer(tokens))
        return found


def run(module: nn.Module, *inputs: Tensor, apart: bool = True) -> list[Call]:
    program = capture(export(module.eval(), inputs))
    return as_run(calls_of(program, width=mixed(program, not apart)), laid(program), apart)


def kinds(calls: list[Call]) -> list[str]:
    return [call.kind for call in calls if call.kind != "view"]


def test_where_values_lie() -> None:
    image = torch.empty(2, 8, 4, 4)
    turned = image.contiguous(memory_format=torch.channels_last)
    lie, other = ((tuple(value.shape), value.stride()) for value in (image, turned))
    assert dense(lie) and not channels_last(lie)
    assert channels_last(other) and not dense(other)
    columns = image.transpose(2, 3)
    assert in_batches((tuple(columns.shape), columns.stride())) and not in_batches(other)


def test_tokens_of_an_image_are_a_view_with_channels_last() -> None:
    image = torch.zeros(1, 3, 16, 16)
    assert kinds(run(Tokens(turned=False), image)) == ["stem", "linear"]
    assert kinds(run(Tokens(turned=True), image)) == ["stem", "move", "linear"]


def test_normalizations_cast_to_float32_where_nothing_is_compiled() -> None:
    tokens = torch.zeros(1, 5, 16)
    found = [call for call in run(Normalized(), tokens) if call.kind != "view"]
    assert [(call.kind, call.bytes) for call in found] == [("linear", 160), ("pointwise", 320), ("normalization", 320)]
    assert kinds(run(Normalized(), tokens, apart=False)) == ["linear", "normalization"]


def test_attention_of_more_than_four_dimensions_is_products_and_softmax() -> None:
    assert kinds(run(Windows(), *(torch.zeros(1, 2, 9, 8) for _ in range(3)))) == ["attention"]
    found = run(Windows(), *(torch.zeros(1, 2, 3, 9, 8) for _ in range(3)), apart=False)
    assert kinds(found) == ["pointwise", "pointwise", "move", "matmul", "softmax", "matmul", "pointwise"]
    products = [call for call in found if call.kind == "matmul"]
    assert [call.dtype for call in products] == ["tf32", "tf32"]
    assert [call.size for call in products] == [(9, 9, 8, 6), (9, 8, 9, 6)]


def test_resizing_walks_through_channels_one_by_one_where_they_do_not_lie_last() -> None:
    class Turned(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            return functional.interpolate(tokens.transpose(1, 2).reshape(1, 6, 4, 4), scale_factor=2, mode="bilinear")

    assert kinds(run(Resized(), torch.zeros(1, 6, 4, 4))) == ["move"]
    rows = torch.zeros(1, 6, 16).transpose(1, 2)
    serial = [call for call in run(Turned(), rows.contiguous()) if call.kind == "serial"]
    assert not serial  # tokens of channels are an image with channels last

    class Heads(nn.Module):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            found = (left @ right).reshape(1, 6, 4, 4)
            return functional.interpolate(found, scale_factor=2, mode="bilinear")

    found = run(Heads(), torch.zeros(1, 6, 16), torch.zeros(1, 16, 16))
    assert [call.flops for call in found if call.kind == "serial"] == [6]
