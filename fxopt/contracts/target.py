"""The contract of a target: the hardware-cost plugin for one backend."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from fxopt.contracts import plain
from fxopt.contracts.options import Configurable

if TYPE_CHECKING:
    import torch

    from fxopt.contracts.cost import Cost
    from fxopt.contracts.engine import Engine
    from fxopt.contracts.price import Prediction
    from fxopt.ir.program import Program


@dataclass(frozen=True)
class Machine:
    """The machine at hand, as stamped on reports and artifacts.

    Attributes:
        cpu: model name.
        isa: instruction sets that matter to engines, like `("avx2", "avx512f", "avx512_vnni")`.
        cores: cores that this process may use.
        memory_bytes: bytes of main memory.
        versions: versions of Python, torch and the engines.
    """

    cpu: str
    isa: tuple[str, ...]
    cores: int
    memory_bytes: int
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Capabilities:
    """What the hardware can do, as data that passes may read.

    Attributes:
        dtypes: names of dtypes with native arithmetic, like `"float32"`, `"bfloat16"`, `"int8"`.
        isa: as in `Machine`.
        channel_grid: channel counts cost in steps of this many.
    """

    dtypes: frozenset[str]
    isa: tuple[str, ...] = ()
    channel_grid: int = 1

    def to_json(self) -> dict[str, Any]:
        """Plain data that `from_json` reads back."""
        return {"dtypes": sorted(self.dtypes), "isa": list(self.isa), "channel_grid": self.channel_grid}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`.

        Raises:
            Damaged: the data are not of that form.
        """
        return plain.fields(cls, data)


@dataclass(frozen=True)
class Probe:
    """A network whose kernels are timed to profile a machine.

    Attributes:
        name: for the user.
        make: gives the module and example inputs for a seed, always the same for the same.
        seed: of what is random in it.
    """

    name: str
    make: Callable[[int], tuple[torch.nn.Module, tuple[torch.Tensor, ...]]]
    seed: int = 0


@dataclass(frozen=True)
class Target(Configurable, abc.ABC):
    """One backend: its capabilities, its prices, and the engines that it emits to."""

    name: ClassVar[str]
    engines: ClassVar[tuple[str, ...]] = ()  # names, in the order in which they are tried

    @property
    def here(self) -> bool:
        """Whether its hardware is at hand; without, nothing is measured: plans rest on `price`, and figures say so."""
        return True

    @abc.abstractmethod
    def machine(self) -> Machine:
        """The machine that figures are for."""

    @abc.abstractmethod
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def probes(self) -> Iterable[Probe]:
        """What `fxopt profile` times, the most telling first; nothing where the hardware is not here."""
        return ()

    def refresh(self) -> None:
        """Forget prices that are kept in mind: a run begins, and much may have been measured since the last one."""

    def price(self, program: Program, engine: Engine) -> Prediction | None:
        """What its pieces are expected to take; None where too little is known of the engine here to tell them apart."""
        return None

    @abc.abstractmethod
    def predict(self, program: Program, engine: Engine) -> Cost:
        """The program's price without building it. Deterministic, finite, not negative."""
