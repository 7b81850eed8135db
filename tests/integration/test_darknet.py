"""The Darknet importer against OpenCV's reader of the same files."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnxruntime
import pytest

from tests.support.data import data_path
from tilewatch.engines import darknet, zoo

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import F32

EVERY_LAYER = """
[net]
width=64
height=64
channels=3
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=mish
[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=leaky
[shortcut]
from=-2
activation=linear
[route]
layers=-1
groups=2
group_id=1
[convolutional]
filters=8
size=3
stride=1
pad=1
groups=2
activation=swish
[route]
layers=-1,2
[maxpool]
size=2
stride=2
[maxpool]
size=5
stride=1
[maxpool]
size=2
stride=1
[convolutional]
batch_normalize=1
filters=16
size=1
stride=1
activation=relu
[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear
[yolo]
mask=1,2,0
anchors=10,14, 23,27, 37,58
classes=2
num=3
scale_x_y=1.2
[route]
layers=-3
[upsample]
stride=2
[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear
[yolo]
mask=0,1
anchors=10,14, 23,27, 37,58
classes=2
num=3
"""


def weights_for_every_layer(path: Path) -> Path:
    """Write numbers for EVERY_LAYER: filters at random, variances positive."""
    rng = np.random.default_rng(5)
    parts = []
    for filters, inputs, size, normalised in [
        (8, 3, 3, True), (8, 8, 3, True), (8, 2, 3, False), (16, 16, 1, True), (21, 16, 1, False), (14, 16, 1, False)
    ]:  # fmt: skip
        parts.append(rng.normal(0, 0.3, filters))
        if normalised:
            parts += [rng.uniform(0.5, 1.5, filters), rng.normal(0, 0.2, filters), rng.uniform(0.2, 2, filters)]
        parts.append(rng.normal(0, 0.8 / np.sqrt(inputs * size * size), filters * inputs * size * size))
    path.write_bytes(struct.pack("<iiiq", 0, 2, 5, 0) + np.concatenate(parts).astype("<f4").tobytes())
    return path


def by_opencv(cfg: Path, weights: Path, blob: F32) -> F32:
    """Return OpenCV's rows in input pixels: cx, cy, w, h, objectness, objectness x class."""
    net = cv2.dnn.readNetFromDarknet(str(cfg), str(weights))
    net.setInput(blob)
    rows = np.concatenate(net.forward(net.getUnconnectedOutLayersNames())).astype(np.float32)
    rows[:, :4] *= blob.shape[-1]
    return rows


def by_us(model: Path, blob: F32, heads: list[tuple[int, int]]) -> F32:
    """Return our rows in the same form and order; `heads` is the number of anchors and cells of each [yolo] layer."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"images": blob})
    maps = np.split(output[0], np.cumsum([anchors * cells for anchors, cells in heads])[:-1])
    turned = [
        rows.reshape(anchors, cells, -1).transpose(1, 0, 2).reshape(anchors * cells, -1)
        for rows, (anchors, cells) in zip(maps, heads, strict=True)
    ]
    rows: F32 = np.concatenate(turned)
    rows[:, 5:] *= rows[:, 4:5]
    return rows


def compare(ours: F32, theirs: F32) -> int:
    """Hold all rows against each other and return how many have a score OpenCV thought worth reporting."""
    np.testing.assert_allclose(ours[:, :5], theirs[:, :5], rtol=1e-3, atol=0.01)
    reported = theirs[:, 5:] > 0  # it blanks what is below its own threshold
    np.testing.assert_allclose(ours[:, 5:][reported], theirs[:, 5:][reported], atol=1e-3)
    return int(reported.any(axis=1).sum())


NEW_COORDINATES = EVERY_LAYER.replace("activation=linear\n[yolo]", "activation=logistic\n[yolo]\nnew_coords=1")


@pytest.mark.parametrize("network", [EVERY_LAYER, NEW_COORDINATES], ids=["classic", "new_coords"])
def test_every_layer_means_what_opencv_says(tmp_path: Path, network: str) -> None:
    """A network of all layers with numbers at random gives the same boxes and scores."""
    cfg = tmp_path / "all.cfg"
    cfg.write_text(network)
    weights = weights_for_every_layer(tmp_path / "all.weights")
    model = darknet.convert(cfg, weights, None, tmp_path / "all.onnx", 64)
    blob = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    theirs, ours = by_opencv(cfg, weights, blob), by_us(model, blob, [(3, 16 * 16), (2, 32 * 32)])
    assert compare(ours, theirs) > 500


def test_yolov4_tiny_sees_what_opencv_sees(tmp_path: Path) -> None:
    """The official weights on real pictures: all 6,000 rows to a hundredth of a pixel, scores to a thousandth."""
    clip = cv2.VideoCapture(str(data_path("clips/bikes.mp4")))
    seen = 0
    with zoo.fetched(zoo.YOLOV4_TINY) as (cfg, weights, labels):
        model = darknet.convert(cfg, weights, labels, tmp_path / "tiny.onnx", 640)
        for number in (10, 80, 200):
            clip.set(cv2.CAP_PROP_POS_FRAMES, number)
            _, picture = clip.read()
            tile = np.full((640, 640, 3), 114, np.uint8)
            tile[: picture.shape[0], : picture.shape[1]] = picture
            blob = cv2.dnn.blobFromImage(tile, 1 / 255, swapRB=True).astype(np.float32)
            seen += compare(by_us(model, blob, [(3, 400), (3, 1600)]), by_opencv(cfg, weights, blob))
    assert seen >= 3
