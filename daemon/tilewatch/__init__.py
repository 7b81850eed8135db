"""tilewatch: an unattended video-detection daemon (tiles, detects, merges, tracks)."""

__version__ = "0.1.0"
