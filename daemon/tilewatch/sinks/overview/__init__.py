"""overview.png: one picture of a whole video, good enough to send to a customer."""

from tilewatch.sinks.overview.sink import OverviewSink

__all__ = ["OverviewSink"]
