"""The backends, one a file: what the hardware can do and what a program costs on it."""

from fxopt import hookimpl
from fxopt.contracts.target import Target


@hookimpl
def fxopt_targets() -> list[type[Target]]:
    """The built-in targets."""
    from fxopt_plugins.targets.cpu import Cpu
    from fxopt_plugins.targets.gpu import Gpu

    return [Cpu, Gpu]
