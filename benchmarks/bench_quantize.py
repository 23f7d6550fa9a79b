"""Quantization under a quality budget: fxopt beside the engines in floats and their own tools for int8.

Run: `python -m benchmarks.bench_quantize [MODEL ...] [--out FILE] [--peers-only] [--quick | --smoke]`. For each model
every peer is built from the same module and calibrated on the same samples (NNCF on the first 300, its default); fxopt
optimizes it with the engines' own recipes among its plans and, where one of them ships for a trained model, once more
without; then all are
judged on samples that none of them has seen, and measured interleaved in one session at 2 threads and batch 1. Ratios are
to the fastest peer that keeps the quality budget. fxopt may choose to run on one thread, so these peers are measured on one as
well, and stand apart (`on_one_thread`). Prints a table and merges the models into
`benchmarks/results/quantize_vnni.json`; or into `quantize_amx.json` on a CPU that multiplies matrices of int8, or
`quantize_no_vnni.json` on one without instructions for int8 dot products, where int8 pays less and other recipes are right.
What peers make and lose is kept in the user's cache folder.
torchao is a peer where it is installed: `pip install 'fxopt[peers]'`.
"""

from __future__ import annotations

import datetime
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import by_model
from benchmarks.quantize import fxopt_runs
from benchmarks.quantize.models import TASKS, task
from benchmarks.quantize.peers import THREADS, build, peers, versions
from benchmarks.quantize.quality import Judge, digest, originals
from benchmarks.quantize.store import Store
from benchmarks.quantize.training import cache_folder

if TYPE_CHECKING:
    from fxopt.measure import Comparison
    from fxopt.verify.paired import PairedDrop

FXOPT = {"fxopt": True, "fxopt, no recipes": False}  # whether engines' own recipes are among its plans
ROUNDS, EPOCHS = 20, 2


@dataclass(frozen=True)
class Entry:
    """A variant: its artifact, and the spec of the engine that runs it."""

    engine: str
    artifact: Path


class Contest:
    """One model, with the peers."""

    def __init__(self, name: str, store: Store) -> None:
        from fxopt import Registry
        from fxopt.data import Data
        from fxopt.ir.capture import capture, export, positional_names

        self.name, self.task, self.store = name, task(name), store
        registry = Registry.load()
        self.machine = registry.make_target("cpu").machine()
        (self.module, inputs), self.split = self.task.build(), self.task.data()
        self.program = capture(export(self.module, inputs), names=positional_names(self.module))
        interface = self.program.interface
        self.data = {
            role: Data.read(getattr(self.split, role), interface, role) for role in ("calib", "search", "report")
        }
        self.metrics = {spec: registry.make_metric(spec) for spec in (self.task.metric, *self.task.others)}
        self.peers = peers(self.machine)
        self._say("building the peers")
        built, self.failures = build(name, self.peers, self.program, self.data["calib"], self.machine, store)
        self.entries = {p.name: Entry(p.spec(), built[p.name]) for p in self.peers if p.name in built}
        self.int8 = [peer.name for peer in self.peers if peer.recipe and peer.name in built]

    def run(self, folder: Path, *, peers_only: bool, quick: bool) -> dict[str, Any]:
        """Everything about the model; fxopt writes into `folder`."""
        runs = {} if peers_only else self._run_fxopt(folder)
        self._say("judging all")
        drops = self._judge("report", list(self.entries))
        limit = self._limit(drops)
        kept = {label: found[self.task.metric].keeps(limit) for label, found in drops.items()}
        self._say("measuring all")
        best = [peer.name for peer in self.peers if kept.get(peer.name)]
        alone = self._on_one_thread(best, folder)
        session = self._measure(best, 1 if quick else EPOCHS)
        self.failures |= session.failures
        return {
            "title": self.task.title,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": asdict(self.machine) | {"versions": versions(self.machine)},
            "threads": THREADS,
            "trained": self.task.trained,
            "metric": self.task.metric,
            "budget": str(limit),
            "samples": {role: data.samples for role, data in self.data.items()},
            "base": session.base,
            "rounds": session.rounds,
            "floor": session.floor.interval.to_json(),
            "peers": len(self.int8),
            "peers_kept": sum(kept.get(name, False) for name in self.int8),
            "variants": self._rows(runs, drops, kept, session),
            "on_one_thread": {
                peer: {"latency_ms": timing.latency_ms.to_json(), "ratio": timing.ratio.interval.to_json()}
                for label, peer in alone.items()
                if (timing := session.timings.get(self._twin(label, session))) is not None and timing.ratio is not None
            },
            "runs": {label: fxopt_runs.summary(found) for label, found in runs.items()},
        }

    def _run_fxopt(self, folder: Path) -> dict[str, dict[str, Any]]:
        """The runs by label. Without recipes it is the same where none shipped, and not asked of what is for speed only."""
        budget = self.task.budget or str(self._limit(self._judge("search", self.int8)))
        runs: dict[str, dict[str, Any]] = {}
        for label, recipes in FXOPT.items():
            if not recipes and not self.task.trained:
                continue
            out = folder / label
            if (before := runs.get("fxopt")) is not None and before.get("recipe") is None:
                runs[label] = before
                out = folder / "fxopt"
            else:
                self._say(label)
                runs[label] = fxopt_runs.run(self.name, budget, out, recipes=recipes)
            if "error" in runs[label]:
                self.failures[label] = runs[label]["error"]
            else:
                self.entries[label] = Entry(runs[label]["engine"], out / "model")
        return runs

    def _on_one_thread(self, names: Sequence[str], folder: Path) -> dict[str, str]:
        """Peers once more as what runs on one thread, where that is an option of a finished artifact; their names by the new ones."""
        from fxopt import Registry
        from fxopt.contracts.engine import Artifact

        alone: dict[str, str] = {}
        registry, tuning = Registry.load(), {"threads": 1}
        dtypes = registry.make_target("cpu").capabilities().dtypes
        for index, name in enumerate(names):
            entry, copy = self.entries[name], folder / f"alone{index}"
            told = Artifact.read(entry.artifact).options
            if tuning in list(registry.make_engine(entry.engine).tunings(told, dtypes)):
                shutil.copytree(entry.artifact, copy)
                Artifact.change(copy, tuning)
                alone[f"{name}, one thread"] = name
                self.entries[f"{name}, one thread"] = Entry(entry.engine, copy)
        return alone

    def _judge(self, role: str, labels: Sequence[str]) -> dict[str, dict[str, PairedDrop]]:
        """How much worse variants are than the original, by metric."""
        from fxopt.errors import FxoptError

        data, samples = self.data[role], getattr(self.split, role)
        labelled = self.metrics[self.task.metric].needs == "labels"
        key = (self.program.digest, data.digest, self.machine.cpu)
        outputs = originals(self.module, samples, labelled, key, self.store)
        judge = Judge(self.metrics, data, outputs, self.machine, self.store)
        found: dict[str, dict[str, PairedDrop]] = {}
        for label in labels:
            try:
                found[label] = judge.drops(self.entries[label].engine, self.entries[label].artifact)
            except FxoptError as error:  # as of outputs that are NaN
                self.failures[label] = str(error)
        return found

    def _limit(self, drops: dict[str, dict[str, PairedDrop]]) -> Any:
        """The budget: where the task has none, what the best int8 peer loses that quantizes all it can."""
        from fxopt.contracts.cost import Drop

        if self.task.budget is not None:
            return Drop.parse(self.task.budget)
        whole = [peer.name for peer in self.peers if peer.whole and peer.name in self.int8 and peer.name in drops]
        least = min((100 * drops[name][self.task.metric].drop for name in whole), default=0.0)
        return Drop.parse(f"{max(least, 0.0):.6g}pt")

    def _measure(self, first: Sequence[str], epochs: int) -> Comparison:
        """One session of all, in which equal artifacts are measured once; ratios are to the fastest of `first`."""
        from fxopt.measure import Plan, Variant, measure

        order = [*first, *(label for label in self.entries if label not in first and label not in self.failures)]
        chosen: dict[str, Variant] = {}
        for label in order:
            chosen.setdefault(
                self._content(label), Variant(label, self.entries[label].engine, self.entries[label].artifact)
            )
        bases = len({self._content(label) for label in first})
        inputs = [value.numpy() for value in next(iter(self.data["calib"].batches())).inputs]
        plan = Plan(rounds=ROUNDS, epochs=epochs, together=True)
        return measure([*chosen.values()], inputs, plan=plan, bases=max(1, bases))

    def _rows(
        self,
        runs: dict[str, dict[str, Any]],
        drops: dict[str, dict[str, PairedDrop]],
        kept: dict[str, bool],
        session: Comparison,
    ) -> list[dict[str, Any]]:
        from fxopt.contracts.cost import Interval
        from fxopt.contracts.engine import Artifact

        recipes = {peer.name: peer.recipe for peer in self.peers}
        rows = []
        for label in [*recipes, *runs]:
            entry, drop = self.entries.get(label), drops.get(label)
            twin = self._twin(label, session)
            timing = session.timings.get(twin)
            ratio = timing and timing.ratio and timing.ratio.interval
            if twin == session.base != label:
                ratio = Interval(1.0, 1.0, 1.0)
            rows.append(
                {
                    "name": label,
                    "engine": entry and entry.engine,
                    "recipe": recipes.get(label) if label in recipes else runs[label].get("recipe"),
                    "latency_ms": timing and timing.latency_ms.to_json(),
                    "p99_ms": timing and timing.p99_ms,
                    "ratio": ratio and ratio.to_json(),
                    "quality": drop and {spec: found.to_json() for spec, found in drop.items()},
                    "kept": kept.get(label),
                    "size_bytes": entry and Artifact.read(entry.artifact).size_bytes(),
                    "note": self.failures.get(label),
                }
            )
        return rows

    def _twin(self, label: str, session: Comparison) -> str:
        """What was measured in place of a variant: the first of equal artifacts."""
        if label not in self.entries:
            return label
        return next((name for name in session.timings if self._content(name) == self._content(label)), label)

    def _content(self, label: str) -> str:
        """Of equal artifacts the same: their manifests have the engine and what it runs under, however it was asked for."""
        return digest(self.entries[label].artifact)

    def _say(self, text: str) -> None:
        print(f"{self.task.title}: {text}", file=sys.stderr, flush=True)


def table(model: dict[str, Any]) -> str:
    """One model as text."""
    peers = f"{model['peers_kept']} of {model['peers']} int8 peers keep it"
    lines = [f"{model['title']}: {model['metric']}, budget {model['budget']}; {peers}; ratios to {model['base']}"]
    for row in model["variants"]:
        if row["latency_ms"] is None:
            lines.append(f"  {row['name']:<26} failed: {row['note']}")
            continue
        quality, ratio = row["quality"][model["metric"]], row["ratio"]
        drop = {key: math.inf if value is None else value for key, value in quality["drop"].items()}
        figures = f"{row['latency_ms']['estimate']:8.3f} ms"
        figures += f" {ratio['estimate']:6.3f} ({ratio['low']:.3f}..{ratio['high']:.3f})" if ratio else " " * 22
        figures += f"  loses {drop['estimate']:8.4f} ({drop['low']:.4f}..{drop['high']:.4f})"
        others = "".join(f", {spec} {row['quality'][spec]['candidate']:.4f}" for spec in list(row["quality"])[1:])
        kept = "kept" if row["kept"] else "LOST"
        lines.append(f"  {row['name']:<26} {figures}{others}  {kept}  {row['size_bytes'] / 1e6:7.2f} MB")
    for name, found in model["on_one_thread"].items():
        lines.append(
            f"  {name + ', one thread':<26} {found['latency_ms']['estimate']:8.3f} ms {found['ratio']['estimate']:6.3f}"
        )
    for label, found in model["runs"].items():
        told = found.get("error") or f"{found['verdict']}; applied {found['applied']}, recipe {found['recipe']}"
        lines.append(f"  {label}: {found['seconds']:.0f} s, {found['peak_rss_bytes'] / 2**30:.2f} GiB; {told}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    from fxopt import Registry

    machine = Registry.load().make_target("cpu").machine()
    parser = by_model.parser(__doc__, TASKS, by_model.result("quantize", machine))
    parser.add_argument("--peers-only", action="store_true", help="without fxopt's own runs")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "made", help="where is kept what peers make")
    parser.add_argument("--quick", action="store_true", help="few rounds: for qualities, not for times")
    options = parser.parse_args(arguments)
    for name in by_model.chosen(parser, options, TASKS):
        with tempfile.TemporaryDirectory() as folder:
            contest, quick = Contest(name, Store(options.cache)), options.quick or options.smoke
            measured = {name: contest.run(Path(folder), peers_only=options.peers_only, quick=quick)}
        print(table(measured[name]), flush=True)
        by_model.keep(options.out, "quantize", TASKS, measured)
    print(f"written to {options.out}")


if __name__ == "__main__":
    main()
