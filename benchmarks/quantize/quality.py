"""How much worse an artifact is than the original, on samples that it was not made with: paired, with intervals."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.quantize.data import Samples
from benchmarks.quantize.store import Store
from fxopt.contracts.engine import Artifact
from fxopt.contracts.metric import Metric
from fxopt.contracts.target import Machine
from fxopt.data import Data
from fxopt.measure import Limits, Worker
from fxopt.verify.paired import PairedDrop
from fxopt.verify.score import collect


class Judge:
    """Artifacts of one model, judged on one set of samples; what was judged once is kept.

    Attributes:
        metrics: by spec; each has a drop.
        data: the samples.
        originals: the original's outputs, of shape (samples, ...).
    """

    def __init__(
        self, metrics: Mapping[str, Metric], data: Data, originals: Tensor, machine: Machine, store: Store
    ) -> None:
        self.metrics, self.data, self.originals, self.store = metrics, data, originals, store
        self._stamp = (machine.cpu, machine.isa, sorted(machine.versions.items()))

    def drops(self, engine: str, artifact: Path) -> dict[str, PairedDrop]:
        """By metric.

        Raises:
            EngineError: the engine fails on the artifact.
            MetricError: the outputs have no value.
        """
        key = (engine, digest(artifact), self.data.digest, *self.metrics, *self._stamp)
        found = self.store.arrays(key, lambda: self._statistics(engine, artifact))
        return {
            spec: PairedDrop.between(metric, found[f"{spec} original"], found[spec])
            for spec, metric in self.metrics.items()
        }

    def _statistics(self, engine: str, artifact: Path) -> dict[str, Tensor]:
        outputs, found = run_all(engine, artifact, self.data), {}
        for spec, metric in self.metrics.items():
            for name, value in ((f"{spec} original", self.originals), (spec, outputs)):
                found[name] = collect(metric, value, self.labels, self.originals)
        return found

    @cached_property
    def labels(self) -> Tensor | None:
        """Of all samples, where there are any."""
        found = [batch.labels for batch in self.data.batches()]
        return None if found[0] is None else torch.cat(found)


def originals(module: nn.Module, samples: Samples, labelled: bool, key: Sequence[object], store: Store) -> Tensor:
    """Outputs of the module itself on all samples, of shape (samples, ...)."""

    def make() -> dict[str, Tensor]:
        rows = []
        with torch.no_grad():
            for batch in samples():
                inputs = batch[0] if labelled else batch
                rows.append(module(*inputs) if isinstance(inputs, tuple) else module(inputs))
        return {"outputs": torch.cat(rows)}

    return store.arrays(("originals", *key), make)["outputs"]


def run_all(engine: str, artifact: Path, data: Data) -> Tensor:
    """The one output of an artifact on all samples, of shape (samples, ...), from a process of its own."""
    with Worker(Limits()) as worker:
        worker.load(engine, artifact)
        rows = [worker.run([value.numpy() for value in batch.inputs])[0] for batch in data.batches()]
    return torch.from_numpy(np.concatenate(rows))


def digest(artifact: Path) -> str:
    """Of the contents of an artifact's files, but for the stamp of a check, which not every artifact has."""
    content = hashlib.sha256()
    files = (file for file in artifact.rglob("*") if file.is_file() and file.name not in Artifact.CHECKED)
    for file in sorted(files):
        content.update(f"{file.relative_to(artifact)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return content.hexdigest()
