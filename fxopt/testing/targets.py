"""Checks of targets: prices must be sane numbers, the same each time, and monotone where anybody would expect it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F

from fxopt.contracts.engine import Engine
from fxopt.contracts.target import Target
from fxopt.ir.program import Program
from fxopt.testing.cases import Fault, case, parameters
from fxopt.testing.options import is_documented, options_round_trip
from fxopt.testing.record import changed, copied
from fxopt.testing.specimen import ProgramLike, Specimen, captured
from fxopt.testing.zoo import ZOO

TOLERANCE = 1.1  # what a price may be over one that it should not exceed


def target_checks(
    *targets: Target,
    engines: Sequence[Engine],
    programs: Mapping[str, ProgramLike] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Any]:
    """Make test cases of targets, as the values of `check` in a parametrised test that calls `check()`.

    Args:
        targets: what is checked.
        engines: those that programs are priced for. They need not be installed.
        programs: what is priced, by name, beside the zoo.
        expected_failures: why a case fails, by its id; it must then fail.

    Raises:
        ValueError: an expected failure names no case.
    """
    everywhere: dict[str, ProgramLike] = {**ZOO, **(programs or {})}
    cases = []
    for target in targets:
        cases += [case(check, target.spec(), target) for check in ALONE]
        for engine in engines:
            name = f"{target.spec()} on {engine.spec()}"
            cases += [case(check, name, target, engine) for check in MONOTONE]
            cases += [
                case(check, name, target, engine, item, program=where)
                for where, item in everywhere.items()
                for check in CHECKS
            ]
    return parameters(cases, expected_failures or {})


def machine_is_described(target: Target) -> None:
    """The machine has a name, cores and memory, and goes into JSON; asked again it is the same."""
    machine = target.machine()
    if not machine.cpu or machine.cores < 1 or machine.memory_bytes < 1:
        raise Fault(f"the machine has no name, no cores or no memory: {machine}")
    try:
        json.dumps(dataclasses.asdict(machine))
    except TypeError as error:
        raise Fault(f"the machine cannot be written as JSON: {error}") from error
    if target.machine() != machine:
        raise Fault("asked again, the machine is another")


def capabilities_are_data(target: Target) -> None:
    """Dtypes are those of torch, by name, channels come in steps of at least 1, and nothing changes."""
    found = target.capabilities()
    odd = next((name for name in sorted(found.dtypes) if not isinstance(getattr(torch, name, None), torch.dtype)), None)
    if odd is not None:
        raise Fault(f"{odd!r} is no dtype of torch")
    if not found.dtypes or found.channel_grid < 1:
        raise Fault(f"there are {len(found.dtypes)} dtypes, and channels come in steps of {found.channel_grid}")
    if target.capabilities() != found:
        raise Fault("asked again, the capabilities are others")


def prices_are_sane(target: Target, engine: Engine, program: Program) -> None:
    """A price is finite and not negative, lies in its interval, and says that it is predicted."""
    cost = target.predict(program, engine)
    latency = cost.latency_ms
    numbers = {"low": latency.low, "estimate": latency.estimate, "high": latency.high, "size": cost.size_bytes}
    numbers |= {"peak": cost.peak_bytes or 0, "energy": cost.energy or 0}
    odd = next((name for name, value in numbers.items() if not math.isfinite(value) or value < 0), None)
    if odd is not None:
        raise Fault(f"{odd} is {numbers[odd]}")
    if not latency.low <= latency.estimate <= latency.high:
        raise Fault(f"the estimate {latency.estimate:g} ms lies outside {latency.low:g}..{latency.high:g}")
    if cost.source != "predicted":
        raise Fault(f"a price without building says that it is {cost.source!r}")


def prices_are_deterministic(target: Target, engine: Engine, program: Program) -> None:
    """The same program, in another place of memory, has the same price."""
    first, second = (target.predict(copied(program), engine) for _ in range(2))
    if first != second:
        raise Fault(f"two copies of the program cost {first} and {second}")


def pricing_changes_nothing(target: Target, engine: Engine, program: Program) -> None:
    """Pricing leaves the program as it was."""
    mine = copied(program)
    target.predict(mine, engine)
    fault = changed(mine, program)
    if fault:
        raise Fault(f"predict changed the program: {fault}")


def more_threads_are_not_slower(target: Target, engine: Engine) -> None:
    """On a large matrix product more threads are never predicted slower by over 10%."""
    cores = target.machine().cores
    counts = sorted({1, 2, 4, cores})
    prices = [_milliseconds(target, dataclasses.replace(engine, threads=count), large_product()) for count in counts]
    for (few, before), (many, after) in zip(
        zip(counts, prices, strict=True), list(zip(counts, prices, strict=True))[1:], strict=False
    ):
        if after > TOLERANCE * before:
            raise Fault(f"a large matrix product costs {before:g} ms on {few} threads and {after:g} ms on {many}")


def more_work_is_not_cheaper(target: Target, engine: Engine) -> None:
    """A matrix product of eight times the arithmetic is never predicted faster."""
    small, large = (_milliseconds(target, engine, program()) for program in (small_product, large_product))
    if small > large:
        raise Fault(f"a matrix product costs {small:g} ms, and one of eight times the arithmetic {large:g} ms")


ALONE: tuple[Callable[[Target], None], ...] = (
    options_round_trip,
    is_documented,
    machine_is_described,
    capabilities_are_data,
)
CHECKS: tuple[Callable[[Target, Engine, Program], None], ...] = (
    prices_are_sane,
    prices_are_deterministic,
    pricing_changes_nothing,
)
MONOTONE: tuple[Callable[[Target, Engine], None], ...] = (more_threads_are_not_slower, more_work_is_not_cheaper)


@Specimen
def large_product() -> Program:
    """A matrix product of 1024 rows, columns and terms."""
    return _product(1024)


@Specimen
def small_product() -> Program:
    """A matrix product of 512 rows, columns and terms."""
    return _product(512)


def _product(size: int) -> Program:
    return captured(lambda self, x: F.linear(x, self.weight), torch.randn(size, size), weight=torch.randn(size, size))


def _milliseconds(target: Target, engine: Engine, program: Program) -> float:
    return target.predict(program, engine).latency_ms.estimate
