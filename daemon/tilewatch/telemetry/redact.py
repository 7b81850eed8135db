"""Credentials out of texts: cameras are addressed as rtsp://user:password@host, and errors quote what was opened."""

from __future__ import annotations

import re

CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.-]*://)\S*@", re.IGNORECASE)
"""All up to the last @ of the word: a password may hold any of the characters that end a user's part."""
SECRETS = re.compile(
    r"([?&;](?:user(?:name)?|pass(?:word|wd)?|pwd|token|key|secret|auth)=)[^&;\s\"'\\]+", re.IGNORECASE
)


def redact(text: str) -> str:
    """Return a text with user, password and token of every URL in it replaced by ***."""
    return SECRETS.sub(r"\1***", CREDENTIALS.sub(r"\1***@", text))
