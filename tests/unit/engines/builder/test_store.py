"""Where engines lie, and which of them is used again."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tilewatch.engines.builder import store
from tilewatch.engines.engine_card import EngineCard, file_sha256, write_card
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

KEY = store.Key(
    model_sha256="m" * 64,
    input_size=640,
    batch=8,
    precision="f16",
    tensorrt_version="10.7.0.23",
    device_name="Orin",
    compute_capability="8.7",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache lies in the test's folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tilewatch"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine with its card."""
    path = tmp_path / "model.engine"
    path.write_bytes(b"a plan")
    card = EngineCard(
        model_name="model.onnx",
        names=(),
        head="yolov8",
        normalisation="rgb01",
        cuda_version="12.6",
        engine_sha256=file_sha256(path),
        built_at="2026-01-01T00:00:00+00:00",
        tilewatch_version="0.1.0",
        model_sha256=KEY.model_sha256,
        input_size=KEY.input_size,
        batch=KEY.batch,
        precision="f16",
        tensorrt_version=KEY.tensorrt_version,
        device_name=KEY.device_name,
        compute_capability=KEY.compute_capability,
    )
    write_card(path, card)
    return path


def test_an_engine_of_the_same_key_is_there(engine: Path) -> None:
    """It need not be built again."""
    assert store.holds(engine, KEY)


@pytest.mark.parametrize(
    "other",
    [
        {"model_sha256": "n" * 64},
        {"input_size": 320},
        {"batch": 4},
        {"precision": "f32"},
        {"tensorrt_version": "10.8.0.1"},
        {"device_name": "Thor"},
        {"compute_capability": "11.0"},
    ],
)
def test_every_part_of_the_key_counts(engine: Path, other: dict[str, str | int]) -> None:
    """An engine of another model, shape, precision, version or device is none."""
    key = replace(KEY, **other)  # type: ignore[arg-type]  # each value fits its field
    assert not store.holds(engine, key)
    assert key.digest != KEY.digest


def test_an_engine_that_was_changed_is_none(engine: Path) -> None:
    """Cut short by a full disk, or copied over."""
    engine.write_bytes(b"a pl")
    assert not store.holds(engine, KEY)


def test_an_engine_goes_beside_its_model(tmp_path: Path) -> None:
    """Where the daemon looks for it."""
    assert store.place(tmp_path / "model.onnx", KEY) == tmp_path / "model.engine"


def test_beside_a_model_that_is_mounted_read_only_the_cache_serves(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines of two keys lie side by side there."""
    models = tmp_path / "models"
    monkeypatch.setattr(os, "access", lambda path, _: path != models)
    places = {store.place(models / "model.onnx", key) for key in (KEY, replace(KEY, precision="f32"))}
    assert len(places) == 2
    assert {place.parent for place in places} == {cache / "engines"}


def test_without_any_place_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without a home and with a read-only volume."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="--output FILE"):
        store.place(tmp_path / "model.onnx", KEY)


def test_timings_are_kept_by_version_and_device() -> None:
    """Those of another one would not be taken."""
    keys = (KEY, replace(KEY, tensorrt_version="11"), replace(KEY, device_name="Thor"))
    files = set(map(store.timing_file, keys))
    assert len(files) == 3
    assert store.timing_file(KEY) == store.timing_file(replace(KEY, model_sha256="n" * 64, batch=1))
