"""The `--input` grammar."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxopt.errors import InputError
from fxopt.ir.input_spec import DTYPES, DimSpec, InputSpec, parse_inputs, print_inputs


def test_reads_an_input_with_a_dynamic_batch() -> None:
    inputs, dims = parse_inputs(["x=Nx3x224x224:float32,N=1..64@8"])
    assert inputs == (InputSpec("x", ("N", 3, 224, 224), "float32"),)
    assert dims == (DimSpec("N", 1, 64, 8),)


def test_float32_is_the_default_and_the_smallest_size_is_measured() -> None:
    inputs, dims = parse_inputs(["x=Nx4,N=2..8"])
    assert inputs[0].dtype == "float32"
    assert dims[0].measured == 2


def test_a_dimension_is_shared_by_the_inputs_of_several_flags() -> None:
    inputs, dims = parse_inputs(["ids=NxT:int64,N=1..4", "mask=NxT:bool,T=1..128@64"])
    assert [spec.shape for spec in inputs] == [("N", "T"), ("N", "T")]
    assert dims == (DimSpec("N", 1, 4, 1), DimSpec("T", 1, 128, 64))


def test_a_scalar_has_an_empty_shape() -> None:
    assert parse_inputs(["step=:int64"])[0] == (InputSpec("step", (), "int64"),)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["1x3"], "neither name=shape:dtype nor a range"),
        ([""], "neither name=shape:dtype nor a range"),
        (["x="], "has no shape"),
        (["x=1x3:flaot32"], "did you mean 'float32'"),
        (["x=1x3:"], "unknown dtype ''"),
        (["x=0x3"], "size 0 is not in"),
        (["x=1xx3"], "neither a size nor the name of a dimension"),
        (["x=-1x3"], "'-1' is neither a size"),
        (["x=1x3.5"], "'3.5' is neither a size"),
        (["1x=1x3"], "not the name of an argument"),
        (["x=1x3,x=1x3"], "x is given twice"),
        (["x=1x3", "x=1x4"], "x is given twice"),
        (["x=Nx3"], "dimension N has no range; add N=1..64@1"),
        (["x=Nx3,M=1..4,N=1..4"], "no input has a dimension M"),
        (["x=Nx3,N=1..4,N=1..8"], "two ranges"),
        (["x=Nx3,N=4..1"], "is empty"),
        (["x=Nx3,N=0..4"], "is empty or outside"),
        (["x=Nx3,N=1..4@8"], "outside its range"),
        (["x=Nx3,N=1..@8"], "not a range like"),
        (["x=Nx3,N=..4"], "not a range like"),
        (["x=Nx3,max=1..4"], "not the name of a dimension"),
        (["x=" + "9" * 40], "is not in 1.."),
    ],
)
def test_says_in_one_line_what_is_malformed(texts: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_inputs(texts)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--input")
    assert "\n" not in str(caught.value)


dim_names = st.from_regex(r"[A-Za-wyz_][A-Za-wyz_0-9]{0,5}", fullmatch=True)
input_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)


@st.composite
def specs(draw: st.DrawFn) -> tuple[tuple[InputSpec, ...], tuple[DimSpec, ...]]:
    dims = []
    for name in draw(st.lists(dim_names, unique=True, max_size=3)):
        low, measured, high = sorted(draw(st.tuples(*[st.integers(1, 2**20)] * 3)))
        dims.append(DimSpec(name, low, high, measured))
    size = st.one_of(st.integers(1, 4096), *([st.sampled_from([dim.name for dim in dims])] if dims else []))
    inputs = [
        InputSpec(name, tuple(draw(st.lists(size, max_size=5))), draw(st.sampled_from(DTYPES)))
        for name in draw(st.lists(input_names, unique=True, min_size=1, max_size=3))
    ]
    used = {size for spec in inputs for size in spec.shape}
    return tuple(inputs), tuple(dim for dim in dims if dim.name in used)


@given(specs())
def test_what_is_printed_reads_back(parsed: tuple[tuple[InputSpec, ...], tuple[DimSpec, ...]]) -> None:
    assert parse_inputs([print_inputs(*parsed)]) == parsed


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_inputs([text])
    except InputError as error:
        lines = str(error).splitlines()
    else:
        return
    assert len(lines) == 1


def test_the_parser_does_not_import_torch() -> None:
    code = "import sys, fxopt.ir.input_spec, fxopt.contracts.frontend; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
