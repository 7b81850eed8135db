"""Whether tilewatch's user may use the service's folders; if not, the command that mends it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tilewatch.errors import ConfigError
from tilewatch.jobs.ledger import ledger_path
from tilewatch.jobs.mounts import source_name
from tilewatch.service.places import WORK
from tilewatch.telemetry.logfile import NAME

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.settings import Settings

READ, WRITE = os.R_OK | os.X_OK, os.W_OK | os.X_OK


def make(settings: Settings) -> None:
    """Make the output folder; blocking.

    Raises:
        ConfigError: it cannot be made, or there is no watched folder: names it, and the setting.
    """
    watched, output = settings.watch.watch_dir, settings.path.output_dir
    if not watched.is_dir():
        raise ConfigError(f"{watched}: the watched folder is not there: make it, or set WATCH_DIR")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{output}: cannot be made ({error.strerror}): make it, or set OUTPUT_DIR") from error


def refused(settings: Settings) -> dict[Path, str]:
    """Return, for each folder that may not be used as it has to be, a line with the remedy; blocking."""
    found = {settings.watch.watch_dir: _unreadable(settings.watch.watch_dir)}
    output, logs = settings.path.output_dir, settings.log.dir
    ledger = ledger_path(output)
    found[output] = _unwritable(output, output, ledger.parent, ledger, output / WORK)
    if logs and logs.is_dir():
        found[logs] = _unwritable(logs, logs, logs / NAME)
    return {folder: text for folder, text in found.items() if text}


def _unreadable(folder: Path) -> str:
    """Return why a folder cannot be read; '' if it can."""
    if os.access(folder, READ):
        return ""
    return f"{folder}: cannot be read by user {os.getuid()}: run {_command('chmod -R a+rX', folder)}"


def _unwritable(folder: Path, *places: Path) -> str:
    """Return why something in a folder cannot be written; '' if all that is there can."""
    if all(_can_write(place) for place in places):
        return ""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"{folder}: is mounted read-only: mount it without `:ro`"
    owner = f"{os.getuid()}:{os.getgid()}"
    return f"{folder}: cannot be written by user {os.getuid()}: run {_command(f'chown -R {owner}', folder)}"


def _can_write(place: Path) -> bool:
    """Tell whether a folder or file can be written; what is not there is no hindrance."""
    mode = WRITE if os.path.isdir(place) else os.W_OK  # noqa: PTH112 False, where pathlib raises, for what is hidden
    return os.access(place, mode) or not os.path.lexists(place)


def _command(command: str, folder: Path) -> str:
    """Return a command for the folder, by its name on the host where it is mounted from there."""
    name = source_name(folder)
    if not name:
        return f"`{command} {folder}`"
    return f"`{command} ./{name}` on the host, in the folder that holds {name}"
