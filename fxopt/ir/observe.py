"""Values inside a Program over calibration data, and how much its outputs depend on them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch.fx import Node

from fxopt.contracts.passes import Observed
from fxopt.data import Batch, Data
from fxopt.errors import DataError
from fxopt.ir.evaluate import run_node
from fxopt.ir.export_error import reason
from fxopt.ir.program import Program

MOST_SAMPLES = 512  # that anything is fitted to
MOST_GRADIENTS = 64  # that gradients are taken of: they cost twice a run, and their spread over samples is small
# Samples of a batch, on any machine, so that no figure depends on its cores. Larger tensors are not kept by the allocator, and to
# get their pages anew takes as long as to compute them.
_AT_ONCE = 2
_SIDE_BY_SIDE = 4  # batches at the most, each of which is held in memory with all that leads to it


def observe(
    program: Program,
    data: Data,
    names: Collection[str],
    gradients: bool = False,
    seed: int = 0,
    most: int | None = None,
) -> Iterator[Mapping[str, Observed]]:
    """As `View.observe`, over samples from all parts of the data, which may be sorted.

    Args:
        program: what is run.
        data: what it is run on.
        names: of the nodes whose values are wanted.
        gradients: whether they come with their gradients.
        seed: of the answers that are drawn.
        most: samples that are run; None: `MOST_SAMPLES`, with gradients `MOST_GRADIENTS`.

    Raises:
        DataError: the Program fails on the data.
    """
    most = most or (MOST_GRADIENTS if gradients else MOST_SAMPLES)
    part = data if data.samples <= most else data.part(number * data.samples // most for number in range(most))
    workers = _workers()
    ahead = workers if workers > 1 else 0
    wanted, waiting = set(names), deque[tuple[Batch, Future[dict[str, Observed]]]]()
    pool = ThreadPoolExecutor(workers)
    try:
        for number, batch in enumerate(part.batches(_AT_ONCE)):
            random = torch.Generator().manual_seed(seed + number) if gradients else None
            waiting.append((batch, pool.submit(_run, program, list(batch.inputs), wanted, random)))
            if len(waiting) > ahead:
                yield _seen(*waiting.popleft(), data)
        while waiting:
            yield _seen(*waiting.popleft(), data)
    finally:
        pool.shutdown(cancel_futures=True)


def _workers() -> int:
    """How many batches are run side by side: as many as there are cores, where PyTorch uses one for each."""
    return min(_SIDE_BY_SIDE, len(os.sched_getaffinity(0))) if torch.get_num_threads() == 1 else 1


def _seen(batch: Batch, run: Future[dict[str, Observed]], data: Data) -> dict[str, Observed]:
    try:
        found = run.result()
    except Exception as error:
        raise DataError(f"the model cannot be run on {data.name}: {reason(error)}") from error
    return {name: _first(item, len(batch.inputs[0]), batch.samples) for name, item in found.items()}


def _first(item: Observed, rows: int, samples: int) -> Observed:
    """Without the samples that only fill a batch up."""
    value = item.value
    if rows == samples or not isinstance(value, torch.Tensor) or not value.dim() or len(value) != rows:
        return item
    return Observed(value[:samples], None if item.gradient is None else item.gradient[:samples])


def _run(
    program: Program, inputs: list[torch.Tensor], names: set[str], random: torch.Generator | None
) -> dict[str, Observed]:
    values: dict[Node, Any] = {}
    seen: dict[str, Any] = {}
    feed = iter(inputs)
    outputs: list[Any] = []
    with torch.set_grad_enabled(random is not None):
        for node in program.graph.nodes:
            if node.op == "output":
                outputs = [values[item] for item in node.args[0] if isinstance(item, Node)]
                break
            value = next(feed) if node.op == "placeholder" else run_node(node, values, program.attributes)
            if node.name in names:
                if random is not None and isinstance(value, torch.Tensor) and value.is_floating_point():
                    value = value.detach().requires_grad_() if not value.requires_grad else value
                    value.retain_grad()
                seen[node.name] = value
            values[node] = value
            if random is None:
                for used in node.all_input_nodes:  # values go after their last use
                    if used in values and max(used.users) is node:
                        del values[used]
        if random is None:
            return {name: Observed(value) for name, value in seen.items()}
        floats = [item for item in outputs if isinstance(item, torch.Tensor) and item.requires_grad]
        if floats:
            torch.autograd.backward(_log_likelihood(floats, random))
    return {
        name: Observed(value.detach(), value.grad) if isinstance(value, torch.Tensor) else Observed(value)
        for name, value in seen.items()
    }


def _log_likelihood(outputs: list[torch.Tensor], random: torch.Generator) -> torch.Tensor:
    """The log likelihood of an answer drawn from the model itself, summed over samples.

    One output of scores of classes, (samples, classes), is taken for logits: the answer is a class drawn by its
    probability, so that squared gradients are the Fisher information. Any other output is taken for the mean of a normal
    distribution around which the answer is drawn (Gauss-Newton), scaled by the output's own root mean square, so that
    what counts is the relative change.
    """
    if len(outputs) == 1 and outputs[0].dim() == 2 and outputs[0].shape[1] > 1:
        logits = outputs[0].log_softmax(1)
        answer = torch.multinomial(logits.detach().double().exp(), 1, generator=random)
        return logits.gather(1, answer).sum()
    total = torch.zeros(())
    for output in outputs:
        noise = torch.randn(output.shape, generator=random, dtype=torch.float32).to(output.dtype)
        size = output.detach().square().mean().sqrt().clamp_min(torch.finfo(output.dtype).tiny)
        total = total + (output * noise).sum() / size / (output[0].numel() if output.dim() else 1) ** 0.5
    return total
