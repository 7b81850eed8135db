"""Models read, checked against the settings, and prepared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from tests.support.models import ANCHORS, SIDE, boxes, tiny_detector
from tilewatch.engines import graph
from tilewatch.engines.heads import Columns
from tilewatch.engines.options import EngineOptions
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import F32

PICTURE = np.zeros((1, SIDE, SIDE, 3), np.uint8)
PICTURE[..., :] = (255, 102, 51)


def infer(loaded: graph.Graph, picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> F32:
    """Run a prepared model in ONNX's own reference implementation."""
    model = onnx.load_model_from_string(loaded.content)
    (output,) = ReferenceEvaluator(model).run(None, {"tiles": picture})
    return np.asarray(output)


def options(path: Path, **changes: object) -> EngineOptions:
    """Return options for the tiny model."""
    return EngineOptions(**{"model": path, "size": SIDE, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_bytes_go_in_and_floats_come_out(tmp_path: Path, kind: int) -> None:
    """Preparation, channel order and output type are in the graph, for float and half models."""
    loaded = graph.load(options(tiny_detector(tmp_path / "m.onnx", kind=kind)))
    output = infer(loaded, PICTURE)
    assert (output.dtype, output.shape) == (np.dtype(np.float32), (1, 7, ANCHORS))
    np.testing.assert_array_equal(output[0, :4], boxes())
    np.testing.assert_allclose(output[0, 4:, 0], [1.0, 0.4, 0.2], atol=1e-3)


def test_metadata_can_ask_for_bgr_255(tmp_path: Path) -> None:
    """The importer's note decides how the picture is given."""
    path = tiny_detector(tmp_path / "m.onnx", metadata={"tilewatch": '{"input": "bgr255"}'})
    loaded = graph.load(options(path))
    assert loaded.input == "bgr255"
    np.testing.assert_allclose(infer(loaded, PICTURE)[0, 4:, 0], [51, 102, 255], rtol=1e-6)


@pytest.mark.parametrize("batch", ["n", 1])
def test_batch_is_free_also_where_it_was_fixed(tmp_path: Path, batch: int | str) -> None:
    """A batch of 1 baked into the input and its reshapes is let go."""
    loaded = graph.load(options(tiny_detector(tmp_path / "m.onnx", batch=batch)))
    assert loaded.dynamic
    assert infer(loaded, np.repeat(PICTURE, 3, axis=0)).shape == (3, 7, ANCHORS)


def test_batch_that_cannot_be_freed_stays_one(tmp_path: Path) -> None:
    """A constant of batch 1 joined in along another axis holds the batch: the model is left as it was."""
    path = tiny_detector(tmp_path / "m.onnx", batch=1)
    model = onnx.load_model(str(path))
    model.graph.node[-1].input[0] = "boxes"
    onnx.save_model(model, str(path))
    loaded = graph.load(options(path))
    assert not loaded.dynamic
    assert infer(loaded, PICTURE).shape == (1, 7, ANCHORS)


def test_facts_of_the_model_are_reported(tmp_path: Path) -> None:
    """Names from its metadata, head from its shape, hash of the file as it is."""
    path = tiny_detector(tmp_path / "m.onnx", metadata={"names": "{0: 'red', 1: 'green', 2: 'blue'}"})
    loaded = graph.load(options(path))
    assert loaded.names == ("red", "green", "blue")
    assert loaded.head == Columns(3)
    assert len(loaded.sha256) == 64
    assert graph.load(options(path, names=("a", "b"))).names == ("a", "b")


def with_input(path: Path, *dims: int | str, kind: int = TensorProto.FLOAT) -> Path:
    """Write a model that does nothing but has an input of this shape."""
    value = helper.make_tensor_value_info("images", kind, dims)
    output = helper.make_tensor_value_info("output0", kind, dims)
    model = helper.make_model(
        helper.make_graph([helper.make_node("Relu", ["images"], ["output0"])], "g", [value], [output]),
        opset_imports=[helper.make_opsetid("", 13)],
    )
    onnx.save_model(model, str(path))
    return path


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ((1, 3, 640, 640), r"640x640, but TILE_SIZE=64: set TILE_SIZE=640"),
        ((1, 3, 64, 96), r"96x64: a square one"),
        ((1, 1, 64, 64), r"\(1, 1, 64, 64\): \(N, 3, S, S\) is needed"),
        ((1, 64, 64, 3), r"\(N, 3, S, S\) is needed"),
        (("n", 3, "h", "w"), r"no detector's"),
    ],
)
def test_models_that_do_not_fit_are_refused_with_the_remedy(
    tmp_path: Path, dims: tuple[int | str, ...], message: str
) -> None:
    """The message names the model, both sizes, and what to set."""
    path = with_input(tmp_path / "m.onnx", *dims)
    with pytest.raises(ConfigError, match=message) as caught:
        graph.load(options(path))
    assert str(path) in str(caught.value)


def test_integer_input_is_refused(tmp_path: Path) -> None:
    """A model that takes bytes already has its preparation inside."""
    with pytest.raises(ConfigError, match="type UINT8"):
        graph.load(options(with_input(tmp_path / "m.onnx", 1, 3, 64, 64, kind=TensorProto.UINT8)))


def test_stride_must_divide_the_tile(tmp_path: Path) -> None:
    """A model of stride 64 cannot take tiles of 96."""
    path = tiny_detector(tmp_path / "m.onnx", side=96, metadata={"stride": "64"})
    with pytest.raises(ConfigError, match="TILE_SIZE=96 is no multiple of its stride 64"):
        graph.load(options(path, size=96))


def test_more_labels_than_classes_are_refused(tmp_path: Path) -> None:
    """The list belongs to another model."""
    with pytest.raises(ConfigError, match="3 classes, but LABELS_PATH holds 4"):
        graph.load(options(tiny_detector(tmp_path / "m.onnx"), names=("a", "b", "c", "d")))


@pytest.mark.parametrize("content", [None, b"", b"no model at all\n", b"\x08\x08garbage" * 40])
def test_files_that_are_no_model_are_refused(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty, text and rubbish: one line that names the file."""
    path = tmp_path / "m.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"m\.onnx") as caught:
        graph.load(options(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_model_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    """A download that broke off is not a model."""
    path = tiny_detector(tmp_path / "m.onnx")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ConfigError, match=r"m\.onnx"):
        graph.load(options(path))


def test_missing_external_weights_are_named(tmp_path: Path) -> None:
    """Weights in a file of their own must lie beside the model."""
    path = tiny_detector(tmp_path / "m.onnx")
    model = onnx.load_model(str(path))
    onnx.save_model(model, str(path), save_as_external_data=True, location="m.data", size_threshold=0)
    assert graph.load(options(path)).dynamic
    (tmp_path / "m.data").unlink()
    with pytest.raises(ConfigError, match="weights in another file"):
        graph.load(options(path))
