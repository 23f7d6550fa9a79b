"""`.onnx` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fxopt.contracts.frontend import Frontend, Loaded, LoadRequest
from fxopt.errors import InputError


@dataclass(frozen=True)
class Onnx(Frontend):
    """Says that ONNX models cannot be read yet."""

    name: ClassVar[str] = "onnx"

    def recognises(self, model: str) -> bool:
        return Path(model).suffix == ".onnx"

    def load(self, request: LoadRequest) -> Loaded:
        raise InputError(
            f"{request.model}: not yet: .onnx input is planned; export the PyTorch model with torch.export.save"
        )
