"""The runtimes that programs are emitted to, one a file."""

from fxopt import hookimpl
from fxopt.contracts.engine import Engine


@hookimpl
def fxopt_engines() -> list[type[Engine]]:
    """The built-in engines."""
    from fxopt_plugins.engines.eager import Eager
    from fxopt_plugins.engines.inductor import Inductor
    from fxopt_plugins.engines.inductor_gpu import InductorGpu
    from fxopt_plugins.engines.onnxruntime import OnnxRuntime
    from fxopt_plugins.engines.onnxruntime_gpu import OnnxRuntimeCuda, OnnxRuntimeTensorRt
    from fxopt_plugins.engines.openvino import OpenVino
    from fxopt_plugins.engines.tensorrt import TensorRt

    return [OnnxRuntime, OpenVino, Inductor, Eager, TensorRt, OnnxRuntimeCuda, OnnxRuntimeTensorRt, InductorGpu]
