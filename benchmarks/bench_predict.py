"""How well latencies are foretold of networks of a family of which nothing was ever built.

Run: `python -m benchmarks.bench_predict [MODEL ...] [--out FILE] [--profile FOLDER] [--smoke]`. Each model is built in
floats, in bfloat16 and with all the int8 that it is offered, on ONNX Runtime and OpenVINO, profiled and timed with 1 and 2
threads. Then each family is foretold from a table that holds the builds of all other families and nothing of its own; with
`--profile` also what `fxopt profile` has measured (the folder that `FXOPT_PRICES` named). Beside it stand a fit of
FLOPs, the roofline alone, a table that knows single calls but not which ones run together, and how far two
measurements of the same build are apart. Prints a table and writes `benchmarks/results/predict.json`.
"""

from __future__ import annotations

import datetime
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import torch
from scipy import stats
from torch import nn

from benchmarks import by_model
from benchmarks.models import MODELS, Model, bert, build, randomize, timm_model

if TYPE_CHECKING:
    from fxopt.contracts.engine import Engine
    from fxopt.ir.program import Program
    from fxopt.prices import KernelTable, Place
    from fxopt.registry import Registry

RESULT = Path(__file__).parent / "results" / "predict.json"
ENGINES, THREADS = ("onnxruntime", "openvino"), (1, 2)
WITHIN = 0.15


def tiny() -> Model:
    """To see that the benchmark runs."""
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return randomize(nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(5)), (torch.randn(1, 3, 16, 16),))


def _named(name: str) -> Callable[[], Model]:
    return lambda: build(name) if name in MODELS else timm_model(name)


FAMILIES: dict[str, dict[str, Callable[[], Model]]] = {
    "CNN": {name: _named(name) for name in ("resnet18", "resnet50", "densenet121", "regnety_004", "repvgg_a0")},
    "mobile": {
        name: _named(name)
        for name in ("mobilenetv2_050", "mobilenetv2_100", "mobilenetv3_large_100", "efficientnet_b0", "mnasnet_100")
    },
    "ViT": {name: _named(name) for name in ("vit_tiny_patch16_224", "vit_small_patch32_224", "mixer_s32_224")},
    "BERT": {"bert": bert, "bert_eager": lambda: bert("eager")},
}
NAMES = {name: family for family, models in FAMILIES.items() for name in models}
KINDS = ("float32", "bfloat16", "int8")


@dataclass(frozen=True)
class Case:
    """A build, measured."""

    model: str
    kind: str
    engine: str  # spec, with threads
    place: Place
    program: Program
    kernels: list[dict[str, Any]]
    milliseconds: float
    again: float  # once more, in another process

    @property
    def family(self) -> str:
        """Of the model."""
        return NAMES.get(self.model, by_model.TINY)


def measured(name: str, registry: Registry, keep: Path) -> Iterator[Case]:
    """All builds of a model; what was measured before is read back."""
    from fxopt.errors import FxoptError
    from fxopt.ir.program import Program
    from fxopt.prices import Place
    from fxopt.prices.calibrate import profiled

    machine = registry.make_target("cpu").machine()
    for engine, kind, make in _variants(name, registry):
        file = keep / f"{name} {engine.name} {kind}.json"
        folder = file.with_suffix("")
        if not file.exists():
            try:
                program = make()
                found = []
                for there, kernels, first in profiled(engine, THREADS, program):
                    found.append([there.spec(), kernels, first, _again(there, program)])
            except FxoptError as error:
                print(f"{name} {kind} on {engine.name}: {error}", file=sys.stderr)
                continue
            folder.mkdir(parents=True, exist_ok=True)
            program.save(folder)
            file.write_text(json.dumps(found))
        program = Program.load(folder)
        for spec, kernels, first, second in json.loads(file.read_text()):
            place = Place.of(registry.make_engine(spec), machine)
            yield Case(name, kind, spec, place, program, kernels, first, second)


def _again(engine: Engine, program: Program) -> float:
    """A build once more, timed in another process."""
    from fxopt.prices.calibrate import emitted, latency_ms

    with emitted(engine, program) as (_, artifact, values):
        return latency_ms(engine, artifact, values)


def _variants(name: str, registry: Registry) -> Iterator[tuple[Engine, str, Callable[[], Program]]]:
    """The engines and kinds of a model, and what makes the program of each."""
    capabilities = registry.make_target("cpu").capabilities()
    for spec in ENGINES:
        engine = registry.make_engine(spec)
        yield engine, "float32", lambda: _program(name)
        if spec == "openvino" and "bfloat16" in capabilities.dtypes:
            yield replace(engine, precision="bf16"), "bfloat16", lambda: _program(name)  # type: ignore[call-arg]
        yield engine, "int8", lambda engine=engine: _quantized(name, registry, engine)  # type: ignore[misc]


def _program(name: str) -> Program:
    from fxopt.ir.capture import capture, export, positional_names

    module, inputs = tiny() if name == by_model.TINY else FAMILIES[NAMES[name]][name]()
    return capture(export(module, inputs), names=positional_names(module))


def _quantized(name: str, registry: Registry, engine: Engine) -> Program:
    """All that int8 is offered, with ranges of made-up data."""
    from fxopt.compiler.lowered import of_made_up_data
    from fxopt.errors import InputError

    found = of_made_up_data(_program(name), "int8", registry, registry.make_target("cpu"), engine)
    if found is None:
        raise InputError("int8 is offered nowhere")
    return found


class Foretold:
    """Predictions of one family's builds, by method."""

    def __init__(
        self, held: Sequence[Case], others: Sequence[Case], profile: KernelTable | None, registry: Registry
    ) -> None:
        self.held, self.others, self.registry = held, others, registry
        self.profile = profile

    def by_table(self, joined: bool = True) -> dict[int, tuple[float, float]]:
        """Milliseconds and spread by number of the case; `joined`: knowing which calls run together."""
        from fxopt.prices import KernelTable
        from fxopt.prices.predict import Predictor, learn
        from fxopt_plugins.targets.cpu import Cpu

        found = {}
        with tempfile.TemporaryDirectory() as folder:
            table = KernelTable(Path(folder) / "kernels.sqlite")
            for case in self.others:
                learn(table, case.place, case.program, case.kernels, case.milliseconds)
            predictors: dict[Place, Predictor] = {}
            for number, case in enumerate(self.held):
                if case.place not in predictors:
                    known = _Known([table, *filter(None, [self.profile])], joined)
                    predictors[case.place] = Predictor(known, case.place, Cpu().roofline(case.place))  # type: ignore[arg-type]
                predicted = predictors[case.place].predict(case.program)
                found[number] = (predicted.milliseconds, predicted.spread)
            table.close()
        return found

    def by_flops(self) -> dict[int, float]:
        """A line through the FLOPs of the other families' builds, for each place and kind."""
        from fxopt.ir.work import flops

        found = {}
        for number, case in enumerate(self.held):
            like = [other for other in self.others if (other.place, other.kind) == (case.place, case.kind)]
            work = [flops(other.program) for other in like]
            slope = math.exp(statistics.mean(math.log(o.milliseconds / w) for o, w in zip(like, work, strict=True)))
            found[number] = slope * flops(case.program)
        return found

    def by_roofline(self) -> dict[int, float]:
        """The target's roofline, call by call."""
        from fxopt_plugins.targets.cpu import Cpu

        target = Cpu()
        return {
            number: target.by_roofline(case.program, self.registry.make_engine(case.engine))
            for number, case in enumerate(self.held)
        }


class _Known:
    """What several tables know together; `joined`: also which calls run together."""

    def __init__(self, tables: Sequence[KernelTable], joined: bool) -> None:
        self.tables, self.joined = tables, joined

    def prices(self, place: Place) -> dict[str, Any]:
        """As `KernelTable.prices`; the first table's count more."""
        return {kernel: price for table in reversed(self.tables) for kernel, price in table.prices(place).items()}

    def fusions(self, place: Place) -> dict[str, tuple[int, int]]:
        """As `KernelTable.fusions`."""
        found: dict[str, tuple[int, int]] = {}
        for table in self.tables if self.joined else ():
            for edge, (joined, apart) in table.fusions(place).items():
                before = found.get(edge, (0, 0))
                found[edge] = (before[0] + joined, before[1] + apart)
        return found


def figures(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    """Of predicted and measured milliseconds: mean absolute error, share within 15%, Kendall's tau."""
    errors = [abs(predicted / true - 1) for predicted, true in pairs]
    tau = stats.kendalltau(*zip(*pairs, strict=True)).statistic if len(pairs) > 1 else math.nan
    return {
        "cases": len(pairs),
        "mape": statistics.mean(errors),
        "within": sum(error <= WITHIN for error in errors) / len(errors),
        "bias": statistics.mean(math.log(predicted / true) for predicted, true in pairs),
        "tau": float(tau),
    }


def evaluate(cases: Sequence[Case], registry: Registry, profile: KernelTable | None) -> dict[str, Any]:
    """Figures of each family, foretold from all others, by method; and each case."""
    families: dict[str, Any] = {}
    for family in dict.fromkeys(case.family for case in cases):
        held = [case for case in cases if case.family == family]
        others = [
            case for case in cases if case.family != family
        ] or held  # where there is but one, to see that it runs
        found = Foretold(held, others, profile, registry)
        table = found.by_table()
        methods = {
            "fxopt": {number: ms for number, (ms, _) in table.items()},
            "calls apart": {number: ms for number, (ms, _) in found.by_table(joined=False).items()},
            "FLOPs": found.by_flops(),
            "roofline": found.by_roofline(),
            "measured again": {number: case.again for number, case in enumerate(held)},
        }
        families[family] = {
            "methods": {
                method: figures([(ms[number], case.milliseconds) for number, case in enumerate(held)])
                for method, ms in methods.items()
            },
            "cases": [
                {
                    "model": case.model,
                    "kind": case.kind,
                    "engine": case.engine,
                    "ms": case.milliseconds,
                    "predicted": table[number][0],
                    "spread": table[number][1],
                }
                for number, case in enumerate(held)
            ],
        }
    return families


def table(families: dict[str, Any]) -> str:
    """The figures as text."""
    lines = [f"{'held out':<10}{'method':<16}{'cases':>6}{'MAPE':>8}{'in 15%':>8}{'tau':>7}"]
    for family, found in families.items():
        for method, row in found["methods"].items():
            lines.append(
                f"{family:<10}{method:<16}{row['cases']:>6}{row['mape']:>8.1%}{row['within']:>8.0%}{row['tau']:>7.2f}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    from fxopt import Registry
    from fxopt.prices import KernelTable

    parser = by_model.parser(__doc__, NAMES, RESULT)
    parser.add_argument("--profile", type=Path, help="folder of a table that `fxopt profile` has filled")
    cache = platformdirs.user_cache_path("fxopt") / "benchmarks" / "predict"
    parser.add_argument("--cache", type=Path, default=cache, help="where is kept what was measured")
    options = parser.parse_args(arguments)
    registry = Registry.load()
    cases: list[Case] = []
    for name in by_model.chosen(parser, options, NAMES):
        print(f"{name} ...", file=sys.stderr, flush=True)
        cases += measured(name, registry, options.cache)
    profile = KernelTable(next(options.profile.glob("kernels-*.sqlite"))) if options.profile else None
    families = evaluate(cases, registry, profile)
    print(table(families))
    report = {
        "benchmark": "predict",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": asdict(registry.make_target("cpu").machine()),
        "profile": options.profile is not None,
        "families": families,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main(list(islice(sys.argv, 1, None)))
