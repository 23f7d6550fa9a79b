"""Prices of pieces that were measured, and of those that were not."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt.contracts.price import Piece
from fxopt.prices.estimate import Estimator, Roofline
from fxopt.prices.table import Price

ROOF = Roofline({"float32": 1e11, "uint8": 4e11}, 2e10)


def features(flops: float = 1e8, moved: float = 1e6, **changes: Any) -> dict[str, Any]:
    common = {"main": "aten.linear", "sort": "product", "dtype": "float32", "calls": 1, "channels": [64, 64]}
    common |= {"functions": 0, "footprint": 0, "bare": str(flops)}
    return {**common, "flops": flops, "read": moved / 4, "weights": moved / 2, "written": moved / 4, **changes}


def piece(found: dict[str, Any], kernel: str = "unknown") -> Piece:
    return Piece(kernel, found, ())


def price(found: dict[str, Any], efficiency: float = 0.5, count: int = 5) -> Price:
    return Price(ROOF.milliseconds(found) / efficiency, 0.05, count, "profile", found)


def test_the_roofline_is_what_takes_longer_of_arithmetic_and_traffic() -> None:
    assert ROOF.milliseconds(features(1e9, 1e6)) == pytest.approx(10, rel=1e-3)
    assert ROOF.milliseconds(features(1e6, 2e8)) == pytest.approx(10, rel=1e-3)
    assert ROOF.milliseconds(features(4e9, 1e6, dtype="uint8")) == pytest.approx(10, rel=1e-3)


def test_what_was_measured_is_its_own_price() -> None:
    known = price(features())
    found = Estimator({"it": known}, ROOF).estimate(piece(features(), "it"))
    assert (found.milliseconds, found.spread, found.source) == (known.milliseconds, known.spread, "profile")


def test_after_another_operator_it_is_the_mean_of_what_it_takes_elsewhere() -> None:
    after = {name: Price(time, 0.05, 5, "profile", features(bare="it")) for name, time in (("a", 1.0), ("b", 4.0))}
    found = Estimator(after, ROOF).estimate(piece(features(bare="it")))
    assert found.milliseconds == pytest.approx(2.0)
    assert found.source == "context"
    assert found.spread > math.log(2) * 0.9


def test_between_two_that_were_measured_it_takes_as_much_of_its_roofline() -> None:
    known = {str(flops): price(features(flops), 0.4) for flops in (5e7, 2e8)}
    found = Estimator(known, ROOF).estimate(piece(features(1e8)))
    assert found.source == "interpolated"
    assert found.milliseconds == pytest.approx(ROOF.milliseconds(features(1e8)) / 0.4, rel=1e-6)


SMALL, LARGE = int(1e6), int(2e8)  # footprints: of one that stays in the caches, and of one that does not


def test_weights_of_a_network_that_stays_in_the_caches_are_read_faster_than_those_of_one_that_does_not() -> None:
    small, large = (ROOF.milliseconds(features(1e6, 1e7, footprint=size)) for size in (SMALL, LARGE))
    assert 1.5 * small < large < 3 * small
    small, large = (ROOF.milliseconds(features(1e9, 1e6, footprint=size)) for size in (SMALL, LARGE))
    assert small == large  # it computes for longer than it reads


def test_what_was_measured_in_a_large_network_is_foretold_to_be_faster_in_a_small_one() -> None:
    """Also after another operator."""
    heavy = features(1e6, 1e7, footprint=LARGE)
    estimator = Estimator({"it": Price(2.0, 0.05, 5, "profile", heavy)}, ROOF)
    for kernel in ("it", "after another"):
        there, elsewhere = (estimator.estimate(piece({**heavy, "footprint": size}, kernel)) for size in (LARGE, SMALL))
        assert there.milliseconds == pytest.approx(2.0)
        assert there.milliseconds / 3 < elsewhere.milliseconds < there.milliseconds / 1.5


def test_one_kernel_that_moves_next_to_nothing_does_not_keep_bytes_from_counting() -> None:
    """As where parts are written to their places in the whole at once."""
    known = {str(size): price(features(1.0, size, bare=str(size))) for size in range(10**6, 10**7, 10**6)}
    known["cat"] = Price(1e-3, 0.05, 5, "profile", features(1.0, 1e7, main="cat", sort="move", bare="cat"))
    heavy = features(1e6, 1e7, footprint=LARGE, bare="heavy")
    known["heavy"] = Price(2.0, 0.05, 5, "profile", heavy)
    estimator = Estimator(known, ROOF)
    there, elsewhere = (estimator.estimate(piece({**heavy, "footprint": size}, "heavy")) for size in (LARGE, SMALL))
    assert elsewhere.milliseconds < there.milliseconds / 1.5


def test_a_kind_follows_its_own_rather_than_others_of_its_sort() -> None:
    known = {
        f"{main} {flops}": price(features(flops, main=main, bare=f"{main} {flops}"), efficiency)
        for main, efficiency in (("dense", 0.8), ("depthwise", 0.1))
        for flops in (5e7, 2e8)
    }
    estimator = Estimator(known, ROOF)
    dense, depthwise, new = (
        ROOF.milliseconds(features()) / estimator.estimate(piece(features(main=main))).milliseconds
        for main in ("dense", "depthwise", "new")
    )
    assert depthwise < new < dense


def test_the_further_from_what_was_measured_the_wider_the_spread() -> None:
    known = {str(flops): price(features(flops)) for flops in (1e8, 2e8)}
    estimator = Estimator(known, ROOF)
    near, far = (estimator.estimate(piece(features(flops))).spread for flops in (1.5e8, 1e11))
    assert near < far


def test_of_a_sort_that_was_never_measured_only_the_roofline_is_known() -> None:
    found = Estimator({"it": price(features())}, ROOF).estimate(piece(features(sort="softmax", bare="asked")))
    assert found.source == "roofline"
    assert found.milliseconds > ROOF.milliseconds(features())


@given(
    st.lists(st.tuples(st.floats(1e3, 1e11), st.floats(1e2, 1e9), st.floats(0.01, 1.0)), max_size=12),
    st.floats(1, 1e12),
    st.floats(1, 1e10),
)
def test_no_estimate_computes_faster_than_the_machine_does(
    known: list[tuple[float, float, float]], flops: float, moved: float
) -> None:
    prices = {
        str(index): price(features(work, size, bare=str(index)), efficiency)
        for index, (work, size, efficiency) in enumerate(known)
    }
    found = Estimator(prices, ROOF).estimate(piece(features(flops, moved, bare="asked")))
    assert found.milliseconds >= ROOF.computing(features(flops, moved)) * (1 - 1e-9)
    assert math.isfinite(found.milliseconds)
    assert 0 < found.spread < 2


def test_channels_that_fill_no_whole_vectors_are_another_matter() -> None:
    """Of two kernels of like sizes that differ in how their channels divide, an estimate follows the one that is like it."""
    known = {
        f"{channels} {flops}": price(features(flops, channels=list(channels), bare=f"{channels} {flops}"), efficiency)
        for channels, efficiency in (((64, 64), 0.8), ((17, 17), 0.2))
        for flops in (5e7, 1e8, 2e8, 4e8)
    }
    estimator = Estimator(known, ROOF)
    whole, odd = (
        estimator.estimate(piece(features(1.5e8, channels=c, bare="asked"))).milliseconds for c in ([64, 64], [17, 17])
    )
    assert odd > 2 * whole


def test_what_takes_functions_of_numbers_is_another_matter_than_what_does_not() -> None:
    """With as many calls and bytes: of kernels with functions each takes twice as long."""
    sizes = [1e6 * 1.7**step for step in range(12)]

    known = {}
    for size in sizes:
        for functions, efficiency in ((0, 0.4), (1000, 0.2)):
            known[f"{size} {functions}"] = price(features(size, size / 100, functions=functions, calls=2), efficiency)
    estimator = Estimator(known, ROOF)

    def foretold(functions: int) -> float:
        item = features(3e7, 3e5, functions=functions, calls=2, bare="new")
        return estimator.estimate(piece(item)).milliseconds

    assert foretold(1000) == pytest.approx(2 * foretold(0), rel=0.1)
