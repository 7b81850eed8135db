"""Settings that change while the service runs: which file they come from, and what a change asks for."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from tilewatch.errors import ConfigError
from tilewatch.flow.backports import timeout
from tilewatch.settings import load, present, sections

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tilewatch.settings import Settings

LOOK_SECONDS = 1.0
LIVE = frozenset({"detect", "merge", "track", "draw", "log", "disk"})
"""Sections that are taken over at the next frame."""
FIXED = frozenset({"path", "watch", "metrics", "service"})
"""Sections that are read at the start only."""
Extent: TypeAlias = Literal["none", "live", "reopen"]


def extent(old: Settings, new: Settings) -> Extent:
    """Return what a change asks for: nothing, to be taken over, or the engine to be opened anew.

    Raises:
        ConfigError: it changes what is read at the start only.
    """
    changed = {name for name in sections() if getattr(old, name) != getattr(new, name)}
    for name in sorted(changed & FIXED):
        section, before = getattr(new, name), getattr(old, name)
        fields = [key for key in type(section).model_fields if getattr(section, key) != getattr(before, key)]
        names = ", ".join(type(section).env_name(key) for key in fields)
        raise ConfigError(f"{names}: is read at the start only: restart the service to change it")
    if not changed:
        return "none"
    live = changed <= LIVE and old.track.mode == new.track.mode and old.track.flavour == new.track.flavour
    return "live" if live else "reopen"


@dataclass(slots=True)
class SettingsFile:
    """The `.env` file, whether it is there yet or not, and whether it has changed.

    It is looked at rather than listened to: a file that is mounted into a container gives no reliable events.
    """

    path: Path | None
    call: Callable[..., Awaitable[str]]
    """Runs a function elsewhere: `Lane.call`."""
    _mark: str = ""

    async def remember(self) -> None:
        """Take what is there now as known."""
        self._mark = await self.call(self._hash)

    async def changed(self, asked: asyncio.Event) -> None:
        """Return once the file has changed, or somebody asks for it to be read again."""
        while not asked.is_set():
            with suppress(TimeoutError):
                async with timeout(LOOK_SECONDS):
                    await asked.wait()
            mark = await self.call(self._hash)
            if mark != self._mark:
                break
        asked.clear()
        await self.remember()

    def read(self) -> Settings:
        """Return the settings as they are now; a file that is not there says nothing. Blocking.

        Raises:
            ConfigError: they do not do.
        """
        return load(env_file=self.path and present(self.path))

    def _hash(self) -> str:
        """Return what tells one content from another; '' for no file. Blocking."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest() if self.path else ""
        except OSError:
            return ""
