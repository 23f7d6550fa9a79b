"""Holds the JSON of an exported program against torch's schema and rebuilds it from what is allowed.

Every value must have the type that the schema declares, and every text must satisfy the rule of its field; a text
field without a rule is refused. So nothing that torch's deserializer evaluates, imports, or pastes into generated code
(shape expressions, operator names, guards, containers, variable names) comes from the file unseen. Fields that torch
does not know are dropped; so are guards, which torch runs as code, and free-form metadata.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import keyword
import operator
import re
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import _SYM_OPS
from torch._export.serde.union import _Union
from torch._ops import OpOverload

from fxopt.errors import InputError
from fxopt_plugins.frontends.archive import Refused
from fxopt_plugins.frontends.expression import clean_expression

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_QUALIFIED = re.compile(r"[\w.@ -]*", re.ASCII)
_PLAIN = re.compile(r"[\w.+]*", re.ASCII)
_OPERATOR = re.compile(r"torch\.ops\.(\w+)\.(\w+)\.(\w+)", re.ASCII)
_FRAME = re.compile(r'File "[\w./ <>+-]+", line \d+, in [\w<>.]+', re.ASCII)
_MODULE_STACK = re.compile(r"[\w.,;'\[\]()<>@: -]*", re.ASCII)

NAMESPACES = frozenset({"aten", "prims", "quantized_decomposed"})
# They take only tensors, numbers and subgraphs that are checked like any graph.
_HIGHER_ORDER = frozenset(
    "torch.ops.higher_order." + name
    for name in (
        *("cond", "while_loop", "map_impl", "scan", "associative_scan"),
        *("wrap_with_set_grad_enabled", "wrap_with_autocast"),
    )
)
_SCALAR_OPERATORS = frozenset(
    f"{function.__module__}.{function.__name__}" for function in (*_SYM_OPS, operator.getitem)
)
_FILE_OPERATORS = frozenset({"from_file"})  # creates or maps a file
_CONTAINERS = {
    "builtins.tuple",
    "builtins.list",
    "builtins.dict",
    "collections.OrderedDict",
    "torch.fx.immutable_collections.immutable_list",
    "torch.fx.immutable_collections.immutable_dict",
    "torch.Size",
}


def clean_program(data: Any) -> schema.ExportedProgram:
    """The exported program of a parsed `models/model.json`, rebuilt.

    Raises:
        Refused: it holds something that may run code.
        InputError: it was exported for another device.
    """
    return _build(schema.ExportedProgram, data)  # type: ignore[no-any-return]


def clean_payloads(data: Any) -> dict[str, schema.PayloadMeta]:
    """The table of weights or constants of a parsed `*_config.json`: name -> where its bytes are and how to read them.

    Raises:
        Refused: an entry is pickled, or not of torch's schema.
    """
    payloads: dict[str, schema.PayloadMeta] = _build(schema.PayloadConfig, data).config
    for name, payload in payloads.items():
        if payload.use_pickle or payload.tensor_meta is None:
            raise Refused(f"its tensor or object {name!r} is pickled")
    return payloads


def _build(kind: type, data: Any) -> Any:
    try:
        return _convert(kind, data, kind.__name__)
    except RecursionError:
        raise Refused(f"its {kind.__name__} is nested too deeply") from None


def _convert(hint: Any, data: Any, where: str) -> Any:
    """`data` as a value of type `hint`; `where` is `Class.field`, which names the rule of a text."""
    if where in _FIELD_RULES:
        return _FIELD_RULES[where](data)
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return _convert(typing.get_args(hint)[0], data, where)
    if origin in (typing.Union, types.UnionType):
        return None if data is None else _convert(typing.get_args(hint)[0], data, where)
    if origin is list and isinstance(data, list):
        return [_convert(typing.get_args(hint)[0], item, where) for item in data]
    if origin is dict and isinstance(data, dict):
        return {_text(where, key): _convert(typing.get_args(hint)[1], value, where) for key, value in data.items()}
    if isinstance(hint, type):
        if issubclass(hint, _Union) and isinstance(data, dict) and len(data) == 1:
            ((field, value),) = data.items()
            if field in _fields(hint):
                return hint.create(**{field: _convert(_fields(hint)[field], value, f"{hint.__name__}.{field}")})
        elif dataclasses.is_dataclass(hint) and isinstance(data, dict):
            known = _fields(hint).items()
            values = {
                name: _convert(kind, data[name], f"{hint.__name__}.{name}") for name, kind in known if name in data
            }
            try:
                return hint(**values)
            except TypeError as error:
                raise Refused(f"its {where} is not of torch's schema ({error})") from None
        elif issubclass(hint, enum.IntEnum) and type(data) is int and data in set(hint):
            return hint(data)
        elif hint is float and (type(data) in (int, float) or data in ("Infinity", "-Infinity", "NaN")):
            return float(data)
        elif hint is str and isinstance(data, str):
            return _text(where, data)
        elif hint in (int, bool) and type(data) is hint:
            return data
    raise Refused(f"its {where} is not of torch's schema")


@functools.cache
def _fields(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, globalns=vars(schema), include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _text(where: str, text: str) -> str:
    if where not in _TEXT_RULES:
        raise Refused(f"it holds a {where}, which may run code")
    return _TEXT_RULES[where](text)


def _matches(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def rule(text: str) -> str:
        dunder = any(part.startswith("__") and part.endswith("__") and len(part) > 4 for part in text.split("."))
        if not pattern.fullmatch(text) or dunder or len(text) > 1000:
            raise Refused(f"it holds {text[:80]!r} where {what} belongs")
        return text

    return rule


def _variable(text: str) -> str:
    if not _IDENTIFIER.fullmatch(text) or keyword.iskeyword(text) or len(text) > 1000:
        raise Refused(f"it holds {text[:80]!r} where the name of a value belongs")
    return text


def _argument(text: str) -> str:
    return text if text == "" or keyword.iskeyword(text) else _variable(text)


def _target(text: str) -> str:
    """The name of an operator: one that torch's dispatcher knows, of an allowed namespace."""
    if text in _HIGHER_ORDER or text in _SCALAR_OPERATORS:
        return text
    match = _OPERATOR.fullmatch(text)
    if match is None or match[1] not in NAMESPACES or match[2] in _FILE_OPERATORS:
        raise Refused(f"it calls {text[:80]!r}, which is not an operator of {', '.join(sorted(NAMESPACES))}")
    namespace, name, overload = match.groups()
    if namespace == "quantized_decomposed":
        from torch.ao.quantization.fx import _decomposed  # noqa: F401  registers them
    registered = f"{namespace}::{name}" + ("" if overload == "default" else f".{overload}")
    packet = getattr(getattr(torch.ops, namespace), name, None) if registered in _dispatcher_names() else None
    if not isinstance(getattr(packet, overload, None), OpOverload):
        raise Refused(f"it calls {text!r}, which this torch does not know")
    return text


@functools.cache
def _known_operators(with_quantized: bool) -> frozenset[str]:
    return frozenset(torch._C._dispatch_get_all_op_names())  # noqa: SLF001  there is no public list


def _dispatcher_names() -> frozenset[str]:
    # Importing quantized_decomposed adds to them.
    return _known_operators(hasattr(torch.ops.quantized_decomposed, "quantize_per_tensor"))


def _ranged(text: str) -> str:
    """What a range is stated for: a size, or an expression of sizes, which torch only looks up."""
    clean_expression(text)
    return text


def _device(text: str) -> str:
    if text != "cpu":
        shown = text[:20] if _PLAIN.fullmatch(text) else "another device"
        raise InputError(
            f"the model was exported on {shown}: move it to the CPU with model.cpu() before torch.export.export"
        )
    return text


def _metadata(data: Any) -> dict[str, str]:
    """Of a node's metadata only the source lines and the module path, where these are nothing but that."""
    if not isinstance(data, dict):
        raise Refused("its Node.metadata is not of torch's schema")
    kept = {}
    if isinstance(trace := data.get("stack_trace"), str) and (frames := _FRAME.findall(trace)):
        kept["stack_trace"] = "\n".join("  " + frame for frame in frames)
    if isinstance(stack := data.get("nn_module_stack"), str) and _MODULE_STACK.fullmatch(stack):
        kept["nn_module_stack"] = stack
    return kept


def _in_spec(data: Any) -> str:
    return _container_text(data, keyword_arguments=True)


def _out_spec(data: Any) -> str:
    return _container_text(data, keyword_arguments=False)


def _container_text(data: Any, keyword_arguments: bool) -> str:
    """The structure of inputs or outputs: plain containers only, as torch imports modules to make others."""
    try:
        protocol, spec = json.loads(data)
        clean = _container(spec)
        if protocol != 1:
            raise ValueError
        if keyword_arguments:
            _, kwargs = spec["children_spec"]
            for name in json.loads(kwargs["context"]):
                _variable(name)
        return json.dumps([1, clean])
    except (TypeError, ValueError, KeyError, RecursionError):
        raise Refused("the structure of its inputs or outputs is not of torch's schema") from None


def _container(spec: Any) -> dict[str, Any]:
    kind, children = spec["type"], [_container(child) for child in spec["children_spec"]]
    if kind is None:
        if children or spec["context"] is not None:
            raise ValueError
        return {"type": None, "context": None, "children_spec": []}
    if kind not in _CONTAINERS:
        raise Refused(f"its inputs or outputs hold a container of type {str(kind)[:80]!r}")
    context = json.loads(spec["context"])
    if context is not None:
        if not isinstance(context, list) or not all(isinstance(key, (str, int, float, type(None))) for key in context):
            raise ValueError
        if not all(re.fullmatch(r"[^'\"\\\x00-\x1f]*", key) for key in context if isinstance(key, str)):
            raise ValueError
    return {"type": kind, "context": json.dumps(context), "children_spec": children}


_name, _qualified = _variable, _matches(_QUALIFIED, "the name of a parameter or module")
_plain = _matches(_PLAIN, "a name or version")

_FIELD_RULES: dict[str, Callable[[Any], Any]] = {
    "Node.metadata": _metadata,
    "ModuleCallSignature.in_spec": _in_spec,
    "ModuleCallSignature.out_spec": _out_spec,
    "GraphModule.metadata": lambda data: {},
    "GraphModule.treespec_namedtuple_fields": lambda data: {},
    "ExportedProgram.guards_code": lambda data: [],
}

_TEXT_RULES: dict[str, Callable[[str], str]] = {
    "SymExpr.expr_str": clean_expression,
    "Node.target": _target,
    "Device.type": _device,
    "Argument.as_string": str,  # printed with repr wherever it is printed
    "Argument.as_strings": str,
    "ConstantValue.as_string": str,
    "NamedArgument.name": _argument,
    "ExportedProgram.range_constraints": _ranged,
    "ExportedProgram.opset_version": _plain,
    "ExportedProgram.verifiers": _plain,
    "ExportedProgram.torch_version": _plain,
    "PayloadMeta.path_name": _plain,
    **dict.fromkeys(
        (
            *("SymIntArgument.as_name", "SymFloatArgument.as_name", "SymBoolArgument.as_name"),
            *("TensorArgument.name", "TokenArgument.name", "GraphArgument.name", "Node.name"),
            *("Graph.tensor_values", "Graph.sym_int_values", "Graph.sym_float_values", "Graph.sym_bool_values"),
            *("InputToConstantInputSpec.name", "ModuleCallSignature.forward_arg_names"),
        ),
        _name,
    ),
    **dict.fromkeys(
        (
            *("InputToParameterSpec.parameter_name", "InputToBufferSpec.buffer_name"),
            *("InputToTensorConstantSpec.tensor_constant_name", "BufferMutationSpec.buffer_name"),
            *("ParameterMutationSpec.parameter_name", "UserInputMutationSpec.user_input_name"),
            *("GradientToParameterSpec.parameter_name", "GradientToUserInputSpec.user_input_name"),
            *("ModuleCallEntry.fqn", "PayloadConfig.config"),
        ),
        _qualified,
    ),
}
