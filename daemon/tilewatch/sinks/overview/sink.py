"""Gathers what the picture needs while the video goes by, and draws it at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewatch.sinks.disk import writing
from tilewatch.sinks.overview.backdrop import Backdrop
from tilewatch.sinks.overview.counts import Counts
from tilewatch.sinks.overview.heat import Heat
from tilewatch.sinks.overview.poster import SPANS, Story, draw_poster
from tilewatch.sinks.overview.trails import Trails
from tilewatch.sinks.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from tilewatch.records import Tracks
    from tilewatch.sinks.base import SinkContext


class OverviewSink:
    """Writes one PNG at `close`; what it holds until then does not grow with the length of the video."""

    def __init__(self, path: Path, context: SinkContext, *, model_name: str) -> None:
        self._path = path
        self._context = context
        self._model_name = model_name
        self._backdrop = Backdrop(context.info)
        self._counts = Counts(float(context.info.average_rate))
        self._trails = Trails()
        self._heat = Heat()
        self._tally = Tally()
        self._start: float | None = None
        self._done = False

    def write(self, tracks: Tracks) -> None:
        """Take one frame's result."""
        seconds = tracks.frame.seconds
        self._start = seconds if self._start is None else self._start
        self._backdrop.offer(tracks.frame)
        self._counts.add(seconds - self._start, tracks.label)
        self._tally.add(tracks)
        if self._context.tracking:
            self._trails.add(tracks)
        else:
            self._heat.add(tracks)

    def close(self) -> None:
        """Draw the picture and write it. Idempotent.

        Raises:
            SinkError: the file system refused; DiskFullError when the volume is full.
        """
        if self._done:
            return
        picture = draw_poster(self._story())
        with writing(self._path), self._path.open("wb") as file:
            picture.save(file, format="PNG", compress_level=6)
        self._done = True

    def abort(self) -> None:
        """Write nothing any more; never raises."""
        self._done = True

    def _story(self) -> Story:
        """Return what the picture tells."""
        return Story(
            context=self._context,
            model_name=self._model_name,
            backdrop=self._backdrop.picture,
            trails=self._trails.longest(),
            heat=self._heat,
            tally=self._tally,
            series=self._counts.series(SPANS),
        )
