"""The built-in passes keep to what the kit asks of all passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fxopt.registry import Registry
from fxopt.testing import Specimen, pass_checks
from tests.passes.quantize import prepared
from tests.passes.quantize.calibrated import Calibrated, residual_network, vector_times_matrix
from tests.testing import sites

# For each pass: programs with sites beside those of the zoo, near misses, and a part of the reason.
SUBJECTS: dict[str, tuple[list[Specimen], dict[Specimen, str]]] = {
    "remove_identities": ([sites.identities], {sites.identity_that_is_an_output: "the output would be"}),
    "fold_sizes": ([sites.sizes_of_static_axes], {}),
    "fold_constants": ([sites.constants], {sites.constant_that_grows: "bytes larger"}),
    "common_subexpressions": ([sites.repeated_calls], {sites.repeated_output: "are both outputs"}),
    "cancel_inverses": ([sites.inverses, sites.inverses_of_one_value], {sites.cast_that_rounds: "loses digits"}),
    "fold_batch_norm": ([sites.norms_around_convolutions], {sites.norm_of_a_shared_convolution: "has 2 users"}),
    "fold_affine": ([sites.scales_and_shifts], {sites.scale_of_a_shared_layer: "has 2 users"}),
    "fold_padding": ([sites.padded_calls], {sites.padding_on_one_side: "asymmetric"}),
    "compose_linear": (
        [sites.bottlenecks, sites.wide_then_narrow_layers],
        {sites.narrow_then_wide_layers: "multiplications"},
    ),
    "merge_parallel": ([sites.parallel_layers], {sites.parallel_convolutions_of_other_strides: "strides differ"}),
    "merge_branches": ([sites.branches_that_add_up], {sites.branches_of_other_groups: "its groups 2 is not that of"}),
    "recognise_activation": ([sites.gelu_written_out], {sites.gelu_with_a_shared_part: "is used elsewhere"}),
    "recognise_attention": ([sites.attention_written_out], {sites.attention_with_finite_mask: "not -inf"}),
    "recognise_normalization": ([sites.norms_written_out], {sites.norm_with_eps_outside: "standard deviation"}),
    "remove_constant_channels": (
        [sites.constant_channels],
        {sites.constant_channels_of_an_output: "channels are constant, but"},
    ),
    **{
        name: ([sites.layers_of_many_kinds], {sites.weight_that_is_an_activation_too: "is used by sum"})
        for name in ("int8_weight", "bf16", "fp16", "fixed16", "kmeans", "hash")
    },
    "int8_dynamic": ([sites.layers_of_many_kinds], {sites.one_convolution: "only linear layers"}),
    "int4_weight": ([sites.layers_of_many_kinds], {sites.rows_of_odd_length: "no group fits its row of 65"}),
    "equalize": ([prepared.separable_convolutions], {prepared.clipped_convolutions: "not positively homogeneous"}),
    "binary": ([sites.layers_of_many_kinds], {sites.one_convolution: "the first or the last"}),
}


# Passes that have to be shown an engine's scheme and data; so they have no snapshots.
SHOWN: dict[str, list[Any]] = {
    "int8": pass_checks(
        Calibrated(),
        programs={residual_network.name: residual_network},
        near_misses={vector_times_matrix.name: (vector_times_matrix, "it multiplies a vector")},
    ),
    "smooth": prepared.smooth_cases(),
    "reestimate_batch_norm": prepared.batch_norm_cases(),
}


def checks() -> list[Any]:
    registry = Registry.load()
    return [
        parameter
        for name, (programs, near) in SUBJECTS.items()
        for parameter in pass_checks(
            registry.make_pass(name),
            programs={item.name: item for item in programs},
            near_misses={item.name: (item, reason) for item, reason in near.items()},
        )
    ]


@pytest.mark.parametrize("check", [*checks(), *(case for cases in SHOWN.values() for case in cases)])
def test_a_built_in_pass(check: Callable[[], None]) -> None:
    check()


def test_every_built_in_pass_is_checked() -> None:
    registry = Registry.load()
    assert SUBJECTS.keys() | SHOWN.keys() == {
        name for (kind, name), owner in registry.owners.items() if (kind, owner) == ("passes", "fxopt")
    }
