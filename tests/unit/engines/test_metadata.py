"""What a model says about itself, in all the ways exporters write it."""

from __future__ import annotations

import pytest

from tilewatch.engines import metadata
from tilewatch.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("names", "{0: 'person', 1: 'car'}"),
        ("names", '{"0": "person", "1": "car"}'),
        ("names", '["person", "car"]'),
        ("classes", "['person', 'car']"),
        ("classes", "person, car"),
        ("names", "person\ncar\n"),
    ],
)
def test_names_are_read_from_every_notation(key: str, text: str) -> None:
    """Python literal, JSON, or plain words."""
    assert metadata.read({key: text}).names == ("person", "car")


def test_a_gap_in_the_names_is_filled() -> None:
    """Index 1 keeps its place when only 0 and 2 have a name."""
    assert metadata.read({"names": "{0: 'a', 2: 'c'}"}).names == ("a", "class_1", "c")


def test_no_metadata_gives_the_defaults() -> None:
    """A bare model has no names and the usual stride."""
    assert metadata.read({}) == metadata.Metadata()


def test_own_note_gives_head_and_input() -> None:
    """The importer's key settles what cannot be recognised."""
    facts = metadata.read({"tilewatch": '{"head": "yolov5", "input": "rgb01"}', "stride": "64", "end2end": "True"})
    assert (facts.head, facts.input, facts.stride, facts.end2end) == ("yolov5", "rgb01", 64, True)


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"task": "segment"}, "'segment', not for detection"),
        ({"tilewatch": "[1]"}, "not a JSON object"),
        ({"names": "{'a': 'b'}"}, "no list of class names"),
        ({"names": "42"}, "no list of class names"),
        ({"stride": "wide"}, "no size in pixels"),
        ({"stride": "0"}, "no size in pixels"),
    ],
)
def test_malformed_metadata_is_refused(properties: dict[str, str], message: str) -> None:
    """A known key that says nonsense is an error that quotes it, never ignored."""
    with pytest.raises(ConfigError, match=message):
        metadata.read(properties)
