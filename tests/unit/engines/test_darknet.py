"""Darknet files that are not what they should be: each refused with the place."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from tilewatch.engines import darknet
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

NET = "[net]\nwidth=32\nheight=32\n"
HEAD = "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n"
YOLO = "[yolo]\nmask=0\nanchors=8,16\nclasses=1\nnum=1\nignore_thresh=.7 # training only\n"
NUMBERS = 6 + 6 * 3
"""Bias and filters of HEAD on a picture."""


def files(folder: Path, cfg: str, numbers: int = NUMBERS, version: tuple[int, int] = (0, 2)) -> tuple[Path, Path]:
    """Write a network and so many zeros."""
    header = struct.pack("<iii", *version, 0) + (b"\0" * 8 if version[0] * 10 + version[1] >= 2 else b"\0" * 4)
    (folder / "n.cfg").write_text(cfg)
    (folder / "n.weights").write_bytes(header + b"\0" * 4 * numbers)
    return folder / "n.cfg", folder / "n.weights"


@pytest.mark.parametrize("version", [(0, 1), (0, 2)])
def test_zero_weights_put_every_box_at_its_cells_centre(tmp_path: Path, version: tuple[int, int]) -> None:
    """sigmoid(0) is a half, exp(0) is the anchor; both headers are read."""
    out = darknet.convert(*files(tmp_path, NET + HEAD + YOLO, version=version), None, tmp_path / "n.onnx", 32)
    (rows,) = ReferenceEvaluator(onnx.load_model(str(out))).run(None, {"images": np.zeros((2, 3, 32, 32), np.float32)})
    assert np.shape(rows) == (2, 1024, 6)
    np.testing.assert_allclose(np.asarray(rows, np.float32)[1, 33], [1.5, 1.5, 8, 16, 0.5, 0.5])


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ("hello\n", "neither a .section. nor an option"),
        ("[convolutional]\nfilters=6\n", "does not begin with"),
        (NET + HEAD, "no .yolo. layer"),
        (NET + HEAD + "[lstm]\noutput=3\n" + YOLO, r"line 8: \[lstm\] is not a layer"),
        (NET + HEAD.replace("size=1", "size=1\ndilation=2") + YOLO, r"line 4: .*dilation=2, which"),
        (NET + HEAD.replace("linear", "gelu") + YOLO, r"line 4: .*activation=gelu"),
        (NET + HEAD.replace("size=1", "size=one") + YOLO, r"size=one: numbers"),
        (NET + HEAD.replace("size=1", "size=1.5") + YOLO, r"size=1.5: whole numbers"),
        (NET + HEAD.replace("size=1", "stride=0") + YOLO, r"cannot be"),
        (NET + HEAD + YOLO.replace("classes=1", "classes=2"), r"needs 7 channels, the layer before has 6"),
        (NET + HEAD + YOLO.replace("mask=0", "mask=1"), r"mask or num"),
        (NET + HEAD + YOLO.replace("anchors=8,16", ""), r"has no anchors"),
        (NET + HEAD + "[route]\nlayers=-2\n" + YOLO, r"\[route\] names layer -2, of which there is none"),
        (NET + HEAD + "[route]\nlayers=0\ngroups=4\n" + YOLO, r"cannot split"),
        (
            NET + HEAD + "[shortcut]\nfrom=0\nactivation=linear\n[upsample]\nstride=2\n[shortcut]\nfrom=0\n",
            "another shape",
        ),
    ],
)
def test_unusable_network_is_refused_with_its_place(tmp_path: Path, cfg: str, message: str) -> None:
    """The error names the file, the line, the layer and the value; nothing is written."""
    with pytest.raises(ConfigError, match=message) as caught:
        darknet.convert(*files(tmp_path, cfg), None, tmp_path / "n.onnx", 32)
    assert "n.cfg" in str(caught.value)
    assert not (tmp_path / "n.onnx").exists()


@pytest.mark.parametrize(("numbers", "message"), [(NUMBERS - 1, "cut short"), (NUMBERS + 1, "1 numbers are left over")])
def test_weights_of_another_network_are_refused(tmp_path: Path, numbers: int, message: str) -> None:
    """Neither too few numbers nor too many."""
    with pytest.raises(ConfigError, match=message):
        darknet.convert(*files(tmp_path, NET + HEAD + YOLO, numbers), None, tmp_path / "n.onnx", 32)


def test_missing_and_empty_files_are_refused(tmp_path: Path) -> None:
    """One line that names the file."""
    cfg, weights = files(tmp_path, NET + HEAD + YOLO)
    weights.write_bytes(b"12")
    with pytest.raises(ConfigError, match=r"n\.weights is no Darknet"):
        darknet.convert(cfg, weights, None, tmp_path / "n.onnx", 32)
    weights.unlink()
    with pytest.raises(ConfigError, match=r"n\.weights: No such file"):
        darknet.convert(cfg, weights, None, tmp_path / "n.onnx", 32)
    cfg.write_bytes(b"\xff\xfe[net]")
    with pytest.raises(ConfigError, match="not a text file"):
        darknet.convert(cfg, weights, None, tmp_path / "n.onnx", 32)


def test_labels_must_count_as_many_as_the_classes(tmp_path: Path) -> None:
    """Names of another network would be wrong names."""
    labels = tmp_path / "labels.txt"
    labels.write_text("one\ntwo\n")
    with pytest.raises(ConfigError, match=r"2 names, but .* classes=1"):
        darknet.convert(*files(tmp_path, NET + HEAD + YOLO), labels, tmp_path / "n.onnx", 32)


@pytest.mark.parametrize("size", [0, 100, -32])
def test_size_must_be_a_multiple_of_the_stride(tmp_path: Path, size: int) -> None:
    """A side that no map divides is refused before anything is read."""
    with pytest.raises(ConfigError, match="multiple of 32"):
        darknet.convert(tmp_path / "a", tmp_path / "b", None, tmp_path / "n.onnx", size)


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    """The folder of the output is a file."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        darknet.convert(*files(tmp_path, NET + HEAD + YOLO), None, tmp_path / "taken" / "n.onnx", 32)
