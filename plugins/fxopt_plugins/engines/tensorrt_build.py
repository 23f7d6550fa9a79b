"""Build a TensorRT engine from the model.onnx beside this file: `python build_engine.py [--engine FILE]`.

Written by fxopt, for TensorRT 8.6 or newer with its Python package (`pip install tensorrt`) on the machine with the GPU. The
manifest beside it says in what precision the engine is to compute. Its building was not tested where it was written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def arguments(argv: Sequence[str] | None = None, folder: Path = HERE) -> argparse.Namespace:
    """What the command line says, with the precision of the manifest in the folder where it says none."""
    manifest = json.loads((folder / "manifest.json").read_text())
    options = manifest["options"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--onnx", type=Path, default=folder / manifest["stages"][0]["file"])
    parser.add_argument("--engine", type=Path, default=folder / "model.engine", help="where the engine is written")
    parser.add_argument("--precision", choices=("f32", "f16"), default=options.get("precision", "f32"))
    parser.add_argument("--tf32", action="store_true", help="let float32 products be rounded to TF32, which is faster")
    parser.add_argument("--workspace", type=float, default=4.0, metavar="GB", help="memory that tactics may use")
    parser.add_argument("--level", type=int, default=5, help="how long tactics are sought, 0 to 5")
    parser.add_argument("--timing-cache", type=Path, help="file in which the times of tactics are kept")
    found = parser.parse_args(argv)
    found.typed = found.precision == options.get("written", "f32")  # the model's own dtypes are those that are wanted
    found.dims = {dim["name"]: (dim["min"], dim["measured"], dim["max"]) for dim in manifest["interface"]["dims"]}
    found.inputs = {item["name"]: item["shape"] for item in manifest["interface"]["inputs"]}
    return found


def shapes(shape: Sequence[int | str], dims: dict[str, tuple[int, int, int | None]]) -> tuple[list[int], ...]:
    """The least, the usual and the largest shape of an input; where a dimension has no end, four times the usual."""
    ends = [(size,) * 3 if isinstance(size, int) else dims[size] for size in shape]
    low, usual, high = zip(*ends, strict=True) if ends else ((), (), ())
    return list(low), list(usual), [4 * u if h is None else h for u, h in zip(usual, high, strict=True)]


def build(options: argparse.Namespace) -> None:
    """Parse the model, and write the engine.

    A model whose dtypes are those that are wanted is built strongly typed: each layer runs in the dtype that it is written
    in, integers where Q and DQ say so. A float32 model that is to run in float16 is built with the flags for it.
    """
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    creation = 0
    major = int(trt.__version__.split(".")[0])
    if major < 10:
        creation |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    typed = options.typed and hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    if typed:
        creation |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(creation)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(options.onnx)):
        raise SystemExit("\n".join(str(parser.get_error(index)) for index in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(options.workspace * 2**30))
    config.builder_optimization_level = options.level
    if not options.tf32:  # it is on unless told otherwise
        config.clear_flag(trt.BuilderFlag.TF32)
    if not typed:
        for flag, wanted in (("FP16", options.precision == "f16"), ("INT8", _has_integers(trt, network))):
            if wanted and not hasattr(trt.BuilderFlag, flag):
                raise SystemExit(f"TensorRT {trt.__version__} has no flag {flag}: emit with tensorrt{{precision=f16}}")
            if wanted:
                config.set_flag(getattr(trt.BuilderFlag, flag))
    if options.dims:
        profile = builder.create_optimization_profile()
        for name, shape in options.inputs.items():
            profile.set_shape(name, *shapes(shape, options.dims))
        config.add_optimization_profile(profile)
    cache = options.timing_cache
    if cache is not None:
        config.set_timing_cache(config.create_timing_cache(cache.read_bytes() if cache.exists() else b""), False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise SystemExit("TensorRT could not build the engine; its messages are above")
    options.engine.write_bytes(engine)
    if cache is not None:
        cache.write_bytes(config.get_timing_cache().serialize())
    print(f"{options.engine}: {options.engine.stat().st_size / 1e6:.1f} MB by TensorRT {trt.__version__}")


def _has_integers(trt: Any, network: Any) -> bool:
    kinds = (trt.LayerType.QUANTIZE, trt.LayerType.DEQUANTIZE)
    return any(network.get_layer(index).type in kinds for index in range(network.num_layers))


if __name__ == "__main__":
    build(arguments())
