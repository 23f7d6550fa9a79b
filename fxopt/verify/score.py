"""A metric's statistics over data, with what goes wrong there in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from fxopt.contracts.cost import Drop
from fxopt.contracts.metric import Metric
from fxopt.contracts.options import suggest
from fxopt.errors import DataError, FxoptError, InputError, MetricError
from fxopt.ir.export_error import reason

if TYPE_CHECKING:
    from fxopt.contracts.metric import Outputs
    from fxopt.data import Data

Run = Callable[[list[torch.Tensor]], Sequence[torch.Tensor]]


def default_metric(drop: Drop, labels: torch.Tensor | None, outputs: Sequence[torch.Tensor]) -> str:
    """The metric where none is named, as a spec.

    With one class number a sample as labels, and one output of scores, it is `top1`. Without labels a drop in percentage
    points is one of `agreement`, any other one of `error`: nothing about an output says that it holds scores of
    classes, which `kl` would need.

    Args:
        drop: what `--max-drop` says.
        labels: some labels, if there are any.
        outputs: the flat outputs for them.

    Raises:
        InputError: there are labels of another kind.
    """
    if labels is None:
        return "agreement" if drop.unit == "pt" else "error"
    integers = not (labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool)
    if integers and len(outputs) == 1 and outputs[0].dim() == 2 and labels.numel() == len(outputs[0]):
        return "top1"
    kind = f"of {str(labels.dtype).removeprefix('torch.')}, {list(labels.shape[1:]) or 'one'} a sample"
    raise InputError(
        f"there are labels {kind}: give the number of its class for each sample as an integer, or say with --metric what they are for"
    )


def pick(metric: Metric, outputs: Sequence[torch.Tensor], names: Sequence[str]) -> Outputs:
    """What the metric judges of the flat outputs.

    Args:
        metric: its option `output` decides.
        outputs: all flat outputs.
        names: of the flat outputs.

    Raises:
        InputError: there are several outputs and none is named, or there is none of that name.
    """
    named = f"{metric.name}{{output={names[0]}}}" if names else metric.name
    if metric.output is None:
        if metric.several:
            return tuple(outputs)
        if len(outputs) != 1:
            raise InputError(f"{metric.spec()}: the model has the outputs {', '.join(names)}; name one: {named}")
        return outputs[0]
    if metric.output in names:
        index = list(names).index(metric.output)
    elif metric.output.isdigit() and int(metric.output) < len(outputs):
        index = int(metric.output)
    else:
        raise InputError(f"{metric.spec()}: the model has no output {metric.output!r}{suggest(metric.output, names)}")
    return (outputs[index],) if metric.several else outputs[index]


def collect(
    metric: Metric,
    outputs: Outputs,
    labels: torch.Tensor | None = None,
    reference: Outputs | None = None,
    first: int = 1,
) -> torch.Tensor:
    """What `Metric.collect` gives, checked.

    Args:
        metric: whose statistics.
        outputs: as `pick` gives them.
        labels: as `Metric.collect` takes them.
        reference: as `Metric.collect` takes it.
        first: number of the first sample, for messages.

    Returns:
        Finite float64 of shape (samples, k).

    Raises:
        InputError: labels are missing or do not fit.
        MetricError: outputs hold NaN or are not those of as many samples; or the metric raises, or gives what is not
            finite, or not a row a sample.
    """
    name, parts = metric.spec(), outputs if isinstance(outputs, tuple) else (outputs,)
    count = len(parts[0])
    for part in parts:
        if part.dtype.is_floating_point and (sample := _first_bad(torch.isnan(part))) is not None:
            raise MetricError(f"{name}: the outputs hold NaN (sample {first + sample})")
    if metric.needs == "labels":
        if labels is None:
            raise InputError(f"{name} needs labels, and the data have none; add them under the name 'labels'")
        if len(labels) != count:
            raise InputError(f"{name}: labels are those of {len(labels)} samples, the outputs of {count}")
        if misfit := _call(name, metric.misfit, outputs, labels):
            raise InputError(f"{name}: {misfit}{_culprit(metric, outputs, labels, first)}")
    elif reference is None:
        raise MetricError(f"{name} needs the original's outputs")
    elif _shapes(reference) != _shapes(outputs):
        raise MetricError(f"{name}: the outputs have the shape {_shapes(outputs)}, the original's {_shapes(reference)}")
    found = _call(name, metric.collect, outputs, labels, reference)
    if not isinstance(found, torch.Tensor) or found.dim() != 2 or len(found) != count or not found.shape[1]:
        shape = list(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise MetricError(f"{name}: collect gave {shape} for {count} samples; expected a row of statistics for each")
    found = found.detach().double()
    if (sample := _first_bad(~torch.isfinite(found))) is not None:
        raise MetricError(
            f"{name} is {float(found[sample][~torch.isfinite(found[sample])][0])} (sample {first + sample})"
        )
    return found


def _culprit(metric: Metric, outputs: Outputs, labels: torch.Tensor, first: int) -> str:
    """The first sample whose labels do not fit by themselves; nothing where that is so of all, or of none."""

    def misfit(row: int) -> bool:
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        alone = tuple(part[row : row + 1] for part in parts)
        mine = alone if isinstance(outputs, tuple) else alone[0]
        return _call(metric.spec(), metric.misfit, mine, labels[row : row + 1]) is not None

    rows = [row for row in range(len(labels)) if misfit(row)]
    return f" (sample {first + rows[0]})" if 0 < len(rows) < len(labels) else ""


def value(metric: Metric, statistics: torch.Tensor) -> float:
    """The metric's value over the samples whose statistics these are.

    Args:
        metric: whose statistics.
        statistics: float64 of shape (samples, k).

    Raises:
        MetricError: there are no samples, the metric raises, or the value is not finite.
    """
    if not len(statistics):
        raise MetricError(f"{metric.spec()}: there are no samples")
    found = float(_call(metric.spec(), metric.value, statistics.sum(0), len(statistics)))
    if not abs(found) < float("inf"):
        raise MetricError(f"{metric.spec()} is {found} over {len(statistics)} samples: nothing there counts for it")
    return found


class Scores:
    """A metric's statistics for whatever is run on one set of data.

    Attributes:
        metric: whose statistics.
        data: what is run on.
    """

    def __init__(self, metric: Metric, data: Data, original: Run) -> None:
        self.metric, self.data = metric, data
        self._run_original = on_data(original, data)
        self._reference: list[Outputs] | None = None
        self._statistics: torch.Tensor | None = None

    @property
    def where(self) -> str:
        """What is run on, in words."""
        return f"on {self.data.samples} samples of {self.data.name}"

    def inputs(self) -> Iterator[list[torch.Tensor]]:
        """The flat inputs of each call; the last samples may be there to fill a batch up."""
        return (list(batch.inputs) for batch in self.data.batches())

    def original(self) -> torch.Tensor:
        """Statistics of the original, as `of`; taken once.

        Raises:
            InputError, MetricError: as `of`.
            DataError: the original fails on the data.
        """
        if self._statistics is None:
            reference = self._references()
            same = None if reference is None else ((outputs, None) for outputs in reference)
            self._statistics = self._rows(same or self._outputs(self._run_original))
        return self._statistics

    def of(self, run: Run) -> torch.Tensor:
        """Statistics of every sample in the order of the data, float64 of shape (samples, k).

        Args:
            run: what takes flat inputs to flat outputs: a Program's `run`, or an artifact's.

        Raises:
            InputError: as `pick` and `collect`.
            MetricError: as `collect`.
        """
        return self._rows(self._outputs(run))

    def _references(self) -> list[Outputs] | None:
        """The original's outputs, where the metric compares with them."""
        if self.metric.needs == "reference" and self._reference is None:
            self._reference = [outputs for outputs, _ in self._outputs(self._run_original)]
        return self._reference

    def _rows(self, found: Iterable[tuple[Outputs, torch.Tensor | None]]) -> torch.Tensor:
        """Statistics of outputs, with labels, batch by batch."""
        references = self._references()
        rows: list[torch.Tensor] = []
        first = 1
        for number, (outputs, labels) in enumerate(found):
            reference = None if references is None else references[number]
            rows.append(collect(self.metric, outputs, labels, reference, first))
            first += len(rows[-1])
        if len({row.shape[1] for row in rows}) != 1:
            raise MetricError(f"{self.metric.spec()}: collect gave rows of different lengths")
        return torch.cat(rows)

    def _outputs(self, run: Run) -> Iterator[tuple[Outputs, torch.Tensor | None]]:
        """What is judged, and labels, of each batch; without the samples that only fill a batch up."""
        for batch in self.data.batches():
            found = pick(self.metric, run(list(batch.inputs)), self.data.interface.outputs)
            parts = found if isinstance(found, tuple) else (found,)
            if any(not part.dim() or len(part) != len(batch.inputs[0]) for part in parts):
                shapes = ", ".join(str(list(part.shape)) for part in parts)
                raise MetricError(f"{self.metric.spec()}: the first axis of the outputs is not the sample: {shapes}")
            parts = tuple(part[: batch.samples] for part in parts)
            yield parts if isinstance(found, tuple) else parts[0], batch.labels


def on_data(original: Run, data: Data) -> Run:
    """The original, which says whose fault it is where it fails: such values are not for it.

    What is returned raises DataError.
    """

    def run(inputs: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        try:
            return original(inputs)
        except FxoptError:
            raise
        except Exception as error:
            raise DataError(f"the model cannot be run on {data.name}: {reason(error)}") from error

    return run


def _call(name: str, function: Callable[..., Any], *arguments: object) -> Any:
    try:
        return function(*arguments)
    except FxoptError:
        raise
    except Exception as error:  # a metric may be anybody's code
        raise MetricError(f"{name}: {reason(error)}") from error


def _shapes(outputs: Outputs) -> list[list[int]] | list[int]:
    return [list(part.shape) for part in outputs] if isinstance(outputs, tuple) else list(outputs.shape)


def _first_bad(bad: torch.Tensor) -> int | None:
    rows = bad.reshape(len(bad), -1).any(1).nonzero()
    return int(rows[0]) if len(rows) else None
