"""What tests of preparations share: passes that look at made-up samples wherever they look, and programs with sites."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional as F

from fxopt.contracts.candidate import Candidate
from fxopt.contracts.passes import Pass, View
from fxopt.ir.evaluate import run_node
from fxopt.ir.observe import observe
from fxopt.ir.program import Program
from fxopt.testing import Specimen, captured, pass_checks
from fxopt_passes.fusion.linear_maps import linear_map
from fxopt_passes.quantize.batch_norm import ReestimateBatchNorm
from fxopt_passes.quantize.smooth import Smooth
from tests.passes.quantize.calibrated import calibration

BATCH = torch.export.Dim("N", min=1, max=16)


class _Shown(Pass):
    """A pass with samples of normal inputs."""

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        data = calibration(program, seeds=40)
        yield from super().propose(
            program, dataclasses.replace(view, _observe=data and partial(observe, program, data))
        )


@dataclass(frozen=True)
class ShownSmooth(_Shown, Smooth):
    """`smooth` with samples."""


@dataclass(frozen=True)
class ShownBatchNorm(_Shown, ReestimateBatchNorm):
    """`reestimate_batch_norm` with samples."""


def uneven(layer: Any, octaves: float = 3) -> Any:
    """The layer, its rows and columns multiplied by what spreads over so many factors of two."""
    weight = layer.weight.data
    for axis in (0, 1):
        shape = [1] * weight.dim()
        shape[axis] = -1
        weight.mul_(torch.exp2((torch.rand(weight.shape[axis]) - 0.5) * 2 * octaves).reshape(shape))
    return layer


@Specimen
def separable_convolutions() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = F.relu(self.deep(F.relu(self.wide(x))))
        x = F.leaky_relu(self.narrow(x), 0.1)
        return self.head(F.max_pool2d(x, 2).flatten(1))

    return captured(
        forward, torch.randn(2, 4, 6, 6), dynamic=[{0: BATCH}], wide=uneven(nn.Conv2d(4, 8, 1)),
        deep=uneven(nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)), narrow=uneven(nn.Conv2d(8, 4, 1)),
        head=uneven(nn.Linear(36, 3)),
    )  # fmt: skip


@Specimen
def clipped_convolutions() -> Program:
    return captured(
        lambda self, x: self.last(F.relu6(self.first(x))),
        torch.randn(2, 4, 6, 6), first=uneven(nn.Conv2d(4, 8, 1)), last=uneven(nn.Conv2d(8, 4, 1)),
    )  # fmt: skip


@Specimen
def attention_after_a_norm() -> Program:
    """Two norms, of which one has no weight and the other is seen through a permutation."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = F.layer_norm(x, (8,)) + self.offset
        y = F.layer_norm(y * self.outliers, (8,))
        query, key, value = self.q(y), self.k(y), self.v(y)
        x = x + F.scaled_dot_product_attention(query, key, value)
        return self.conv(self.norm(x).permute(0, 2, 1))

    layers = {name: nn.Linear(8, 8) for name in "qkv"}
    norm = nn.RMSNorm(8)
    norm.weight.data.copy_(torch.exp2(torch.linspace(-2, 4, 8)))
    return captured(
        forward, torch.randn(2, 5, 8), dynamic=[{0: BATCH}], offset=torch.randn(8),
        outliers=torch.exp2(torch.linspace(-4, 2, 8)), norm=norm, conv=nn.Conv1d(8, 4, 3, padding=1), **layers,
    )  # fmt: skip


@Specimen
def norm_that_others_take() -> Program:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.norm(x)
        return self.linear(y) + y

    return captured(forward, torch.randn(2, 5, 8), norm=nn.LayerNorm(8), linear=nn.Linear(8, 8))


@Specimen
def norm_of_other_data() -> Program:
    norm = nn.BatchNorm2d(4)
    norm.running_mean.fill_(0.4)
    return captured(lambda self, x: self.norm(x) * 2, torch.randn(2, 4, 6, 6), dynamic=[{0: BATCH}], norm=norm)


@Specimen
def norm_with_computed_statistics() -> Program:
    def forward(_: Any, x: Tensor) -> Tensor:
        return F.batch_norm(x, x.mean((0, 2, 3)), x.abs().mean((0, 2, 3)))

    return captured(forward, torch.randn(2, 4, 6, 6))


def smooth_cases() -> list[Any]:
    """The kit's cases of `smooth`."""
    return pass_checks(
        ShownSmooth(),
        programs={attention_after_a_norm.name: attention_after_a_norm},
        near_misses={norm_that_others_take.name: (norm_that_others_take, "its user add")},
    )


def batch_norm_cases() -> list[Any]:
    """The kit's cases of `reestimate_batch_norm`.

    Not whether it comes near in programs of the zoo, whose statistics are made up: putting those right is no approximation.
    """
    own = norm_of_other_data.name
    cases = pass_checks(
        ShownBatchNorm(least=0.1),
        programs={own: norm_of_other_data},
        near_misses={norm_with_computed_statistics.name: (norm_with_computed_statistics, "are not constants")},
    )
    near = ("fidelity is honest", "other sizes give the same")
    return [case for case in cases if case.id.endswith(own) or not any(name in case.id for name in near)]


def rounded(program: Program, inputs: list[Tensor], activations: bool = False) -> Tensor:
    """The first output where weights have 8 bits, all of a layer with one scale; on request its input as well."""
    values: dict[Node, Any] = {}
    feed = iter(inputs)
    for node in program.nodes:
        if node.op == "output":
            return values[program.outputs[0]]
        if node.op == "placeholder":
            values[node] = next(feed)
            continue
        linear, known = linear_map(program, node), dict(values)
        if linear is not None:
            known[linear.weight_node] = _in_8_bits(linear.weight)
            if activations:
                known[linear.input] = _in_8_bits(known[linear.input])
        values[node] = run_node(node, known, program.attributes)
    raise AssertionError("no output")


def _in_8_bits(value: Tensor) -> Tensor:
    step = value.abs().max() / 127
    return (value / step).round() * step
