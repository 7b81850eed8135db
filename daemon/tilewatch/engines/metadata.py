"""What a model file says about itself: class names, task, stride, and what our own importer noted.

Known conventions: ultralytics (`names` as a Python dict literal, `task`, `stride`, `end2end`), a JSON list or object
under `names` or `classes`, and `tilewatch`, a JSON object with `head` (a value of HEAD) and `input` (see graft.INPUTS),
which the Darknet importer writes and which anybody may add to a model to settle what cannot be recognised.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "tilewatch"
"""Metadata key of our own."""
DETECTION = "detect"
STRIDE = 32
"""Stride of nearly every detector, pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The facts of a model's metadata that matter here."""

    names: tuple[str, ...] = ()
    """Class names by index; a gap is named class_7."""
    stride: int = STRIDE
    """The input's side must be a multiple of it, pixels."""
    end2end: bool = False
    """The exporter says that the output needs no NMS."""
    head: str | None = None
    """HEAD as our importer noted it."""
    input: str | None = None
    """Input convention as our importer noted it."""


def read(properties: Mapping[str, str]) -> Metadata:
    """Return the facts of an ONNX file's metadata properties.

    Raises:
        ConfigError: the model is not a detector, or a known key is malformed.
    """
    task = properties.get("task", DETECTION)
    if task != DETECTION:
        raise ConfigError(f"the model is made for the task '{task}', not for detection: give a detector")
    own = _literal(properties, KEY) if KEY in properties else {}
    if not isinstance(own, dict):
        raise ConfigError(f"the model's metadata '{KEY}' is not a JSON object: {properties[KEY][:80]}")
    return Metadata(
        names=_names(properties),
        stride=_stride(properties),
        end2end=properties.get("end2end") == "True",
        head=own.get("head"),
        input=own.get("input"),
    )


def _names(properties: Mapping[str, str]) -> tuple[str, ...]:
    """Return the class names, whatever way they are written; none when the model has none."""
    key = next((key for key in ("names", "classes") if properties.get(key)), None)
    if key is None:
        return ()
    found = _literal(properties, key)
    if isinstance(found, list):
        found = dict(enumerate(found))
    if not isinstance(found, dict) or not all(str(index).isdecimal() for index in found):
        raise ConfigError(f"the model's metadata '{key}' is no list of class names: {properties[key][:80]}")
    by_index = {int(index): str(name) for index, name in found.items()}
    return tuple(by_index.get(index, f"class_{index}") for index in range(max(by_index, default=-1) + 1))


def _stride(properties: Mapping[str, str]) -> int:
    """Return the model's stride, the largest one where a list is given."""
    found = _literal(properties, "stride") if "stride" in properties else STRIDE
    values = found if isinstance(found, list) else [found]
    if not values or not all(isinstance(value, int) and value > 0 for value in values):
        raise ConfigError(f"the model's metadata 'stride' is no size in pixels: {properties['stride'][:80]}")
    return int(max(values))


def _literal(properties: Mapping[str, str], key: str) -> object:
    """Return a JSON value or a Python literal; a comma- or line-separated list of words becomes a list."""
    text = properties[key]
    for parse in (json.loads, ast.literal_eval):
        try:
            value: object = parse(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return value
    return [word.strip() for word in text.replace("\n", ",").split(",") if word.strip()]
