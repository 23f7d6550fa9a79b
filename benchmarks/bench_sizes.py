"""How much smaller lower precision makes the file of a model, kind by kind and engine by engine.

Run: `python -m benchmarks.bench_sizes [MODEL ...] [--out FILE] [--smoke]`. Every rewrite that a kind offers is applied, as
`--minimize size` may, and the program is written by the engine; nothing is timed or judged. Beside the ratio of whole files,
as they are and Huffman-coded, stands that of the payload: the weights that the kind covers, in floats and as stored. What
else is in a file (the graph, names, weights that are not covered) counts as stored, so that ratio is a little too low.
Prints a table and merges the models into `benchmarks/results/sizes.json`.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import by_model
from benchmarks.quantize.models import TASKS, task

if TYPE_CHECKING:
    from fxopt.compiler.context import Context
    from fxopt.compiler.search import Search
    from fxopt.contracts.engine import Engine
    from fxopt.ir.program import Program
    from fxopt.measure import Worker
    from fxopt.registry import Registry

RESULT = Path(__file__).parent / "results" / "sizes.json"
ENGINES = ("onnxruntime", "openvino")
KINDS = ("int8", "int8_weight", "int4_weight{group=128}", "kmeans")


class Sizes:
    """One model, and what it takes in each kind."""

    def __init__(self, name: str, registry: Registry, worker: Worker, folder: Path) -> None:
        from fxopt.compiler.context import Context
        from fxopt.compiler.search import search
        from fxopt.data import Data
        from fxopt.ir.capture import capture, export, positional_names
        from fxopt.ir.statistics import Statistics

        self.registry, self.worker, self.folder = registry, worker, folder
        module, inputs = task(name).build()
        program = capture(export(module, inputs), names=positional_names(module))
        calib = task(name).data().calib
        data = Data.read(lambda: islice(calib(), 1), program.interface, "calib")  # ranges have no part in a file's size
        context = Context(registry.make_target("cpu").capabilities(), Statistics(data))
        self.context: Context = context
        self.found: Search = search(program, registry.make_passes(None), registry, context)
        self.saved = 0

    def of(self, engine: Any, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Bytes of the file and of the weights covered, by kind; for floats under `"float"`.

        Args:
            engine: one with an option `huffman`.
            kinds: specs of passes.
        """
        from fxopt.compiler.lowered import lowered

        floats = self._emitted(engine, self.found.program)
        found: dict[str, dict[str, Any]] = {"float": {"bytes": floats}}
        for kind in kinds:
            context = replace(self.context, scheme=engine.quant_scheme)
            program, steps = lowered(self.found, self.registry.make_pass(kind), self.registry, context)
            if not steps:
                continue
            covered = _bytes_gone(self.found.program, program)
            size = self._emitted(engine, program)
            found[kind] = {
                "rewrites": len(steps),
                "bytes": size,
                "ratio": floats / size,
                "payload_bytes": covered,
                "payload_ratio": covered / (size - floats + covered),
                "huffman_ratio": floats / self._emitted(replace(engine, huffman=True), program),
            }
        return found

    def _emitted(self, engine: Engine, program: Program) -> int:
        from fxopt.contracts.engine import Artifact

        self.saved += 1
        source, out = self.folder / f"{self.saved}" / "program", self.folder / f"{self.saved}" / "model"
        source.mkdir(parents=True)
        program.save(source)
        self.worker.emit(engine.spec(), source, out)
        return Artifact.read(out).size_bytes()


def _bytes_gone(before: Program, after: Program) -> int:
    """Bytes of the tensors that only the first has: what was covered."""
    left = after.attribute_bytes
    return sum(size for name, size in before.attribute_bytes.items() if name not in left)


def table(name: str, model: dict[str, Any]) -> str:
    """One model as text."""
    lines = [name]
    for engine, kinds in model["engines"].items():
        lines.append(f"  {engine:<24} {kinds['float']['bytes'] / 1e6:8.2f} MB in floats")
        for kind, found in kinds.items():
            if kind != "float":
                lines.append(
                    f"    {kind:<22} {found['bytes'] / 1e6:8.2f} MB, {found['ratio']:.2f} times smaller;"
                    f" payload {found['payload_ratio']:.2f}; Huffman-coded {found['huffman_ratio']:.2f}; {found['rewrites']} rewrites"
                )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    from fxopt import Registry
    from fxopt.measure import Limits, Worker

    parser = by_model.parser(__doc__, TASKS, RESULT)
    options = parser.parse_args(arguments)
    registry = Registry.load()
    machine = registry.make_target("cpu").machine()
    for name in by_model.chosen(parser, options, TASKS):
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder, Worker(Limits(build_s=600)) as worker:
            sizes = Sizes(name, registry, worker, Path(folder))
            engines = {engine: sizes.of(registry.make_engine(engine), KINDS) for engine in ENGINES}
        model = {
            "title": task(name).title,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": asdict(machine),
            "engines": engines,
        }
        print(table(name, model), flush=True)
        by_model.keep(options.out, "sizes", TASKS, {name: model})
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
