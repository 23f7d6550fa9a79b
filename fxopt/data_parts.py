"""What is done with data before they are trusted: halves, samples that are elsewhere too, and doubts.

Samples are told apart by the digest of their inputs, so that neither order nor batches matter, and equal samples are
never on two sides.
"""

from __future__ import annotations

from fxopt.data import Data
from fxopt.errors import InputError

CALIBRATION = 512  # samples at most: more changes what is fitted by less than the fit is good for

_SCALES = 10  # ranges of an input that differ by this factor were hardly made in the same way


def halves(data: Data) -> tuple[Data, Data]:
    """A half that a search may look at as often as it likes, and one that is only reported on.

    Sorted by digest, the first half of the different samples goes to the search: the same samples give the same halves,
    and a sample that is added moves at most one other.

    Raises:
        InputError: all samples are equal.
    """
    count = _different(data)
    if count < 2:
        raise InputError(
            f"{data.name}: {_told(data, count)} cannot be split into a half to search with and a half to report on; give more"
        )
    return _split(data, count // 2)


def at_most(data: Data) -> Data:
    """The data, or 512 of its different samples where there are more; chosen by digest, as by `halves`."""
    return data if _different(data) <= CALIBRATION else _split(data, CALIBRATION)[0]


def calibration(data: Data) -> tuple[Data, Data]:
    """Samples to calibrate with, at most half of the different ones and at most 512, and the others to evaluate on.

    Chosen by digest, as by `halves`.

    Raises:
        InputError: there are fewer than 3 different samples, so that the others could not be halved.
    """
    count = _different(data)
    if count < 3:
        raise InputError(
            f"{data.name}: {_told(data, count)} cannot be split into samples to calibrate with, to search with and to"
            " report on; give more, or other data with --eval"
        )
    return _split(data, min(CALIBRATION, count // 2))


def _split(data: Data, count: int) -> tuple[Data, Data]:
    """As many of the different samples, the first when sorted by digest, and the others."""
    digests = data.sample_digests()
    first = set(sorted(set(digests))[:count])
    return (
        data.part(number for number, digest in enumerate(digests) if digest in first),
        data.part(number for number, digest in enumerate(digests) if digest not in first),
    )


def _different(data: Data) -> int:
    return len(set(data.sample_digests()))


def _told(data: Data, different: int) -> str:
    """How many samples there are, in words."""
    if data.samples == 1:
        return "1 sample"
    if different == data.samples:
        return f"{different} samples"
    return f"{data.samples} samples, {'all equal' if different == 1 else f'{different} of them different'},"


def without(data: Data, other: Data) -> tuple[Data, str | None]:
    """The samples that are not in other data too, and one line that says how many were left out, if any were.

    Args:
        data: of evaluation, say.
        other: of calibration, say.

    Raises:
        InputError: none is left.
    """
    known = set(other.sample_digests())
    kept = [number for number, digest in enumerate(data.sample_digests()) if digest not in known]
    left_out = data.samples - len(kept)
    if not left_out:
        return data, None
    found = f"{left_out} of {data.samples} samples are in {other.name} too"
    if not kept:
        raise InputError(f"{data.name}: {found}; give samples that were not used to calibrate")
    return data.part(kept), f"{data.name}: {found} and are left out"


def doubts(data: Data, other: Data | None = None) -> list[str]:
    """What may be wrong with data that can be used, a line each.

    That is: a single sample, an input of floats that is the same number everywhere, and, beside other data, one whose
    range is another by a factor of ten or more, as after forgotten scaling.
    """
    lines = []
    if data.samples == 1:
        lines.append(f"{data.name}: there is one sample only; what it shows may hold for no other")
    for name, (low, high) in data.ranges.items():
        if low == high:
            lines.append(f"{data.name}: input {name} is {low:g} everywhere")
            continue
        there = other.ranges.get(name) if other is not None else None
        sizes = [max(abs(end) for end in span) for span in ((low, high), there or (low, high))]
        if other is not None and there is not None and max(sizes) > _SCALES * min(sizes):
            lines.append(
                f"{data.name}: input {name} lies in {low:g} to {high:g}, but in {there[0]:g} to {there[1]:g}"
                f" in {other.name}: was it scaled in the same way?"
            )
    return lines
