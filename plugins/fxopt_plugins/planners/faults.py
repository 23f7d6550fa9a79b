"""Which of many steps are at fault where an engine fails at them together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fxopt.contracts.candidate import Step
from fxopt.contracts.planner import Build

Attempt = Callable[[Sequence[Step]], Build | str]  # a build of these steps, or why there is none


@dataclass
class Bisection:
    """Keeps what works of some steps, half by half.

    One step at fault among n is found with about 2 log2(n) attempts. Where two fail only together, the later one is left out.

    Attributes:
        attempt: builds steps.
        most: attempts that may be made. When they are used up, what is not known to work counts as at fault.
        build: of what works; None where nothing does.
        faults: the parts that do not work, and why; also that no more was looked for, where a part has several.
    """

    attempt: Attempt
    most: int
    build: Build | None = None
    faults: list[tuple[Sequence[Step], str]] = field(default_factory=list)
    _kept: list[Step] = field(default_factory=list)

    def run(self, steps: Sequence[Step]) -> None:
        """Fill `build` and `faults`."""
        self._settle(steps, "nothing was tried")

    def _settle(self, part: Sequence[Step], why: str) -> bool:
        """Keep a part beside what works already, or what works of it; whether all of it is kept.

        Where no attempt is left, `why` the part around it does not work stands for it.
        """
        if self.most <= 0:
            self._give_up(part, why)
            return False
        self.most -= 1
        found = self.attempt([*self._kept, *part])
        if isinstance(found, str):
            self._split(part, found)
            return False
        self.build = found
        self._kept += part
        return True

    def _split(self, part: Sequence[Step], why: str) -> None:
        """Keep what works of a part that does not as a whole."""
        if len(part) == 1 or self.most <= 0:
            self._give_up(part, why)
            return
        first, second = part[: len(part) // 2], part[len(part) // 2 :]
        if self._settle(first, why):
            self._split(second, why)  # beside the first half it is the part that failed
        else:
            self._settle(second, why)

    def _give_up(self, part: Sequence[Step], why: str) -> None:
        more = f" (which of {len(part)} are at fault was not looked for further)" if len(part) > 1 else ""
        self.faults.append((part, f"{why}{more}"))
