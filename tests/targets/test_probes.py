"""The networks that a CPU is profiled on."""

from __future__ import annotations

import torch
from torch import nn

from fxopt.ir.capture import capture, export
from fxopt_plugins.targets.cpu import Cpu
from fxopt_plugins.targets.probe_images import Residual


def test_each_probe_can_be_captured_and_is_the_same_each_time() -> None:
    found = list(Cpu().probes())
    digests = []
    for probe in [*found, found[0]]:
        torch.manual_seed(probe.seed)
        module, inputs = probe.make(probe.seed)
        digests.append(capture(export(module.eval(), inputs)).structure_digest)
    assert digests[-1] == digests[0]
    assert len(set(digests)) == len(found)
    assert len({probe.name for probe in found}) == len(found)


def test_norms_are_as_training_leaves_them() -> None:
    """Engines leave out what scales by one and adds nothing: their kernels would not be those of trained networks."""
    for probe in list(Cpu().probes())[:7]:
        norms = [m for m in probe.make(probe.seed)[0].modules() if isinstance(m, nn.LayerNorm | nn.BatchNorm2d)]
        assert norms
        assert all((norm.weight != 1).any() and (norm.bias != 0).any() for norm in norms)


def test_the_first_ones_hold_what_engines_see_in_networks_for_training() -> None:
    first = [m for probe in list(Cpu().probes())[:7] for m in probe.make(probe.seed)[0].modules()]
    assert any(isinstance(module, nn.Dropout) for module in first)
    assert any(isinstance(m, Residual) and not isinstance(m.beside, nn.Identity) for m in first)
