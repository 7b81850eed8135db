"""CLASSES: names or numbers to a mask, and a word when one is not known."""

from __future__ import annotations

import pytest

from tilewatch.engines.names import wanted
from tilewatch.errors import ConfigError

NAMES = ("person", "bicycle", "car")


def test_names_and_numbers_select_classes() -> None:
    """A class is named by its name or its number; none named means all."""
    mask = wanted(["car", "0"], NAMES, 3)
    assert mask is not None
    assert mask.tolist() == [True, False, True]
    assert wanted([], NAMES, 3) is None


def test_number_beyond_the_names_is_taken_when_the_head_does_not_tell() -> None:
    """An end-to-end head has no class count: any number may occur."""
    mask = wanted(["7"], (), None)
    assert mask is not None
    assert mask.tolist() == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("word", "remedy"), [("persom", "did you mean person?"), ("3", "it knows person, bicycle, car")]
)
def test_unknown_class_is_refused_with_the_nearest_name(word: str, remedy: str) -> None:
    """A typo never silently filters everything out."""
    with pytest.raises(ConfigError) as caught:
        wanted([word], NAMES, 3)
    assert remedy in str(caught.value)
