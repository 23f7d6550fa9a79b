"""`reestimate_batch_norm`: statistics of batch norms from calibration data, where those are others than in training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.fx import Node

from fxopt import Candidate, Fidelity, Pass, Stage, StaleCandidate
from fxopt.ir.evaluate import run_graph, run_node
from fxopt_passes.fusion.affine import batch_norm_affine
from fxopt_passes.matching import arguments, is_call, is_float, shape_of, without_defaults

if TYPE_CHECKING:
    from fxopt import Edit, Program, View
    from fxopt_passes.matching import Source

aten = torch.ops.aten

_MOST_BYTES = 2**28  # that one value may take over all samples; two or three of them are there at a time


@dataclass(frozen=True)
class ReestimateBatchNorm(Pass):
    """Replace the mean and variance in batch norms by those of what comes in over the calibration data.

    It helps where a value is no longer distributed as in training: after layers before it were pruned, approximated or
    quantized, or where the model is used on other data than it was trained on. All batch norms are done together, each
    on what the new ones before it give. On an unchanged model and data like those of training it only adds the noise of
    a small sample, and it saves no time by itself, so it is off unless `least` is given, as in
    `reestimate_batch_norm{least=0.25}`. It comes before batch norms are folded.

    It runs on any engine as the batch norm did.

    Source: Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021.
    """

    name: ClassVar[str] = "reestimate_batch_norm"
    stage: ClassVar[Stage] = Stage.SHAPE

    least: float | None = field(
        default=None,
        metadata={"help": "how far off statistics must be: standard deviations, the mean over channels; None: off"},
    )

    def __post_init__(self) -> None:
        if self.least is not None and not self.least > 0:
            raise ValueError(f"least is a number above 0, not {self.least!r}")

    def propose(self, program: Program, view: View) -> Iterator[Candidate]:
        if self.least is None:
            return
        norms = [node for node in program.calls if is_call(node, aten.batch_norm.default)]
        for node in norms:
            if not _has_statistics(program, node):
                view.decline(node, "its statistics are not constants")
        norms = [node for node in norms if _has_statistics(program, node)]
        if not norms:
            return
        site = tuple(node.name for node in norms)
        reads = {item.name for node in norms for item in node.all_input_nodes}.difference(site)
        candidate = Candidate(self.name, site, frozenset(site), frozenset(reads), fidelity=Fidelity.APPROXIMATE)
        found = view.fit(candidate, partial(_fit, program, view, set(norms), self.least))
        if found is None:
            view.decline(norms[0], "it needs calibration data (--calib)")
        elif found.fitted:
            yield found

    def apply(self, edit: Edit, candidate: Candidate) -> None:
        for node in edit.nodes(candidate):
            mean, variance = (candidate.fitted.get(f"{node.name}.{name}") for name in ("mean", "var"))
            if mean is None or variance is None:
                continue
            if not _has_statistics(edit, node) or (shape_of(node) or ())[1] != len(mean):
                raise StaleCandidate(f"{candidate.id}: {node.name} is no batch norm of {len(mean)} channels")
            call = arguments(node)
            for name, value in (("running_mean", mean), ("running_var", variance)):
                call[name] = edit.constant(value.to(edit.tensor(call[name]).dtype), name)  # type: ignore[union-attr]
            edit.replace(node, edit.call(node.target, without_defaults(node, call)))


def _fit(program: Program, view: View, norms: set[Node], least: float) -> dict[str, torch.Tensor] | None:
    """New statistics, shape (channels,), by `NODE.mean` and `NODE.var`, of those that are off; None without data."""
    batches = _batches(program, view)
    if not batches:
        return None
    # Twice the spread of a mean and a standard deviation over so few samples.
    least = max(least, 2 * math.sqrt(1.5 / sum(len(batch[0]) for batch in batches)))
    feeds = [iter(batch) for batch in batches]
    values: list[dict[Node, Any]] = [{} for _ in batches]
    found: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        for node in program.nodes:
            if node.op == "output":
                break
            new: dict[str, torch.Tensor] = {}
            if node in norms:
                new = _estimate(program, node, [known[arguments(node)["input"]] for known in values], least)
                found |= {f"{node.name}.{name}": value for name, value in new.items()}
            for known, feed in zip(values, feeds, strict=True):
                known[node] = _value(node, known, program, feed, new)
                for used in node.all_input_nodes:  # values go after their last use
                    if max(used.users) is node:
                        known.pop(used, None)
    return found


def _batches(program: Program, view: View) -> list[list[torch.Tensor]]:
    """Inputs, batch by batch, of as many samples as there is room for."""
    nodes = [node for node in program.nodes if node.op == "placeholder"]
    found: list[list[torch.Tensor]] = []
    most = 0
    for batch in view.observe([node.name for node in nodes]) or ():
        inputs = [batch[node.name].value for node in nodes]
        if not all(_fits(node, value) for node, value in zip(nodes, inputs, strict=True)):
            continue  # the rest of the data, in a Program of a fixed batch
        most = most or max(1, _MOST_BYTES // _largest(program, inputs))
        found.append(inputs)
        if len(found) == most:
            break
    return found


def _fits(node: Node, value: torch.Tensor) -> bool:
    return all(
        size == got for size, got in zip(node.meta["val"].shape, value.shape, strict=True) if isinstance(size, int)
    )


def _largest(program: Program, inputs: list[torch.Tensor]) -> int:
    """Bytes of the largest value that a call gives."""
    sizes = [1]

    def see(node: Node, value: Any) -> None:
        if is_call(node) and isinstance(value, torch.Tensor):
            sizes.append(value.nbytes)

    with torch.no_grad():
        run_graph(program.graph, program.attributes, inputs, see)
    return max(sizes)


def _value(
    node: Node,
    known: Mapping[Node, Any],
    program: Program,
    feed: Iterator[torch.Tensor],
    new: Mapping[str, torch.Tensor],
) -> Any:
    """What a node gives in one batch, a batch norm with its new statistics if there are any."""
    if node.op == "placeholder":
        return next(feed)
    if not new:
        return run_node(node, known, program.attributes)
    call = {name: known[item] if isinstance(item, Node) else item for name, item in arguments(node).items()}
    call |= {f"running_{name}": value.to(call[f"running_{name}"].dtype) for name, value in new.items()}
    return aten.batch_norm.default(*call.values())


def _estimate(program: Program, node: Node, inputs: list[torch.Tensor], least: float) -> dict[str, torch.Tensor]:
    """The statistics, float64, of what comes into a batch norm; none where its own are nearer than `least`."""
    call = arguments(node)
    axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
    count = sum(value.numel() for value in inputs) / inputs[0].shape[1]
    mean = torch.stack([value.double().sum(axes) for value in inputs]).sum(0) / count
    centre = mean.reshape(-1, *[1] * (inputs[0].dim() - 2))
    variance = torch.stack([(value - centre).square().sum(axes) for value in inputs]).sum(0) / count
    old_mean, old_variance = (program.tensor(call[name]).double() for name in ("running_mean", "running_var"))  # type: ignore[union-attr]
    ratio = (variance + call["eps"]) / (old_variance + call["eps"])
    distance = ((mean - old_mean).square() / (variance + call["eps"]) + (ratio.log() / 2).square()).sqrt()
    if not bool(distance.isfinite().all()) or float(distance.clamp_max(1).mean()) <= least:
        return {}
    return {"mean": mean, "var": variance}


def _has_statistics(source: Source, node: Node) -> bool:
    return is_call(node, aten.batch_norm.default) and is_float(node) and batch_norm_affine(source, node) is not None
