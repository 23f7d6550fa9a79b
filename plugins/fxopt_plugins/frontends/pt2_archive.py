"""Loads a `.pt2` of torch.export without running anything that it holds.

`torch.export.load` unpickles what it finds where its safe loader fails, evaluates shape expressions and guards, imports
modules that the file names, and loads compiled libraries. Here each member of the archive is read once and checked,
tensors are made from raw bytes, and only the rebuilt program (see `pt2_schema`) is handed to torch's deserializer.
What remains is torch itself: an allowed operator is run on sizes and numbers of the file's choice.
"""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import ExportedProgramDeserializer, deserialize_scalar_type, deserialize_size
from torch.utils._pytree import tree_leaves

from fxopt.errors import InputError
from fxopt.ir.export_error import reason
from fxopt.ir.quiet import quiet
from fxopt_plugins.frontends.archive import Archive, Refused, open_archive
from fxopt_plugins.frontends.pt2_schema import clean_payloads, clean_program

_MODEL = "models/model.json"
_OLD_MODEL = "serialized_exported_program.json"
_INERT = (
    r"archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment"
    r"|extra/.*|extra_files/.*"
)
_MEMBERS = re.compile(
    rf"{_INERT}|{_MODEL}|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
)
_OLD_MEMBERS = re.compile(rf"{_INERT}|{_OLD_MODEL}|serialized_(state_dict|constants|example_inputs)\.pt")
_COMPILED = re.compile(r"data/aotinductor/|executorch/|.*\.(so|dll|dylib|o|cubin|hsaco|ptx|spv|cpp|cu)$")


def load_checked(path: Path) -> torch.export.ExportedProgram:
    """The exported program in a `.pt2`.

    Raises:
        Refused: loading the file may run code, and why.
        InputError: the file is damaged, or this torch cannot read it.
    """
    archive = open_archive(path)
    with archive.file:
        old = _OLD_MODEL in archive.members
        _check_members(archive, old)
        program = clean_program(_json(archive, _OLD_MODEL if old else _MODEL))
        if old:
            weights, constants = (_tensors(archive, f"serialized_{kind}.pt") for kind in ("state_dict", "constants"))
            samples = _samples(archive, "serialized_example_inputs.pt")
        else:
            weights, constants = (_payloads(archive, kind) for kind in ("weights", "constants"))
            samples = _samples(archive, "data/sample_inputs/model.pt")
    try:
        with quiet("torch._export.serde.serialize"):
            return ExportedProgramDeserializer().deserialize(program, weights, constants, samples)
    except Exception as error:  # torch raises whatever a program that does not hang together leads to
        raise InputError(
            f"{path}: torch {torch.__version__} cannot read this exported program ({reason(error)})"
        ) from error


def _check_members(archive: Archive, old: bool) -> None:
    allowed = _OLD_MEMBERS if old else _MEMBERS
    for member in archive.members:
        if not allowed.fullmatch(member):
            kind = "compiled code" if _COMPILED.match(member) else "a member that torch.export.save does not write"
            raise Refused(f"it holds {kind}, {member[:80]!r}")


def _json(archive: Archive, member: str) -> Any:
    try:
        return json.loads(archive.read(member))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive.path}: {member} is damaged ({error})") from error


def _payloads(archive: Archive, kind: str) -> dict[str, torch.Tensor]:
    """Tensors of raw bytes; tensors that share a member share its storage."""
    table = clean_payloads(_json(archive, f"data/{kind}/model_{kind}_config.json"))
    storages: dict[str, torch.Tensor] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, payload in table.items():
        meta = payload.tensor_meta
        assert meta is not None  # clean_payloads
        member = f"data/{kind}/{payload.path_name}"
        if member not in storages:
            storages[member] = _flat(archive, member, meta)
        try:
            tensors[name] = _view(storages[member], payload, meta)
        except (RuntimeError, AssertionError, AttributeError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{archive.path}: tensor {name} does not fit its bytes ({reason(error)})") from error
    return tensors


def _flat(archive: Archive, member: str, meta: schema.TensorMeta) -> torch.Tensor:
    data = bytearray(archive.read(member))
    try:
        dtype = deserialize_scalar_type(meta.dtype)
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    except (ValueError, KeyError) as error:
        raise InputError(f"{archive.path}: {member} is not a whole number of elements of its dtype") from error


def _view(flat: torch.Tensor, payload: schema.PayloadMeta, meta: schema.TensorMeta) -> torch.Tensor:
    """A view of the bytes; torch raises one error or another where the table does not fit them."""
    size, stride = deserialize_size(meta.sizes), deserialize_size(meta.strides)
    if min(size, default=0) < 0:
        raise RuntimeError("a size is negative")
    typed = (
        flat if flat.dtype == deserialize_scalar_type(meta.dtype) else flat.view(deserialize_scalar_type(meta.dtype))
    )
    tensor = torch.as_strided(typed, size, stride, meta.storage_offset.as_int)
    if payload.is_param:
        return torch.nn.Parameter(tensor, requires_grad=meta.requires_grad)
    return tensor.requires_grad_(meta.requires_grad)


def _safe_load(archive: Archive, member: str) -> Any:
    data = archive.read(member)
    if not data:
        return None
    try:
        with quiet():
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise Refused(f"its {member} is a pickle that holds more than tensors") from None
    except (RuntimeError, ValueError, EOFError, OSError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Refused(f"its {member} is not a file of tensors ({reason(error)})") from error


def _tensors(archive: Archive, member: str) -> dict[str, torch.Tensor]:
    loaded = _safe_load(archive, member) or {}
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and type(value) in (torch.Tensor, torch.nn.Parameter) for name, value in loaded.items()
    ):
        raise Refused(f"its {member} holds more than named tensors")
    return dict(loaded)


def _samples(archive: Archive, member: str) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The sample inputs (args, kwargs); None where the file has none."""
    loaded = _safe_load(archive, member)
    match loaded:
        case None:
            return None
        case tuple(args), dict(kwargs):
            leaves = tree_leaves((args, kwargs))
            plain = (torch.Tensor, torch.nn.Parameter, int, float, bool, str, complex, type(None))
            if all(type(leaf) in plain for leaf in leaves):
                return args, kwargs
    raise Refused(f"its {member} holds more than tensors and numbers")
