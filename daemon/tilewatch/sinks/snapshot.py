"""The last annotated picture, for people who look at the service: taken while somebody looks, and only then."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tilewatch.sinks.overview.backdrop import shrunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tilewatch.records import U8, Frame

LOOKING_SECONDS = 15.0
"""Somebody who asked looks for so long; the page asks again every few seconds."""
APART_SECONDS = 1.0
"""Pictures are taken no more often."""


class Snapshot:
    """Holds one small picture. Made on the encode lane, asked for from another thread.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked = -LOOKING_SECONDS
        self._taken = -APART_SECONDS
        self._held: tuple[int, Frame] | None = None

    def offer(self, frame: Frame, planes: tuple[U8, U8, U8]) -> None:
        """Take a frame that was just painted on, if somebody looks and the last one is old enough."""
        now = self._clock()
        if now - self._looked > LOOKING_SECONDS or now - self._taken < APART_SECONDS:
            return
        y, u, v = planes
        number = self._held[0] + 1 if self._held else 1
        self._held = number, shrunk(replace(frame, y=y, u=u, v=v))
        self._taken = now

    def look(self) -> tuple[int, bytes] | None:
        """Return the newest picture's number and its JPEG, None before there is one; blocking."""
        self._looked = self._clock()
        if self._held is None:
            return None
        number, frame = self._held
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(frame.bgr()[:, :, ::-1])).save(file, "JPEG", quality=82)
        return number, file.getvalue()
