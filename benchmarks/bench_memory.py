"""Peak memory of activations: as foretold, as tensors hold it, and as ONNX Runtime reports it of its own arena.

Run: `python -m benchmarks.bench_memory [MODEL ...] [--out FILE] [--smoke]`. For each model, in floats and with `int8` wherever
it is offered (ranges of made-up data): what is foretold of the unmodified Program call by call, beside what its real tensors hold when
each is let go after its last use; and what is foretold of it as ONNX Runtime runs it, beside the bytes that its kernels have
asked its arena for at most. Nothing is timed. Prints a table and merges the models into `benchmarks/results/memory.json`.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from benchmarks import by_model, models

if TYPE_CHECKING:
    from fxopt import Engine, Program, Registry

RESULT = Path(__file__).parent / "results" / "memory.json"
MODELS: dict[str, Callable[[], models.Model]] = {
    **{name: partial(models.build, name) for name in models.MODELS if name != "bert_eager"},
    **{name: partial(models.timm_model, name) for name in ("densenet121", "regnety_004")},
}


def held(program: Program, inputs: list[Tensor]) -> int:
    """Most bytes that inputs and activations really hold at once where each value is let go after its last use."""
    from fxopt.ir.evaluate import run_graph

    owned = {value.untyped_storage().data_ptr() for value in program.attributes.values() if isinstance(value, Tensor)}
    last = {used: node for node in program.nodes for used in node.all_input_nodes}
    values: dict[str, Any] = {}
    peak = 0

    def see(node: Node, value: Any) -> None:
        nonlocal peak
        if node.op != "get_attr":
            values[node.name] = value
        tensors = [leaf for value in values.values() for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
        storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
        peak = max(peak, sum(size for pointer, size in storages.items() if pointer not in owned))
        for used in node.all_input_nodes:
            if last[used] is node:
                values.pop(used.name, None)
        if node not in last:
            values.pop(node.name, None)

    with torch.no_grad():
        run_graph(program.graph, program.attributes, inputs, see)
    return peak


def of_engine(program: Program, engine: Engine) -> dict[str, int | None]:
    """Bytes of a Program as an engine runs it: foretold by which calls it runs together, and reported."""
    from fxopt.ir.samples import sample_inputs
    from fxopt.prices.fusion import clusters
    from fxopt.prices.memory import peak_bytes

    with tempfile.TemporaryDirectory() as folder:
        artifact = engine.emit(program, Path(folder))
        kernels = engine.fused_kernels(artifact).kernels
        together = [c.nodes for c in clusters(program, [{"covers": kernel.covers, "ms": None} for kernel in kernels])]
        return {
            "predicted": peak_bytes(program, together, engine.memory),
            "reported": engine.peak_bytes(artifact, [value.numpy() for value in sample_inputs(program)]),
        }


def measure(built: models.Model, registry: Registry) -> dict[str, Any]:
    """All figures of one model."""
    from fxopt.compiler.lowered import Lowering, of_made_up_data
    from fxopt.ir.capture import capture, export, positional_names
    from fxopt.ir.samples import sample_inputs
    from fxopt.prices.memory import peak_bytes

    module, inputs = built
    program = capture(export(module, inputs), names=positional_names(module))
    engine = registry.make_engine("onnxruntime{threads=1}")
    target = registry.make_target("cpu")
    ((_, lowered),) = of_made_up_data(program, [Lowering("int8", engine)], registry, target)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": target.machine().versions,
        "program": {"predicted": peak_bytes(program), "held": held(program, sample_inputs(program))},
        "float": of_engine(program, engine),
        "int8": of_engine(lowered, engine),
    }


def table(name: str, model: dict[str, Any]) -> str:
    """One model as a line."""
    kib = [model["program"]["predicted"] / 1024, model["program"]["held"] / 1024]
    text = f"{name:<22} call by call {kib[0]:8.0f} KiB, held {kib[1]:8.0f}"
    for kind in ("float", "int8"):
        found = model[kind]
        off = found["predicted"] / found["reported"] - 1
        text += f"; {kind} {found['predicted'] / 1024:8.0f}, reported {found['reported'] / 1024:8.0f} ({off:+.1%})"
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    from benchmarks.quantize.models import tiny
    from fxopt import Registry

    parser = by_model.parser(__doc__, MODELS, RESULT)
    options = parser.parse_args(arguments)
    registry = Registry.load()
    for name in by_model.chosen(parser, options, MODELS):
        print(f"{name} ...", file=sys.stderr, flush=True)
        model = measure(tiny().build() if name == by_model.TINY else MODELS[name](), registry)
        print(table(name, model), flush=True)
        by_model.keep(options.out, "memory", MODELS, {name: model})
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
