"""The card gives back to another process what the recording one knew."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.support.recordings import ENGINE
from tests.support.records import make_info
from tilewatch.errors import SinkError
from tilewatch.service.card import FILE, Card
from tilewatch.settings import load
from tilewatch.sinks.manifest import settings_values

CARD = Card(
    name="2023-11-14T22-13-20Z",
    info=replace(make_info(path=Path("gate")), live=True, start_pts=17_000_000_000),
    engine=ENGINE,
    settings=settings_values(load(overrides={"SEGMENT_SECONDS": 7})),
    formats=("video", "jsonl"),
    tracking=True,
    ended="no space left",
)


def test_every_field_comes_back(tmp_path: Path) -> None:
    """Fractions, paths and tuples are what they were; a later card replaces an earlier one."""
    replace(CARD, ended="").save(tmp_path)
    CARD.save(tmp_path)
    found = Card.load(tmp_path)
    assert asdict(found) == asdict(CARD)
    assert found.segment_seconds == 7
    assert found.context.names == ENGINE.names
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("change", [{"schema": 2}, {"info": {}}, {"engine": None}, {"surprise": 1}, {"formats": 3}])
def test_card_that_is_damaged_or_of_another_version_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """In one way, whatever is wrong with it."""
    CARD.save(tmp_path)
    document = json.loads((tmp_path / FILE).read_bytes())
    (tmp_path / FILE).write_text(json.dumps({**document, **change}))
    with pytest.raises(ValueError, match="it is"):
        Card.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"3"])
def test_bytes_that_are_no_card_are_refused(tmp_path: Path, content: bytes) -> None:
    """As a volume that failed may leave them."""
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 of the JSON, the encoding, or the shape
        Card.load(tmp_path)


def test_volume_that_refuses_is_said_in_words(tmp_path: Path) -> None:
    """As every sink does."""
    with pytest.raises(SinkError, match=FILE):
        CARD.save(tmp_path / "gone")
