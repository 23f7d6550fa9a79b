"""`kmeans` and `hash`: many weights share few values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fxopt import Fidelity
from fxopt_passes.quantize.sharing import Hash, KMeans, codebook, hashes, nearest_codes
from tests.passes.apply import captured
from tests.passes.quantize.kinds import ENGINES, assert_agrees, offers, quantized, reasons, run


def lloyd(values: Tensor, clusters: int) -> Tensor:
    """k-means as it is written in books."""
    values = values.double()
    centres = torch.linspace(float(values.min()), float(values.max()), clusters, dtype=torch.float64)
    for _ in range(100):
        nearest = (values[:, None] - centres).abs().argmin(1)
        centres = torch.stack(
            [values[nearest == k].mean() if (nearest == k).any() else centres[k] for k in range(clusters)]
        )
    return centres.float()


@pytest.mark.parametrize("clusters", [2, 5, 16])
def test_the_codebook_is_that_of_k_means(clusters: int) -> None:
    torch.manual_seed(0)
    values = torch.cat([torch.randn(300), torch.randn(20) + 5])
    found = codebook(values.reshape(20, 16), clusters)
    torch.testing.assert_close(found, lloyd(values, clusters), atol=1e-5, rtol=0)
    codes = nearest_codes(values, found)
    assert torch.equal(codes, (values[:, None] - found).abs().argmin(1))


def test_weights_become_the_nearest_of_their_tensors_values() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 32, bias=False)
    after = quantized(KMeans(clusters=8), captured(layer, torch.randn(2, 64)))
    weight = after.run([torch.eye(64)])[0].T
    values = codebook(layer.weight.detach(), 8)
    assert sorted(weight.unique().tolist()) == values.tolist()
    assert torch.equal(weight, values[nearest_codes(layer.weight.detach(), values)].reshape(32, 64))


def large() -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 512, 3), nn.ReLU(), nn.Conv2d(512, 128, 3), nn.Flatten(), nn.Linear(2048, 300))
    x = torch.randn(2, 4, 8, 8)
    return captured(net, x, dynamic=True), x


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("rule", "smaller"), [(KMeans(), 3.9), (Hash(), 7.5)], ids=["kmeans", "hash"])
def test_engines_look_weights_up_once_and_the_file_is_smaller(
    rule: Any, smaller: float, engine: str, tmp_path: Path
) -> None:
    program, x = large()
    found = [item for item in offers(rule, program) if item.site != ("conv2d",)]  # what is small, exporters fold
    with program.edit() as edit:
        for item in found:
            with edit.step(item):
                rule.apply(edit, item)
    after = edit.program
    _, whole, _ = run(engine, program, [x], tmp_path / "float")
    graph, size, output = run(engine, after, [x], tmp_path / "shared")
    assert_agrees(output, after, [x])
    weights = 4 * (512 * 128 * 9 + 2048 * 300)
    assert weights / (weights - whole + size) > smaller * 0.95
    kinds = {kernel.kind.split()[0] for kernel in graph.kernels}
    assert not kinds & {"Gather", "Cast", "Convert", "Range", "Mod", "Mul"}


def test_slots_and_signs_are_spread_evenly() -> None:
    slots, signs = hashes(80_000, 10_000)
    counts = torch.bincount(slots, minlength=10_000).float()
    assert int(slots.min()) >= 0 and int(slots.max()) < 10_000
    assert float(counts.std()) < 1.5 * 8**0.5  # Poisson's is 8^0.5
    assert abs(float(signs.float().mean())) < 0.02
    assert abs(float((signs * (2 * (slots % 2) - 1)).float().mean())) < 0.02


def test_the_table_fits_the_weights_best() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(48, 40, bias=False)
    program = captured(layer, torch.randn(2, 48))
    after = quantized(Hash(ratio=4), program)
    weight = after.run([torch.eye(48)])[0].T.flatten()
    slots, signs = hashes(48 * 40, 480)
    shares = torch.zeros(48 * 40, 480).scatter_(1, slots[:, None], signs[:, None].float())
    best = torch.linalg.lstsq(shares, layer.weight.detach().flatten()[:, None], driver="gelsd").solution
    torch.testing.assert_close(weight, (shares @ best)[:, 0], atol=1e-4, rtol=0)


def test_chance_needs_recovery_and_means_do_not() -> None:
    program, _ = large()
    assert {item.fidelity for item in offers(Hash(), program)} == {Fidelity.NEEDS_RECOVERY}
    assert {item.fidelity for item in offers(KMeans(), program)} == {Fidelity.APPROXIMATE}


@pytest.mark.parametrize(("rule", "option"), [(KMeans, {"clusters": 300}), (Hash, {"ratio": 1})])
def test_wrong_options_are_said(rule: Any, option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        rule(**option)


def test_what_would_not_be_smaller_is_declined() -> None:
    program = captured(nn.Linear(8, 2), torch.randn(2, 8))
    assert reasons(KMeans(), program) == ["it would take no less room"]
