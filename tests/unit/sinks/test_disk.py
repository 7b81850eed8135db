"""Errors of real file systems, said in words that name the file and the remedy."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.records import make_context, make_tracks
from tilewatch.errors import ConfigError, DiskFullError, SinkError
from tilewatch.sinks.coco import CocoSink
from tilewatch.sinks.jsonl import JsonlSink
from tilewatch.sinks.overview import OverviewSink
from tilewatch.sinks.parquet import ParquetSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = [(1, 0, 0.9, 1.0, 2.0, 30.0, 40.0)]
FULL = Path("/dev/full")


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """Return a name in an ordinary folder behind which every write finds the disk full."""
    path = tmp_path / "rows"
    path.symlink_to(FULL)
    return path


@pytest.fixture
def short_files() -> Iterator[None]:
    """Let the kernel refuse files beyond 256 KiB."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def write_until_refused(sink: JsonlSink) -> None:
    """Write far more rows than a short file holds."""
    for index in range(20_000):
        sink.write(make_tracks(index, ROWS))


@pytest.mark.parametrize("sink", [CocoSink, ParquetSink])
def test_full_disk_is_told_by_formats_that_write_at_the_end(full: Path, sink: Callable[..., Any]) -> None:
    """What waits in memory until the close meets the full disk there, and letting go raises nothing."""
    made = sink(full, make_context())
    made.write(make_tracks(0, ROWS))
    with pytest.raises(DiskFullError, match="rows: no space left on the output volume"):
        made.close()
    made.abort()


def test_full_disk_is_told_by_the_overview(full: Path) -> None:
    """The picture that does not fit is an error, not half a picture."""
    made = OverviewSink(full, make_context(), model_name="m")
    made.write(make_tracks(0, ROWS))
    with pytest.raises(DiskFullError, match="rows: no space left"):
        made.close()


@pytest.mark.usefixtures("short_files")
def test_file_beyond_the_limit_is_refused_while_it_grows(tmp_path: Path) -> None:
    """A file system that takes no larger file is named during the work, not after it."""
    made = JsonlSink(tmp_path / "rows", make_context())
    with pytest.raises(SinkError, match=r"rows: cannot be written \(File too large: .*choose another folder\)"):
        write_until_refused(made)
    made.abort()


def test_vanished_folder_is_named(tmp_path: Path) -> None:
    """Somebody removed the folder: the error says where, and the remedy."""
    with pytest.raises(SinkError, match=r"gone/rows: cannot be written \(No such file or directory: its folder was"):
        JsonlSink(tmp_path / "gone" / "rows", make_context())


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is missing is a configuration error with the command that mends it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'tilewatch\[parquet\]'"):
        ParquetSink(tmp_path / "rows", make_context())
    assert not list(tmp_path.iterdir())
