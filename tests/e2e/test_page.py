"""The status page in a real browser, with JavaScript and without."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tests.support.ops import STATUS, Ops, make_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--enable-logging=stderr"),
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine: apt-get install chromium")


async def browse(folder: Path, url: str, *options: str) -> tuple[str, str]:
    """Let the browser load a page and return what it printed and what it complained about."""
    assert BROWSER is not None
    browser = await asyncio.create_subprocess_exec(
        BROWSER,
        *QUIET,
        f"--user-data-dir={folder / 'profile'}",
        *options,
        url,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, said = await browser.communicate()
    return out.decode(), "\n".join(line for line in said.decode().splitlines() if "CONSOLE" in line)


@needs_browser
def test_page_refreshes_itself_and_breaks_none_of_its_own_rules(run: Run, tmp_path: Path) -> None:
    """The script that is allowed swaps in the new state and picture; the console stays empty."""

    async def scenario() -> tuple[str, str]:
        ops = Ops(picture=make_picture())
        shown = 0

        async def status() -> Any:
            nonlocal shown
            shown += 1
            return STATUS if shown == 1 else replace(STATUS, state="draining")

        ops.provide = status
        async with ops.serving() as server:
            url = f"http://127.0.0.1:{server.port}/"
            return await browse(tmp_path, url, "--virtual-time-budget=20000", "--dump-dom")

    dom, complaints = run(scenario())
    assert '<span class="pill warn">draining</span>' in dom
    assert "<title>tilewatch: draining</title>" in dom
    assert "&lt;morning&gt; &amp; noon.mp4" in dom
    assert not complaints


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_drawn_in_both_colour_schemes(run: Run, tmp_path: Path, scheme: str) -> None:
    """A screenshot shows our colours on the right ground, and the picture of the last frame."""
    target = tmp_path / "page.png"

    async def scenario() -> str:
        async with Ops(picture=make_picture()).serving() as server:
            number = {"dark": 0, "light": 1}[scheme]
            options = (f"--blink-settings=preferredColorScheme={number}", "--window-size=1280,900")
            url = f"http://127.0.0.1:{server.port}/"
            return (await browse(tmp_path, url, *options, f"--screenshot={target}"))[1]

    assert not run(scenario())
    image = cv2.imread(str(target))
    assert image is not None
    ground = {"dark": (0x19, 0x13, 0x0F), "light": (0xF7, 0xF5, 0xF4)}[scheme]
    assert tuple(image[5, 5]) == ground
    boxes = np.abs(image.astype(int) - (80, 200, 255)).max(axis=2) < 40
    assert 200 < boxes.sum() < 20_000
