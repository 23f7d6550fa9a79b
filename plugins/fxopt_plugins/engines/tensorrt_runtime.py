"""An artifact of the engine `tensorrt` on the GPU at hand. It was written without one, and was not run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fxopt.contracts.engine import Artifact, FlatCallable, Stage
from fxopt.errors import EngineError
from fxopt_plugins.engines.cuda import CudaCall
from fxopt_plugins.engines.tensorrt_build import arguments, build

if TYPE_CHECKING:
    import torch


def on_gpu(artifact: Artifact, stage: Stage) -> FlatCallable:
    """Build the engine, as the artifact's script does, and load it.

    Raises:
        EngineError: TensorRT cannot build it.
    """
    import tensorrt as trt
    import torch

    with tempfile.TemporaryDirectory() as folder:
        options = arguments(["--engine", f"{folder}/model.engine"], artifact.path)
        try:
            build(options)
        except SystemExit as error:
            raise EngineError(f"tensorrt: {str(error).splitlines()[0]}") from error
        data = Path(options.engine).read_bytes()
    engine = trt.Runtime(trt.Logger(trt.Logger.WARNING)).deserialize_cuda_engine(data)
    context = engine.create_execution_context()
    dtypes = {name: getattr(torch, trt.nptype(engine.get_tensor_dtype(name)).__name__) for name in stage.outputs}

    def run(tensors: list[torch.Tensor]) -> Iterable[torch.Tensor]:
        for name, value in zip(stage.inputs, tensors, strict=True):
            context.set_input_shape(name, tuple(value.shape))
            context.set_tensor_address(name, value.data_ptr())
        found = []
        for name in stage.outputs:
            found.append(torch.empty(tuple(context.get_tensor_shape(name)), dtype=dtypes[name], device="cuda"))
            context.set_tensor_address(name, found[-1].data_ptr())
        context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        return found

    return CudaCall(run)
