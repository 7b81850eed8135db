"""Real models on real pictures: our engine and heads against each model's own recipe in plain numpy.

The recipes share nothing with the code under test: the original float model in ONNX Runtime (or OpenCV's Darknet
reader), a float picture prepared by hand, decoding and suppression written out here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import onnxruntime
import pytest

from tests.support.data import data_path
from tilewatch.engines import darknet, zoo
from tilewatch.engines.openvino import OpenVinoEngine
from tilewatch.engines.options import EngineOptions

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import F32, I32, U8

SIDE = 640
THRESHOLD = 0.25
SLACK = 0.01
PICTURES = (
    ("clips/vtest.avi", 100, (128, 0)),
    ("clips/vtest.avi", 600, (0, 0)),
    ("clips/car-detection.mp4", 150, (0, 0)),
    ("clips/bikes.mp4", 80, (0, 0)),
    ("clips/small-vehicles1.jpeg", 0, (300, 0)),
)
"""File, frame, and where the tile's corner lies."""


class Boxes(NamedTuple):
    """What a recipe found."""

    xyxy: F32
    score: F32
    label: I32


def tile(name: str, number: int, corner: tuple[int, int]) -> U8:
    """Return a (640, 640, 3) BGR tile, padded at the right and the bottom."""
    clip = cv2.VideoCapture(str(data_path(name)))
    clip.set(cv2.CAP_PROP_POS_FRAMES, number)
    taken, picture = clip.read()
    assert taken
    part = picture[corner[1] : corner[1] + SIDE, corner[0] : corner[0] + SIDE]
    padded = np.full((SIDE, SIDE, 3), 114, np.uint8)
    padded[: part.shape[0], : part.shape[1]] = part
    return padded


def run(model: Path, blob: F32) -> F32:
    """Return the original model's only output for one float picture."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: blob})[0][0])


def rgb01(picture: U8) -> F32:
    """Return (1, 3, S, S) RGB 0-1."""
    return np.ascontiguousarray(picture[..., ::-1].astype(np.float32).transpose(2, 0, 1)[None] / 255)


def centred(boxes: F32, scores: F32) -> Boxes:
    """Return cx, cy, w, h boxes with (N, C) scores as corners with their best class."""
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:4] / 2, boxes[:, :2] + boxes[:, 2:4] / 2], axis=1)
    return Boxes(corners, scores.max(axis=1), scores.argmax(axis=1).astype(np.int32))


def yolox_recipe(model: Path, picture: U8) -> Boxes:
    """BGR 0-255; offsets from the cell, logarithms, times the stride; objectness x class."""
    rows = run(model, picture.astype(np.float32).transpose(2, 0, 1)[None])
    at = 0
    for stride in (8, 16, 32):
        for y in range(SIDE // stride):
            for x in range(SIDE // stride):
                rows[at, :2] = (rows[at, :2] + (x, y)) * stride
                rows[at, 2:4] = np.exp(rows[at, 2:4]) * stride
                at += 1
    return centred(rows, rows[:, 4:5] * rows[:, 5:])


def yolov8_recipe(model: Path, picture: U8) -> Boxes:
    """RGB 0-1; boxes in pixels, then class scores."""
    columns = run(model, rgb01(picture))
    return centred(columns[:4].T, columns[4:].T)


def yolo26_recipe(model: Path, picture: U8) -> Boxes:
    """RGB 0-1; corners, score, class, no suppression needed."""
    rows = run(model, rgb01(picture))
    return Boxes(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int32))


def suppressed(found: Boxes, threshold: float = THRESHOLD) -> Boxes:
    """Return what a greedy suppression per class at IoU 0.7 leaves."""
    order = [index for index in np.argsort(-found.score, kind="stable") if found.score[index] >= threshold]
    kept: list[int] = []
    for index in order:
        rivals = [other for other in kept if found.label[other] == found.label[index]]
        if all(overlap(found.xyxy[index], found.xyxy[other]) <= 0.7 for other in rivals):
            kept.append(index)
    return Boxes(found.xyxy[kept], found.score[kept], found.label[kept])


def overlap(one: F32, other: F32) -> float:
    """Return the IoU of two boxes."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    return shared / (float(np.prod(one[2:] - one[:2])) + float(np.prod(other[2:] - other[:2])) - shared)


def assert_all_in(these: Boxes, those: Boxes) -> int:
    """Every box clear of the threshold has its twin on the other side; return how many there were."""
    clear = np.flatnonzero(these.score >= THRESHOLD + SLACK)
    for index in clear:
        twins = [
            other
            for other in np.flatnonzero(those.label == these.label[index])
            if overlap(these.xyxy[index], those.xyxy[other]) >= 0.99
            and abs(these.score[index] - those.score[other]) <= SLACK
        ]
        assert twins, f"no twin of class {these.label[index]} at {these.xyxy[index]} score {these.score[index]:.3f}"
    return len(clear)


def ours(model: Path) -> list[Boxes]:
    """Return what engine and head find in every picture."""
    engine = OpenVinoEngine(EngineOptions(model=model, precision="f32", threads=2))
    engine.open()
    engine.warm_up()
    found = []
    for picture in PICTURES:
        slot = engine.pool.take(1)
        slot.pixels[0] = tile(*picture)[..., ::-1]
        engine.submit([(slot, 0)])
        candidates = engine.head.decode(engine.collect(), THRESHOLD)
        found.append(suppressed(Boxes(candidates.xyxy, candidates.score, candidates.label)))
        engine.release(slot)
    engine.close()
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled models go to the test's own folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def check(found: list[Boxes], expected: list[Boxes]) -> int:
    """Compare both ways, picture by picture, and return how many boxes were held against each other."""
    total = 0
    for mine, theirs in zip(found, map(suppressed, expected), strict=True):
        total += assert_all_in(theirs, mine)
        assert_all_in(mine, theirs)
    return total


@pytest.mark.parametrize(
    ("name", "recipe"), [("yolox_nano", yolox_recipe), ("yolov8n", yolov8_recipe), ("yolo26n", yolo26_recipe)]
)
def test_model_finds_what_its_own_recipe_finds(name: str, recipe: object) -> None:
    """The same boxes (IoU 0.99), classes and scores (0.01) on crowds, cars, bicycles."""
    assert callable(recipe)
    model = data_path(f"models/{name}.onnx")
    expected = [recipe(model, tile(*picture)) for picture in PICTURES]
    assert check(ours(model), expected) >= 20


def test_yolov4_tiny_finds_what_darknet_finds(tmp_path: Path) -> None:
    """The imported model against OpenCV's reader of the original files."""
    with zoo.fetched(zoo.YOLOV4_TINY) as (cfg, weights, labels):
        net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
        model = darknet.convert(cfg, weights, labels, tmp_path / "tiny.onnx", SIDE)
    expected = []
    for picture in PICTURES:
        net.setInput(rgb01(tile(*picture)))
        rows = np.concatenate(net.forward(net.getUnconnectedOutLayersNames())).astype(np.float32)
        expected.append(centred(rows[:, :4] * SIDE, rows[:, 5:]))
    assert check(ours(model), expected) >= 20
