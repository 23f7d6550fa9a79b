"""How much a rewrite that is not exact costs, without labels and without building anything."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node

from fxopt.contracts.passes import Observed
from fxopt.data import Data
from fxopt.ir.edit import Record
from fxopt.ir.evaluate import run_nodes
from fxopt.ir.observe import observe
from fxopt.ir.program import Program
from fxopt.verify.fidelity import region

Round = tuple[Program, Sequence[Record]]

SAMPLES = 32  # a mean square of so many is off by a quarter; rewrites differ by orders of magnitude


def sensitivities(
    before: Program, rounds: Sequence[Round], data: Data, known: Collection[str] = (), most: int = SAMPLES
) -> dict[str, float]:
    """The expected loss that each rewrite brings: half the mean of the square of `sum(g * dy)`.

    `dy` is the change of the rewritten region's outputs, its inputs being the original's; `g` the gradient there, as
    `View.observe` has it; the sum is over all outputs of the region for one sample, before it is squared. That is the
    second-order term of the divergence between the model and the rewritten one (the first vanishes at the model itself).
    It ranks rewrites, and where something has to be given back says where to look first. What they cost together is measured.

    Args:
        before: the Program before each of the rounds.
        rounds: the Program after each, and what each candidate of it did; the gradients of one run serve them all.
        data: calibration data.
        known: ids of candidates that are left out.
        most: samples that are used.

    Returns:
        By id of the candidate; nats for a classifier. Those are absent whose values do not begin with the sample axis.

    Raises:
        DataError: the Program fails on the data.
    """
    regions = [
        _Replaced(record, after, records)
        for after, records in rounds
        for record in records
        if record.candidate.id not in known
    ]
    if not regions:
        return {}
    names = {name for item in regions for name in (*item.olds, *item.border.values())}
    total = dict.fromkeys((item.identity for item in regions), 0.0)
    samples = 0
    for batch in observe(before, data, names, gradients=True, most=most):
        with torch.no_grad():
            count = 1
            for item in list(regions):
                try:
                    products = item.products(batch)
                except Exception:  # noqa: BLE001 - its values do not begin with the sample axis, and cannot be taken apart
                    regions.remove(item)
                    del total[item.identity]
                    continue
                count = max(count, len(products))
                total[item.identity] += float(products.square().sum())
        samples += count
    return {key: value / 2 / max(samples, 1) for key, value in total.items()}


class _Replaced:
    """What one candidate put in place of what, and from which values of the original it is computed."""

    def __init__(self, record: Record, after: Program, records: Sequence[Record]) -> None:
        self.identity, self.after = record.candidate.id, after
        pairs = [(old, new) for old, new in record.replaced if new in after]
        self.olds, self.news = [old for old, _ in pairs], [after.node(new) for _, new in pairs]
        created = set(record.created)
        self.nodes, border = region(self.news, lambda node: node.name in created)
        origin = {new: old for item in records for old, new in item.replaced}
        self.constants = [node for node in border if node.op == "get_attr"]
        self.border = {node: origin.get(node.name, node.name) for node in border if node.op != "get_attr"}

    def products(self, batch: Mapping[str, Observed]) -> torch.Tensor:
        """`sum(g * dy)` of each sample, float64."""
        values: dict[Node, Any] = {node: self.after.attributes[str(node.target)] for node in self.constants}
        values |= {node: batch[name].value for node, name in self.border.items()}
        run_nodes(self.nodes, values, self.after.attributes)
        total = torch.zeros(1, dtype=torch.float64)
        for old, new in zip(self.olds, self.news, strict=True):
            seen = batch[old]
            if seen.gradient is not None:
                change = (values[new].to(seen.value.dtype) - seen.value).reshape(len(seen.value), -1)
                total = total + torch.linalg.vecdot(change, seen.gradient.reshape(change.shape)).double()
        return total
