"""The settings as documentation: .env.example and docs/CONFIGURATION.md, both generated from the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from tilewatch.settings import env_names, sections

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

ENV_HEAD = """\
# tilewatch settings: copy to .env and change what you need. Every line is optional; what is shown is the default.
# The environment wins over this file, the command line over both. An unknown name stops the start.
# Docker Compose reads it too: give values with $, # or blanks in single quotes; "${" does not do in either kind.
"""

MARKDOWN_HEAD = """\
# Configuration

Every setting has one name: in `.env`, in the environment, and (where there is an option) behind an option of
`tilewatch run`. The command line wins over the environment, the environment over `.env`. An unknown or misspelt name in
`.env` stops the start and names the nearest right one. This page is generated: `make docs`.

`TRACK_HIGH` and `TRACK_NEW` follow `CONFIDENCE_THRESHOLD`, so that who asks for objects of 0.25 sees them. With a
detector that gives many sure boxes, `TRACK_HIGH=0.6` and `TRACK_NEW=0.7` (the ByteTrack paper) trade weak objects for
fewer identity switches.
"""


def as_env() -> str:
    """Return the text of .env.example."""
    parts = [ENV_HEAD]
    for section, cls in sections().items():
        parts.append(f"\n# --- {(cls.__doc__ or '').strip().splitlines()[0]}\n")
        for name, (owner, _, field) in env_names().items():
            if owner == section:
                parts.append(f"# {field.description}{_bounds_in_brackets(field)}\n# {name}={_default(field)}\n")
    return "".join(parts)


def as_markdown() -> str:
    """Return the text of docs/CONFIGURATION.md."""
    parts = [MARKDOWN_HEAD]
    for section, cls in sections().items():
        title = (cls.__doc__ or "").strip().splitlines()[0]
        parts.append(f"\n## {title}\n\n| name | default | allowed | what for |\n|---|---|---|---|\n")
        for name, (owner, _, field) in env_names().items():
            if owner == section:
                shown = f"`{_default(field)}`" if _default(field) else "unset"
                parts.append(f"| `{name}` | {shown} | {_bounds(field)} | {field.description} |\n")
    return "".join(parts)


def _default(field: FieldInfo) -> str:
    """Return the default as a person types it."""
    value: Any = field.default
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bounds_in_brackets(field: FieldInfo) -> str:
    bounds = _bounds(field)
    return f" [{bounds}]" if bounds else ""


def _bounds(field: FieldInfo) -> str:
    """Return what is allowed: the choices, or the limits of a number."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(str, get_args(field.annotation)))
    if field.annotation is bool:
        return "true, false"
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of"}
    found = ((sign, getattr(rule, name, None)) for rule in field.metadata for name, sign in signs.items())
    return ", ".join(f"{sign} {limit:g}" for sign, limit in found if isinstance(limit, (int, float)))
