"""Small networks, each awkward for an engine in one way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from fxopt.ir.capture import capture, export
from fxopt.ir.program import Program

BATCH = torch.export.Dim("N", min=1, max=64)


def program(model: nn.Module, *inputs: Tensor, dynamic: bool = False, measured: int = 2) -> Program:
    """A model as a Program; the first axis of every input is dynamic, if any."""
    shapes: Any = tuple({0: BATCH} for _ in inputs) if dynamic else None
    return capture(export(model, inputs, dynamic_shapes=shapes), {"N": measured} if dynamic else None)


class ConvNet(nn.Module):
    """Convolution with batch norm and ReLU6, a residual, pooling, a head: image (N, 3, 16, 16) to logits (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Linear(16, 5)
        for norm in (self.stem[1], self.body[1]):
            nn.init.uniform_(norm.running_mean, -1, 1)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(torch.relu(x + self.body(x)).mean((2, 3)))


class Transformer(nn.Module):
    """Token ids (N, 6) and a mask (N, 6) to hidden states (N, 6, 16) and the first token's logits (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 16)
        self.project = nn.Linear(16, 48)
        self.norm = nn.LayerNorm(16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))
        self.head = nn.Linear(16, 3)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        x = self.table(tokens)
        q, k, v = self.project(x).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = self.norm(x + y.transpose(1, 2).flatten(2))
        x = x + self.mlp(x)
        return {"hidden": x, "logits": self.head(x[:, 0])}


class ManyOutputs(nn.Module):
    """An input, a value and itself once more, a scalar, integers and booleans."""

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        c = a @ b
        return b, c, c, c.sum(), c.argmax(1), c > 0


class GivesBack(nn.Module):
    """An input as it is, a weight, and a value."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return x, self.weight, x * self.weight


class Branches(nn.Module):
    """A linear layer in either branch of a condition on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.mean() > 0, lambda x: self.left(x).relu(), lambda x: self.right(x) * 2, (x,))


class Half(nn.Module):
    """Arithmetic in half precision."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 + 1


class Unused(nn.Module):
    """Ignores its second input."""

    def forward(self, x: Tensor, unused: Tensor) -> Tensor:
        return x.exp()


class Merged(nn.Module):
    """Two convolutions in a row, or the same as one."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(count)))

    def forward(self, x: Tensor) -> Tensor:
        return self.convs(x).relu()


_RANDOM = torch.Generator().manual_seed(0)  # else what the inputs are depends on what was imported before


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=_RANDOM)


CASES: dict[str, tuple[type[nn.Module], Sequence[Tensor], bool]] = {
    "convolutions": (ConvNet, [_normal(2, 3, 16, 16)], True),
    "static": (ConvNet, [_normal(1, 3, 16, 16)], False),
    "transformer": (
        Transformer,
        [torch.randint(0, 11, (2, 6), generator=_RANDOM), torch.rand(2, 6, generator=_RANDOM) < 0.8],
        True,
    ),
    "many outputs": (ManyOutputs, [_normal(3, 4), _normal(4, 5)], False),
    "outputs that are no calls": (GivesBack, [_normal(3, 4)], False),
    "condition": (Branches, [_normal(2, 4)], False),
    "half": (Half, [_normal(2, 4).half()], False),
    "unused input": (Unused, [_normal(2, 4), _normal(2, 4)], True),
}


@lru_cache
def case(name: str) -> tuple[Program, list[Tensor]]:
    """The named network as a Program, with inputs."""
    torch.manual_seed(0)
    model, inputs, dynamic = CASES[name]
    return program(model(), *inputs, dynamic=dynamic), list(inputs)
