"""The status page: everything a person needs, nothing a file name can break."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.support.ops import STATUS
from tilewatch.telemetry import page

HOSTILE = "\"><script>alert('x')</script><b onmouseover=x>&amp;.mp4"


class Elements(HTMLParser):
    """Notes every element and attribute, and whether what was opened is closed."""

    EMPTY = ("meta", "link", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.found.append((tag, tuple(name for name, _ in attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag


def elements(html: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the elements of a page that is well formed."""
    parser = Elements()
    parser.feed(html)
    assert not parser.open
    return parser.found


def test_names_are_text_wherever_they_appear() -> None:
    """A file, camera, model or message with markup in its name adds no element and no attribute."""
    hostile = replace(
        STATUS,
        reasons=(HOSTILE,),
        settings_refused=(HOSTILE,),
        engine=replace(STATUS.engine, model=HOSTILE, device=HOSTILE),  # type: ignore[type-var]
        running=tuple(replace(job, name=HOSTILE) for job in STATUS.running),
        streams=tuple(replace(stream, name=HOSTILE) for stream in STATUS.streams),
        failures=tuple(replace(failure, name=HOSTILE, text=HOSTILE) for failure in STATUS.failures),
    )
    plain = replace(hostile, reasons=("r",), settings_refused=("s",), engine=STATUS.engine, running=STATUS.running)
    assert elements(page.render(hostile, picture=1)) == elements(page.render(plain, picture=1))
    assert HOSTILE not in page.render(hostile, picture=1)


def test_page_shows_progress_rate_and_remaining_time() -> None:
    """A job's bar, its frames, its speed and when it will be done; how full each channel is."""
    html = page.render(STATUS, picture=7)
    assert "4,210 of 10,800 frames, 31.7 frames/s, 3 min 28 s left" in html
    assert 'value="4210" max="10800"' in html
    assert "312 frames, 8.2 frames/s<" in html
    assert 'aria-label="waiting behind tile" value="2" max="2"' in html
    assert '<img src="/frame.jpg?n=7"' in html
    assert "412.3 GB" in html


def test_what_is_wrong_comes_first_and_colours_the_page() -> None:
    """A stall outranks the state, in the title as well; refused settings are told."""
    html = page.render(
        replace(STATUS, live=False, reasons=("file-0: encode has not moved",), settings_refused=("TILE_SIZE=-1",)),
        picture=None,
    )
    assert "<title>tilewatch: stalled</title>" in html
    assert '<span class="pill bad">stalled</span>' in html
    assert html.index("file-0: encode has not moved") < html.index("At a glance")
    assert "settings refused, the old ones are in force: TILE_SIZE=-1" in html
    assert "<img" not in html


def test_policy_allows_exactly_the_style_and_script_that_are_there() -> None:
    """The browser runs our one script and nothing that got in."""
    html = page.render(STATUS, picture=None)
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page.POLICY
    assert "unsafe" not in page.POLICY
    assert not any("style" in names or any(name.startswith("on") for name in names) for _, names in elements(html))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (3600, "1 h 00 min"), (86400 * 12 + 15000, "12 d 4 h")],
)
def test_time_spans_read_like_speech(seconds: float, text: str) -> None:
    """Two units at most, none of them 60."""
    assert page.duration(seconds) == text
