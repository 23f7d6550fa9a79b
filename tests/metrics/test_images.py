"""Metrics of pictures, against formulas of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fxopt.errors import InputError
from fxopt.verify.score import collect, value
from fxopt_plugins.metrics.images import MeanSquaredError, Psnr, Ssim


def pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_mse_is_the_mean_over_all_numbers() -> None:
    labels, outputs = pictures(0, 3, 2, 4, 4), pictures(1, 3, 2, 4, 4)
    assert value(MeanSquaredError(), collect(MeanSquaredError(), outputs, labels)) == pytest.approx(
        float(torch.nn.functional.mse_loss(outputs.double(), labels.double()))
    )


def test_psnr_is_that_of_each_picture_and_then_the_mean() -> None:
    labels = torch.zeros(2, 1, 2, 2)
    outputs = torch.stack([torch.full((1, 2, 2), 0.1), torch.full((1, 2, 2), 0.01)])
    assert collect(Psnr(), outputs, labels)[:, 0].tolist() == pytest.approx([20, 40], abs=1e-5)
    assert value(Psnr(), collect(Psnr(), outputs, labels)) == pytest.approx(30, abs=1e-5)


def test_psnr_in_another_range_is_the_same() -> None:
    labels, outputs = pictures(0, 2, 3, 4, 4), pictures(1, 2, 3, 4, 4)
    assert torch.allclose(
        collect(Psnr(), outputs, labels), collect(Psnr(range=255.0), outputs.double() * 255, labels.double() * 255)
    )


def test_a_picture_without_error_counts_as_100_db() -> None:
    assert collect(Psnr(), torch.ones(1, 4), torch.ones(1, 4)).item() == pytest.approx(100)


def reference_ssim(x: np.ndarray, y: np.ndarray, full: float) -> float:
    """Wang et al. 2004 with SciPy's Gaussian filter, whose window of 5 to each side is the paper's 11 x 11."""

    def blur(image: np.ndarray) -> np.ndarray:
        return gaussian_filter(image, 1.5, truncate=3.5)[5:-5, 5:-5]

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
    c1, c2 = (0.01 * full) ** 2, (0.03 * full) ** 2
    return float((((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


def test_ssim_is_that_of_the_paper() -> None:
    labels, outputs = pictures(0, 2, 3, 16, 13).double(), pictures(1, 2, 3, 16, 13).double()
    outputs = 0.7 * labels + 0.3 * outputs
    expected = [
        np.mean([reference_ssim(outputs[i, c].numpy(), labels[i, c].numpy(), 1.0) for c in range(3)]) for i in range(2)
    ]
    assert collect(Ssim(), outputs, labels)[:, 0].tolist() == pytest.approx(expected, rel=1e-12)
    assert collect(Ssim(range=255.0), outputs * 255, labels * 255)[:, 0].tolist() == pytest.approx(expected, rel=1e-9)


def test_ssim_of_equal_pictures_is_1_and_of_negatives_less() -> None:
    labels = pictures(0, 1, 12, 12)
    assert collect(Ssim(), labels, labels).item() == pytest.approx(1)
    assert collect(Ssim(), 1 - labels, labels).item() < 0


@pytest.mark.parametrize(
    ("metric", "outputs", "labels", "says"),
    [
        (
            MeanSquaredError(),
            torch.ones(2, 3),
            torch.ones(2, 4),
            "labels have the shape [2, 4], but the output has [2, 3]",
        ),
        (Psnr(), torch.ones(2, 3), torch.ones(2, 3, dtype=torch.bool), "labels are bool; expected numbers"),
        (
            Psnr(),
            torch.ones(2, 3),
            torch.tensor([[0.0, 9, 9]] * 2),
            "labels lie in 0..9, which is more than the option range=1",
        ),
        (
            Ssim(),
            torch.ones(2, 8, 8),
            torch.ones(2, 8, 8),
            "expected (samples, channels, height, width), 11 x 11 or more",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_one_line(
    metric: Psnr, outputs: torch.Tensor, labels: torch.Tensor, says: str
) -> None:
    with pytest.raises(InputError) as caught:
        collect(metric, outputs, labels)
    assert str(caught.value).startswith(metric.name)
    assert says in str(caught.value)
