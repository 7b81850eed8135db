"""The folders: there, with the right owner, with room, and able to tell of new files."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tilewatch.doctor.finding import Section, absent, bad, doubtful, good
from tilewatch.engines import cache
from tilewatch.jobs import mounts

if TYPE_CHECKING:
    from tilewatch.doctor.finding import Finding
    from tilewatch.settings import Settings

INOTIFY = Path("/proc/sys/fs/inotify")
FEWEST_WATCHES = 8192
"""One for each subfolder of the watched folder, shared by all programs of this user."""
GB = 1e9


def examine(settings: Settings) -> Section:
    """Look at the folders that the settings name."""
    logs = settings.log.dir
    return Section(
        "Folders",
        (
            _watched(settings),
            _writable("OUTPUT_DIR", settings.path.output_dir),
            *([_writable("LOG_DIR", logs)] if logs else [absent("LOG_DIR", "unset: no copy of the log")]),
            _cache(),
            _room(settings.path.output_dir, settings.disk.reserve),
            _events(settings),
        ),
    )


def _watched(settings: Settings) -> Finding:
    folder = settings.watch.watch_dir
    if not folder.is_dir():
        remedy = "make it, mount it there, or set WATCH_DIR"
        if "watch_dir" in settings.watch.model_fields_set:
            return bad("WATCH_DIR", f"{folder}: is not there", remedy)
        return doubtful("WATCH_DIR", f"{folder}: is not there; `serve` needs it, `run` does not", remedy)
    if not os.access(folder, os.R_OK | os.X_OK):
        return bad("WATCH_DIR", f"{folder}: cannot be read {_us()}", _chown(folder))
    return good("WATCH_DIR", f"{folder}, {mounts.file_system(folder)}")


def _writable(name: str, folder: Path) -> Finding:
    """Return whether files can be made in a folder, which is made if its parent allows it."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except NotADirectoryError:
        return bad(name, f"{place}: is a file", f"name a folder in {name}")
    except OSError as error:
        text = f"{place}: cannot be written {_us()} ({os.strerror(error.errno or 0)})"
        fixed = error.errno == errno.EROFS
        return bad(name, text, f"mount a folder at {folder} without `:ro`" if fixed else _chown(place))
    made = "" if place == folder else ", made at the first use"
    return good(name, f"{folder.absolute()}, {mounts.file_system(place)}{made}")


def _cache() -> Finding:
    if cache.writable("models") is None:
        text = f"{cache.folder()}: cannot be written; the default model and compiled graphs cannot be kept"
        return doubtful("cache", text, "set XDG_CACHE_HOME to a folder that can, or set MODEL_PATH")
    return good("cache", str(cache.folder()))


def _room(output: Path, reserve: int) -> Finding:
    place = next(path for path in (output, *output.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / GB:.1f} GB free on the output volume, DISK_RESERVE is {reserve / GB:.1f} GB"
    return good("room", text) if free >= reserve else bad("room", text, f"free some in {output}, or lower DISK_RESERVE")


def _events(settings: Settings) -> Finding:
    """Return whether new files are told of by the kernel."""
    folder, mode = settings.watch.watch_dir, settings.watch.watch_mode
    if mode == "poll" or (mode == "auto" and folder.is_dir() and mounts.is_deaf(folder)):
        return good("new files", f"looked for every {settings.watch.watch_rescan_seconds:g} s: no events here")
    try:
        most = int((INOTIFY / "max_user_watches").read_text())
    except (OSError, ValueError):
        return absent("new files", "the kernel does not tell its limits for inotify")
    if most < FEWEST_WATCHES:
        remedy = "run `sysctl fs.inotify.max_user_watches=524288` on the host, or set WATCH_MODE=poll"
        return doubtful("new files", f"inotify may watch {most} folders only", remedy)
    return good("new files", f"by inotify, up to {most} folders")


def _us() -> str:
    return f"by {os.getuid()}:{os.getgid()}"


def _chown(folder: Path) -> str:
    return f"run `chown -R {os.getuid()}:{os.getgid()} {folder}` on the host"
