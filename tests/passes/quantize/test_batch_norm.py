"""`reestimate_batch_norm`: statistics of batch norms from calibration data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxopt.contracts.candidate import Fidelity, Stage
from fxopt.contracts.passes import View
from fxopt.ir.evaluate import run_graph
from fxopt.ir.program import Program
from fxopt.testing import captured
from fxopt_passes.quantize.batch_norm import ReestimateBatchNorm
from tests.passes.apply import apply
from tests.passes.quantize.kinds import offers, reasons
from tests.passes.quantize.prepared import BATCH, norm_with_computed_statistics

RULE = ReestimateBatchNorm(least=0.25)


class Net(nn.Module):
    """Three convolutions with batch norms, one of them beside a shortcut; image (N, 3, 8, 8) to scores (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList(nn.Conv2d(3 if k == 0 else 8, 8, 3, padding=1) for k in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))
        self.head = nn.Linear(8, 5)
        self.last = nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Any:
        x = self.norms[0](self.convs[0](x)).relu()
        x = (x + self.norms[1](self.convs[1](x))).relu()
        return self.last(self.head(self.norms[2](self.convs[2](x)).relu().mean((2, 3))))


def images(shift: float = 0.0, batches: int = 16) -> list[tuple[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(16, 3, 8, 8, generator=generator) * (1 + shift) + shift,) for _ in range(batches)]


def trained() -> Net:
    """A net whose statistics are those of `images()`, as training leaves them."""
    net = Net()
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = None  # a plain average
    net.train()
    with torch.no_grad():
        for (batch,) in images():
            net(batch)
    return net.eval()


def program(net: nn.Module, dynamic: bool = True) -> Program:
    return captured(lambda self, x: self.net(x), images()[0][0], dynamic=[{0: BATCH}] if dynamic else None, net=net)


def statistics(found: Program) -> list[tuple[Tensor, Tensor]]:
    return [
        tuple(found.tensor(node.args[k]) for k in (3, 4)) for node in found.calls if "batch_norm" in str(node.target)
    ]


@pytest.mark.parametrize("dynamic", [True, False])
def test_on_shifted_data_every_norm_gives_again_what_it_gave_in_training(dynamic: bool) -> None:
    before = program(trained(), dynamic)
    (candidate,) = offers(RULE, before, data=images(shift=1.0))
    assert candidate.fidelity is Fidelity.APPROXIMATE
    after = apply(before, RULE, [candidate])
    # The first norm takes the shift away, so that those after it see what they saw in training, but for the borders.
    scores = [torch.cat([item.run(list(batch))[0] for batch in data]) for item, data in (
        (before, images()), (before, images(1.0)), (after, images(1.0)))]  # fmt: skip
    assert (scores[1] - scores[0]).norm() > 1.5 * (scores[2] - scores[0]).norm()
    torch.testing.assert_close(scores[2].mean(0), torch.zeros(5), atol=0.25, rtol=0)
    assert offers(RULE, after, data=images(shift=1.0)) == []


def test_each_norm_is_estimated_on_what_the_new_ones_before_it_give() -> None:
    net = trained()
    before = program(net)
    after = apply(before, replace(RULE, least=0.01), offers(replace(RULE, least=0.01), before, data=images(1.0)))
    values: dict[Any, list[Tensor]] = {}
    for batch in images(1.0):
        run_graph(
            after.graph, after.attributes, list(batch), lambda node, value: values.setdefault(node, []).append(value)
        )
    changed = 0
    for node, (mean, variance), (old, _) in zip(
        [node for node in after.calls if "batch_norm" in str(node.target)],
        statistics(after),
        statistics(before),
        strict=True,
    ):
        seen = torch.cat(values[node.args[0]]).double()
        axes = [axis for axis in range(seen.dim()) if axis != 1]
        if not torch.equal(mean, old):
            changed += 1
            torch.testing.assert_close(mean.double(), seen.mean(axes), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(variance.double(), seen.var(axes, unbiased=False), atol=1e-5, rtol=1e-4)
    assert changed >= 1


def test_statistics_that_agree_are_left_alone_and_few_samples_prove_nothing() -> None:
    found = program(trained())
    assert offers(RULE, found, data=images()) == []
    assert offers(RULE, found, data=images(shift=0.4))
    assert offers(RULE, found, data=[(images(shift=0.4)[0][0][:2],)]) == []


def test_a_changed_layer_changes_only_the_norms_after_it() -> None:
    net = trained()
    net.convs[2].weight.data.mul_(0.3)
    before = program(net)
    (candidate,) = offers(RULE, before, data=images())
    after = apply(before, RULE, [candidate])
    same = [torch.equal(a[0], b[0]) for a, b in zip(statistics(before), statistics(after), strict=True)]
    assert same == [True, True, False, True]
    original = program(trained())
    errors = [
        (
            torch.cat([item.run(list(b))[0] for b in images()])
            - torch.cat([original.run(list(b))[0] for b in images()])
        ).norm()
        for item in (before, after)
    ]
    assert errors[1] < 0.1 * errors[0]


def test_it_is_off_by_default_and_comes_before_norms_are_folded() -> None:
    found = program(trained())
    assert offers(ReestimateBatchNorm(), found, data=images(1.0)) == []
    assert reasons(ReestimateBatchNorm(), found, data=images(1.0)) == []
    assert RULE.stage < Stage.FUSE


def test_without_data_the_known_statistics_are_taken_and_none_are_made_up() -> None:
    found = program(trained(), dynamic=False)
    assert reasons(RULE, found) == ["it needs calibration data (--calib)"]
    (candidate,) = offers(RULE, found, data=images(1.0))
    (again,) = RULE.propose(found, View(RULE.name, _fitted=candidate.tensors))
    assert again == candidate
    after, other = (apply(found, RULE, [item]) for item in (candidate, again))
    inputs = list(images()[0])
    assert torch.equal(after.run(inputs)[0], other.run(inputs)[0])


def test_statistics_that_are_no_constants_are_declined() -> None:
    found = norm_with_computed_statistics()
    assert reasons(RULE, found, data=[(torch.randn(2, 4, 6, 6),)]) == ["its statistics are not constants"]


@pytest.mark.parametrize("least", [0.0, -1.0, float("nan")])
def test_a_threshold_of_nothing_is_refused(least: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ReestimateBatchNorm(least=least)
