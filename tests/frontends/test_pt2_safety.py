"""No trick in a `.pt2` runs code: each is planted in a sound file, and leaves no trace when it is refused."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from fxopt.contracts.frontend import LoadRequest
from fxopt.errors import InputError
from fxopt_plugins.frontends.exported import Exported
from tests.frontends.archives import Members, Payload, edit_json, evaluated, find, planted, write


def refusal(path: Path, trace: Path) -> str:
    """The line with which the file is refused, once it is certain that nothing ran."""
    with pytest.raises(InputError) as caught:
        Exported().load(LoadRequest(str(path)))
    assert not trace.exists()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def nodes(program: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = program["graph_module"]["graph"]["nodes"]
    return found


def pickled(trace: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save(Payload(trace), buffer)
    return buffer.getvalue()


def test_a_sound_file_rewritten_by_another_zip_tool_loads(tmp_path: Path, sound: Members) -> None:
    assert Exported().load(LoadRequest(str(write(tmp_path / "net.pt2", sound)))).exported is not None


def test_the_payloads_of_these_tests_do_run_in_torch_export_load(tmp_path: Path, sound: Members, trace: Path) -> None:
    """Else the tests below would show nothing."""
    path = planted(
        tmp_path, sound, lambda members: members.update({find(members, "sample_inputs/model.pt"): pickled(trace)})
    )
    with contextlib.suppress(Exception), warnings.catch_warnings():  # it fails only after it ran the payload
        warnings.simplefilter("ignore")
        torch.export.load(path)
    assert trace.exists()


def test_refuses_a_pickle_in_place_of_the_sample_inputs(tmp_path: Path, sound: Members, trace: Path) -> None:
    path = planted(
        tmp_path, sound, lambda members: members.update({find(members, "sample_inputs/model.pt"): pickled(trace)})
    )
    message = refusal(path, trace)
    assert "sample_inputs/model.pt is a pickle that holds more than tensors" in message
    assert "--trust-pickle" in message


def test_refuses_a_bare_pickle_in_place_of_the_sample_inputs(tmp_path: Path, sound: Members, trace: Path) -> None:
    bare = pickle.dumps(Payload(trace))
    path = planted(tmp_path, sound, lambda members: members.update({find(members, "sample_inputs/model.pt"): bare}))
    assert "sample_inputs/model.pt" in refusal(path, trace)


@pytest.mark.parametrize(("table", "entry"), [("weights", "conv.weight"), ("constants", "shift")])
def test_refuses_a_pickled_tensor(tmp_path: Path, sound: Members, trace: Path, table: str, entry: str) -> None:
    def change(members: Members) -> None:
        def use_pickle(data: Any) -> None:
            data["config"][entry]["use_pickle"] = True
            members[find(members, f"data/{table}/{data['config'][entry]['path_name']}")] = pickled(trace)

        edit_json(members, f"model_{table}_config.json", use_pickle)

    assert f"{entry!r} is pickled" in refusal(planted(tmp_path, sound, change), trace)


@pytest.mark.parametrize("prefix", ["custom_obj_", "opaque_obj_"])
def test_refuses_a_pickled_custom_object(tmp_path: Path, sound: Members, trace: Path, prefix: str) -> None:
    def change(members: Members) -> None:
        entry = {"path_name": f"{prefix}0", "is_param": False, "use_pickle": True, "tensor_meta": None}
        edit_json(members, "model_constants_config.json", lambda data: data["config"].update(evil=entry))
        folder = find(members, "model_constants_config.json").rpartition("/")[0]
        members[f"{folder}/{prefix}0"] = pickle.dumps(Payload(trace))

    assert "does not write" in refusal(planted(tmp_path, sound, change), trace)


def test_refuses_a_custom_object_whose_member_has_an_innocent_name(tmp_path: Path, sound: Members, trace: Path) -> None:
    def change(members: Members) -> None:
        entry = {"path_name": "tensor_9", "is_param": False, "use_pickle": True, "tensor_meta": None}
        edit_json(members, "model_constants_config.json", lambda data: data["config"].update(evil=entry))
        folder = find(members, "model_constants_config.json").rpartition("/")[0]
        members[f"{folder}/tensor_9"] = pickle.dumps(Payload(trace))

    assert "'evil' is pickled" in refusal(planted(tmp_path, sound, change), trace)


def test_refuses_a_shape_expression_with_a_call(tmp_path: Path, sound: Members, trace: Path) -> None:
    def change(program: Any) -> None:
        sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": evaluated(trace), "hint": {"as_int": 2}}}

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "where a shape expression belongs" in refusal(path, trace)


def test_refuses_a_shape_expression_that_is_not_a_text(tmp_path: Path, sound: Members, trace: Path) -> None:
    def change(program: Any) -> None:
        sizes = program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": [evaluated(trace)], "hint": None}}

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "SymExpr.expr_str is not of torch's schema" in refusal(path, trace)


@pytest.mark.parametrize(
    "member",
    ["data/aotinductor/model/model.so", "data/aotinductor/model/kernel.cubin", "extra.so", "executorch/model.pte"],
)
def test_refuses_a_compiled_library(tmp_path: Path, sound: Members, trace: Path, member: str) -> None:
    path = planted(tmp_path, sound, lambda members: members.update({f"net/{member}": b"\x7fELF"}))
    assert "it holds compiled code" in refusal(path, trace)


def test_refuses_a_member_that_torch_does_not_write(tmp_path: Path, sound: Members, trace: Path) -> None:
    path = planted(tmp_path, sound, lambda members: members.update({"net/models/other.json": b"{}"}))
    assert "a member that torch.export.save does not write, 'models/other.json'" in refusal(path, trace)


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.evil.run.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.__init__.__call__",
        "torch.ops.load_library",
        "torch.load",
        "torch.serialization.load",
        "torch.hub.load",
        "torch.ops.higher_order.call_torchbind",
        "torch.ops.higher_order.triton_kernel_wrapper_functional",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "math.__loader__.load_module",
        "#custom:op",
        "os.system",
        "torch.ops.aten.no_such_operator.default",
    ],
)
def test_refuses_an_operator_beyond_the_allowed_namespaces(
    tmp_path: Path, sound: Members, trace: Path, target: str
) -> None:
    path = planted(
        tmp_path,
        sound,
        lambda members: edit_json(members, "model.json", lambda program: nodes(program)[0].update(target=target)),
    )
    assert f"it calls {target!r}" in refusal(path, trace)


def test_refuses_code_in_the_name_of_a_value(tmp_path: Path, sound: Members, trace: Path) -> None:
    """torch pastes the names of placeholders into the Python that it generates."""
    name = f"x=({evaluated(trace)})"

    def change(members: Members) -> None:
        model = find(members, "model.json")
        members[model] = members[model].replace(b'"name": "x"', json.dumps({"name": name}).encode()[1:-1])

    path = planted(tmp_path, sound, change)
    assert "where the name of a value belongs" in refusal(path, trace)


def test_refuses_code_in_the_name_of_a_parameter(tmp_path: Path, sound: Members, trace: Path) -> None:
    name = f'a", {evaluated(trace)}) + ("'

    def change(program: Any) -> None:
        program["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = name

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "where the name of a parameter or module belongs" in refusal(path, trace)


def test_refuses_code_in_the_names_of_arguments(tmp_path: Path, sound: Members, trace: Path) -> None:
    def change(program: Any) -> None:
        program["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [f"x={evaluated(trace)}"]

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "where the name of a value belongs" in refusal(path, trace)


def test_drops_guards_which_torch_would_run(tmp_path: Path, sound: Members, trace: Path) -> None:
    path = planted(tmp_path, sound, lambda members: edit_json(
        members, "model.json", lambda program: program.update(guards_code=[f"{evaluated(trace)} is not None"])
    ))  # fmt: skip
    program = Exported().load(LoadRequest(str(path))).exported
    assert program is not None
    program.module()(torch.randn(2, 3, 8, 8))
    assert not trace.exists()


def leaf() -> dict[str, Any]:
    return {"type": None, "context": None, "children_spec": []}


@pytest.mark.parametrize(
    "container",
    [
        {
            "type": "collections.defaultdict",
            "context": {"default_factory_module": "evil", "default_factory_name": "run", "dict_context": ["a"]},
        },
        {"type": "builtins.dict", "context": '[{"__enum__": true, "fqn": "evil:Kind", "name": "A"}]'},
        {"type": "builtins.dict", "context": '{"__enum__": true, "fqn": "evil:Kind", "name": "A"}'},
        {"type": "evil.Container", "context": "null"},
        {"type": ["builtins.tuple"], "context": "null"},
    ],
)
def test_refuses_a_container_for_which_torch_would_import_a_module(
    tmp_path: Path, sound: Members, trace: Path, container: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(trace)!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = json.dumps([1, {**container, "children_spec": [leaf()]}])

    def change(program: Any) -> None:
        program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = spec

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "inputs or outputs" in refusal(path, trace)


def test_refuses_code_in_the_names_of_keyword_arguments(tmp_path: Path, sound: Members, trace: Path) -> None:
    kwargs = {"type": "builtins.dict", "context": json.dumps([f"x': {evaluated(trace)}, '"]), "children_spec": [leaf()]}
    args = {"type": "builtins.tuple", "context": "null", "children_spec": []}
    spec = json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": [args, kwargs]}])

    def change(program: Any) -> None:
        program["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = spec

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert refusal(path, trace)


def test_drops_metadata_that_names_things_to_look_up(tmp_path: Path, sound: Members) -> None:
    evil = {
        "source_fn_stack": "x,torch.hub.load",
        "from_node": "[]",
        "stack_trace": 'File "a.py", line 3, in forward\n"""\nimport os',
    }
    path = planted(
        tmp_path,
        sound,
        lambda members: edit_json(members, "model.json", lambda program: nodes(program)[0].update(metadata=evil)),
    )
    program = Exported().load(LoadRequest(str(path))).exported
    assert program is not None
    node = next(node for node in program.graph.nodes if node.op == "call_function")
    assert "source_fn_stack" not in node.meta
    assert node.meta["stack_trace"].strip() == 'File "a.py", line 3, in forward'


def test_drops_fields_that_torch_does_not_know(tmp_path: Path, sound: Members) -> None:
    def change(program: Any) -> None:
        program["run_on_load"] = nodes(program)[0]["run_on_load"] = "import os"

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert Exported().load(LoadRequest(str(path))).exported is not None


@pytest.mark.parametrize("field", ["as_custom_obj", "as_operator"])
def test_refuses_arguments_that_are_objects_or_operators(
    tmp_path: Path, sound: Members, trace: Path, field: str
) -> None:
    value: Any = {"name": "x", "class_fqn": "evil"} if field == "as_custom_obj" else "os.system"

    def change(program: Any) -> None:
        nodes(program)[0]["inputs"][0]["arg"] = {field: value}

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "which may run code" in refusal(path, trace)


def test_refuses_members_of_one_name(tmp_path: Path, sound: Members, trace: Path) -> None:
    path = write(tmp_path / "net.pt2", sound)
    with zipfile.ZipFile(path, "a") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr(find(sound, "sample_inputs/model.pt"), pickled(trace))
    assert "two members named" in refusal(path, trace)


@pytest.mark.parametrize("name", ["net/../../trace", "/trace", "net\\trace"])
def test_refuses_a_member_that_would_leave_the_archive(tmp_path: Path, sound: Members, trace: Path, name: str) -> None:
    assert "has a member named" in refusal(
        planted(tmp_path, sound, lambda members: members.update({name: b"x"})), trace
    )


def test_refuses_a_compressed_member_that_unpacks_to_far_more(tmp_path: Path, sound: Members, trace: Path) -> None:
    members = {**sound, "net/extra/zeros": bytes(1 << 26)}
    assert "unpack to" in refusal(write(tmp_path / "net.pt2", members, zipfile.ZIP_DEFLATED), trace)


@pytest.mark.parametrize("exponent", ["9**9**9**9", "Pow(Integer(9), Integer(1000000000))"])
def test_refuses_a_size_that_would_never_be_computed(
    tmp_path: Path, sound: Members, trace: Path, exponent: str
) -> None:
    def change(program: Any) -> None:
        program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = {
            "as_expr": {"expr_str": exponent, "hint": None}
        }

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "where a shape expression belongs" in refusal(path, trace)


def test_refuses_a_tensor_beyond_its_bytes(tmp_path: Path, sound: Members, trace: Path) -> None:
    def change(table: Any) -> None:
        table["config"]["conv.weight"]["tensor_meta"]["sizes"][0] = {"as_int": 1 << 40}

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model_weights_config.json", change))
    assert "conv.weight does not fit its bytes" in refusal(path, trace)


def test_refuses_a_symbol_number_that_torch_would_count_up_to(tmp_path: Path, sound: Members, trace: Path) -> None:
    def change(program: Any) -> None:
        program["range_constraints"]["u99999999999"] = {"min_val": 0, "max_val": 1}

    path = planted(tmp_path, sound, lambda members: edit_json(members, "model.json", change))
    assert "where a shape expression belongs" in refusal(path, trace)


def test_trust_pickle_loads_what_was_refused_and_says_so(tmp_path: Path, sound: Members, trace: Path) -> None:
    def change(members: Members) -> None:
        buffer = io.BytesIO()
        torch.save(((torch.randn(2, 3, 8, 8),), {"note": Payload(trace)}), buffer)
        members[find(members, "sample_inputs/model.pt")] = buffer.getvalue()

    path = planted(tmp_path, sound, change)
    assert "more than tensors" in refusal(path, trace)
    loaded = Exported().load(LoadRequest(str(path), trust_pickle=True))
    assert trace.exists()
    assert "--trust-pickle" in loaded.notes[0]
    assert loaded.measured[0][0].shape == (2, 3, 8, 8)
