"""The conformance kit: what a plugin must keep to, as test cases that pytest runs on it.

    @pytest.mark.parametrize("check", pass_checks(MyPass()))
    def test_my_pass(check: Callable[[], None]) -> None:
        check()

Built-ins run exactly this kit.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Public names by the module that defines them; imported on first use, so that the pytest plugin costs no torch.
_PUBLIC = {
    "pass_checks": "fxopt.testing.passes",
    "target_checks": "fxopt.testing.targets",
    "engine_checks": "fxopt.testing.engines",
    "planner_checks": "fxopt.testing.planners",
    "ZOO": "fxopt.testing.zoo",
    "Specimen": "fxopt.testing.specimen",
    "captured": "fxopt.testing.specimen",
}

__all__ = [*_PUBLIC]

if TYPE_CHECKING:
    from fxopt.testing.engines import engine_checks as engine_checks
    from fxopt.testing.passes import pass_checks as pass_checks
    from fxopt.testing.planners import planner_checks as planner_checks
    from fxopt.testing.specimen import Specimen as Specimen
    from fxopt.testing.specimen import captured as captured
    from fxopt.testing.targets import target_checks as target_checks
    from fxopt.testing.zoo import ZOO as ZOO


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'fxopt.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)
