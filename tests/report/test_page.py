"""report.html in a real browser, without network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fxopt.report import write
from tests.report.ledgers import ledger, rewrite

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

browser = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt-get install chromium)"),
]


def chromium(page: Path, *arguments: str) -> str:
    """What chromium prints; every name resolves to nowhere."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [CHROMIUM, *flags, profile, *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write(ledger(), folder)
    return folder / "report.html"


def test_the_page_refers_to_nothing_outside_it(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"""(?:src|href|srcset|action)\s*=\s*["']?(?!#)[^\s>"']+""", text)
    assert not re.findall(r"url\(|@import|<link|<script|<iframe", text)


def test_reasons_are_escaped(tmp_path: Path) -> None:
    write(ledger(rewrites=[rewrite("a", "b", "refused", "<img src=x>")]), tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert "<img" not in text
    assert "&lt;img src=x&gt;" in text


@pytest.fixture(scope="module")
def dom(page: Path) -> str:
    return chromium(page, "--dump-dom")


class TestInTheBrowser:
    """Slow to start, so that one look answers several questions."""

    pytestmark = browser

    @pytest.mark.parametrize(
        "part", ["latency", "waterfall", "layers", "rewrites", "applied", "refused", "declined", "checks", "machine"]
    )
    def test_every_part_is_there(self, dom: str, part: str) -> None:
        assert f'id="{part}"' in dom

    def test_the_latency_table_has_intervals(self, dom: str) -> None:
        assert "12.5 ms (12.2 to 12.8)" in dom
        assert "1.14x" in dom

    def test_the_charts_have_a_bar_for_each_figure_and_whiskers(self, dom: str) -> None:
        latency, waterfall, layers = re.findall(r"<svg.*?</svg>", dom, re.DOTALL)
        assert latency.count('class="ci"') == 4  # five variants, of which one could not run
        for label in ("baseline", "merge-branches", "fold-affine", "interplay and noise", "result"):
            assert label in waterfall
        assert "eltwise" in layers

    def test_the_command_and_the_versions_are_there(self, dom: str) -> None:
        assert "fxopt optimize repvgg_a0.pt2 --threads 2 -o out" in dom
        assert "openvino 2026.4.1" in dom

    def test_it_is_painted_light_and_dark(self, page: Path, tmp_path: Path) -> None:
        image_module = pytest.importorskip("PIL.Image", reason="needs Pillow to look at the picture")

        means = []
        for index, flags in enumerate(([], ["--blink-settings=preferredColorScheme=0", "--force-dark-mode"])):
            picture = tmp_path / f"{index}.png"
            chromium(page, "--window-size=1000,800", f"--screenshot={picture}", *flags)
            image = image_module.open(picture).convert("L").resize((1, 1), image_module.Resampling.BOX)
            means.append(image.getpixel((0, 0)))
        assert means[0] > 200
        assert means[1] < 80
