"""The engine `ncnn` keeps to what the kit asks of all engines; here are programs that it does run."""

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fxopt import Artifact
from fxopt.errors import EngineError
from fxopt.testing import captured, engine_checks
from fxopt_example.engine import BIN, PARAM, Ncnn

NCNN = Ncnn(threads=1)
MISSING = [name for name in ("ncnn", "pnnx") if importlib.util.find_spec(name) is None]
needs_ncnn = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
IMAGE = torch.randn(1, 3, 7, 9)  # 63 pixels: no multiple of what ncnn aligns channels to


def norm(channels):
    layer = nn.BatchNorm2d(channels).eval()
    for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
        tensor.data.uniform_(0.5, 1.5)
    return layer


def residual_network():
    def forward(self, x):
        x = F.max_pool2d(self.norm(self.stem(x)).relu(), 3, 2, 1)
        x = (self.body(x) + x).relu()
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))

    layers = {"stem": nn.Conv2d(3, 8, 3), "body": nn.Conv2d(8, 8, 3, padding=1), "head": nn.Linear(8, 5)}
    return captured(forward, IMAGE, norm=norm(8), **layers)


def mobile_network():
    def forward(self, x):
        y = F.hardtanh(self.depth(self.wide(x)), 0, 6)
        return self.head((F.silu(y) * F.hardswish(y)).mean((2, 3))), F.hardsigmoid(y)

    layers = {"wide": nn.Conv2d(3, 8, 1), "depth": nn.Conv2d(8, 8, 3, 2, 1, groups=8), "head": nn.Linear(8, 5)}
    return captured(forward, IMAGE, **layers)


def inception():
    def forward(self, x):
        x = x.relu()  # in place, it would write into the caller's image
        return torch.cat([self.a(x).sigmoid(), self.b(F.avg_pool2d(x, 3, 1, 1)), x], 1)

    return captured(forward, IMAGE, a=nn.Conv2d(3, 2, 1), b=nn.Conv2d(3, 4, 3, padding=1))


def flattened_image():
    def forward(self, x):
        return self.head(self.conv(x).reshape(1, -1))

    return captured(forward, IMAGE, conv=nn.Conv2d(3, 2, 3), head=nn.Linear(2 * 5 * 7, 4))


PROGRAMS = [residual_network, mobile_network, inception, flattened_image]


@pytest.mark.parametrize("check", engine_checks(NCNN, programs={make.__name__: make for make in PROGRAMS}))
def test_ncnn(check):
    check()


@needs_ncnn
@pytest.mark.parametrize("make", PROGRAMS)
def test_runs_networks_of_images(make):
    assert not list(NCNN.unsupported(make()))


@pytest.mark.parametrize(
    ("forward", "shape", "reason"),
    [
        (lambda self, x: self.conv(x), (2, 3, 7, 7), "one image"),
        (lambda self, x: self.conv(x).erf(), (1, 3, 7, 7), "none of the operators"),
        (lambda self, x: self.conv(x) * self.scale, (1, 3, 7, 7), "has constants"),
        (lambda self, x: x.relu(), (1, 3, 7, 7), "convolutions"),
        (lambda self, x: (self.conv(x), x), (1, 3, 7, 7), "no call computes it"),
    ],
)
def test_says_what_it_cannot_run(forward, shape, reason):
    program = captured(forward, torch.randn(shape), conv=nn.Conv2d(3, 3, 1), scale=torch.randn(3, 1, 1))
    assert reason in " ".join(item.reason for item in NCNN.unsupported(program))


@pytest.fixture
def artifact(tmp_path):
    (tmp_path / "built").mkdir()
    torch.manual_seed(0)
    return NCNN.emit(residual_network(), tmp_path / "built")


@needs_ncnn
def test_the_artifact_is_two_files_that_load_elsewhere_without_pnnx(artifact, tmp_path):
    assert sorted(file.name for file in artifact.path.iterdir()) == sorted([Artifact.MANIFEST, PARAM, BIN])
    moved = tmp_path / "moved"
    shutil.move(artifact.path, moved)
    np.save(tmp_path / "x.npy", IMAGE.numpy())
    load = (
        "import sys; sys.modules['pnnx'] = None\n"
        "import numpy, fxopt\n"
        f"numpy.save({str(tmp_path / 'y.npy')!r}, fxopt.load({str(moved)!r})(numpy.load({str(tmp_path / 'x.npy')!r})))"
    )
    subprocess.run([sys.executable, "-c", load], check=True)
    torch.manual_seed(0)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), residual_network()(IMAGE).numpy(), rtol=1e-4, atol=1e-5)


@needs_ncnn
def test_what_pnnx_fuses_is_read_back(artifact):
    kinds = [kernel.kind for kernel in NCNN.fused_kernels(artifact).kernels]
    assert "BatchNorm" not in kinds
    assert kinds.count("Convolution") == 2


@needs_ncnn
def test_weights_make_no_other_kernels_and_widths_do(tmp_path):
    def signature(channels, seed):
        torch.manual_seed(seed)
        net = captured(lambda self, x: self.conv(x).relu(), IMAGE, conv=nn.Conv2d(3, channels, 3))
        folder = tmp_path / f"{channels}-{seed}"
        folder.mkdir()
        return NCNN.fused_kernels(NCNN.emit(net, folder)).signature

    assert signature(4, 0) == signature(4, 1) != signature(8, 0)


@needs_ncnn
def test_a_recipe_halves_the_weights_and_moves_outputs_a_little(artifact, tmp_path):
    torch.manual_seed(0)
    program = residual_network()
    small = NCNN.quantize("half_weights", program, [], tmp_path)
    exact, near = (NCNN.load(item, item.stages[0])([IMAGE.numpy()])[0] for item in (artifact, small))
    assert (small.path / BIN).stat().st_size < 0.6 * (artifact.path / BIN).stat().st_size
    assert 0 < np.abs(near - exact).max() < 0.01 * np.abs(exact).max()


def test_there_is_no_other_recipe(tmp_path):
    with pytest.raises(EngineError, match="int8"):
        NCNN.quantize("int8", residual_network(), [], tmp_path)
