"""The networks that a CPU is profiled on."""

from __future__ import annotations

import torch

from fxopt.ir.capture import capture, export
from fxopt_plugins.targets.cpu import Cpu


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
