"""What turns the MODEL of the command line into something that can be captured, one kind of model a file."""

from fxopt.contracts.frontend import Frontend
from fxopt.hookspecs import hookimpl


@hookimpl
def fxopt_frontends() -> list[type[Frontend]]:
    """The built-in frontends, in the order in which they are asked."""
    from fxopt_plugins.frontends.exported import Exported
    from fxopt_plugins.frontends.factory import Factory
    from fxopt_plugins.frontends.onnx import Onnx
    from fxopt_plugins.frontends.pickled import Pickled
    from fxopt_plugins.frontends.torchscript import TorchScript

    return [Exported, TorchScript, Onnx, Pickled, Factory]
