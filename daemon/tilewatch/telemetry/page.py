"""The status page: one HTML file rendered here from a Status; complete without JavaScript.

Every text is escaped, and the page may load nothing but its own picture: `POLICY` names its one style and its one
script by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tilewatch.telemetry.status import Disk, EngineStatus, Failure, RunningJob, StageBar, Status, StreamStatus

SKELETON = files("tilewatch.telemetry").joinpath("page.html").read_text("utf-8")
COLOURS = {"ready": "good", "starting": "warn", "degraded": "warn", "draining": "warn"}
GIGABYTE = 1e9


def _hash(tag: str) -> str:
    """Return the policy's name of the one element of that kind."""
    text = SKELETON.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash('style')}; script-src {_hash('script')}; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render(status: Status, *, picture: int | None) -> str:
    """Return the page.

    Args:
        status: what to show.
        picture: number of the last annotated picture, which `/frame.jpg` gives; None while there is none.
    """
    left, right = _work(status) + _streams(status.streams), _picture(picture)
    parts = [
        _head(status),
        _troubles(status),
        _counts(status),
        f'<div class="columns"><div>{left}</div><div>{right}</div></div>',
        _failures(status.failures),
        _foot(status),
    ]
    title = escape(f"tilewatch: {'stalled' if not status.live else status.state}")
    return Template(SKELETON).substitute(title=title, body="\n".join(filter(None, parts)))


def duration(seconds: float) -> str:
    """Return a time span as a person reads it: '42 s', '7 min 03 s', '5 h 12 min', '12 d 4 h'."""
    whole = timedelta(seconds=round(seconds))
    minutes, rest = divmod(whole.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if whole.days:
        return f"{whole.days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def _head(status: Status) -> str:
    state, colour = (status.state, COLOURS[status.state]) if status.live else ("stalled", "bad")
    return (
        f'<header><h1>tilewatch</h1><span class="pill {colour}">{escape(state)}</span>'
        f'<span class="dim num">version {escape(status.version)}, up {duration(status.uptime_seconds)}</span>'
        f'<span class="dim">{_engine(status.engine)}</span></header>'
    )


def _engine(engine: EngineStatus | None) -> str:
    if engine is None:
        return "no engine yet"
    return escape(f"{engine.model} on {engine.gpu or engine.device} ({engine.backend}, {engine.precision})")


def _troubles(status: Status) -> str:
    refused = [f"settings refused, the old ones are in force: {text}" for text in status.settings_refused]
    lines = [f"<p>{escape(text)}</p>" for text in (*status.reasons, *refused)]
    return _section("What is wrong", lines, kind=f"trouble {'warn' if status.live else 'bad'}") if lines else ""


def _counts(status: Status) -> str:
    """Return the jobs by state and the room on the disks, as large figures."""
    cells = [(f"{count:,}", escape(state)) for state, count in status.jobs.items()]
    cells += [_room(disk) for disk in status.disks]
    shown = "".join(f'<div><b class="num">{figure}</b><span class="dim">{name}</span></div>' for figure, name in cells)
    return _section("At a glance", [f'<div class="counts">{shown}</div>']) if cells else ""


def _room(disk: Disk) -> tuple[str, str]:
    return f"{disk.free_bytes / GIGABYTE:,.1f} GB", escape(f"free on {disk.path}")


def _work(status: Status) -> str:
    if not status.running:
        return _section("In work", ['<p class="dim">Nothing: waiting for videos.</p>'])
    return _section("In work <small>frames waiting behind each stage</small>", map(_job, status.running))


def _job(job: RunningJob) -> str:
    done = f"{job.frames:,} of {job.total:,} frames" if job.total else f"{job.frames:,} frames"
    eta = f", {duration(job.eta_seconds)} left" if job.eta_seconds is not None else ""
    value = f'value="{min(job.frames, job.total)}" max="{job.total}"' if job.total else ""
    return (
        f'<article><div class="row"><h3>{escape(job.name)}</h3>'
        f'<span class="dim num">{done}, {job.frames_per_second:.1f} frames/s{eta}</span></div>'
        f'<progress class="main-bar" aria-label="progress of {escape(job.name)}" {value}></progress>'
        f"{_bars(job.bars)}</article>"
    )


def _bars(bars: Sequence[StageBar]) -> str:
    """Return how full the channels are."""
    cells = (
        f'<div><span>{escape(bar.stage)}</span> <span class="dim num">{bar.items}/{bar.capacity}</span>'
        f'<progress aria-label="waiting behind {escape(bar.stage)}" value="{bar.items}" max="{bar.capacity}">'
        "</progress></div>"
        for bar in bars
    )
    return f'<div class="bars">{"".join(cells)}</div>' if bars else ""


def _streams(streams: Sequence[StreamStatus]) -> str:
    return _section("Cameras", map(_stream, streams)) if streams else ""


def _stream(stream: StreamStatus) -> str:
    state, colour = ("up", "good") if stream.up else ("down", "bad")
    facts = f"{stream.frames_per_second:.1f} frames/s, {stream.dropped:,} dropped, {stream.restarts:,} restarts"
    return (
        f'<article><div class="row"><h3>{escape(stream.name)} <span class="{colour}">{state}</span></h3>'
        f'<span class="dim num">{facts}</span></div>{_bars(stream.bars)}</article>'
    )


def _picture(number: int | None) -> str:
    shown = (
        '<p class="dim">None yet.</p>'
        if number is None
        else f'<img src="/frame.jpg?n={number}" alt="the last annotated frame">'
    )
    return _section("Last frame", [shown])


def _failures(failures: Sequence[Failure]) -> str:
    rows = "".join(
        f'<tr><td class="num dim">{_moment(failure.at)}</td><td>{escape(failure.name)}</td>'
        f"<td>{escape(failure.reason)}</td><td>{escape(failure.text)}</td></tr>"
        for failure in failures
    )
    head = "<tr><th>when</th><th>what</th><th>reason</th><th>said</th></tr>"
    return _section("Last failures", [f'<div class="scroll"><table>{head}{rows}</table></div>']) if failures else ""


def _moment(iso: str) -> str:
    """Return an ISO 8601 time of UTC as a person reads it."""
    return escape(iso.replace("T", " ").replace("+00:00", " UTC"))


def _foot(status: Status) -> str:
    model = f"<span>model sha256 {escape(status.engine.sha256[:12])}</span>" if status.engine else ""
    return (
        '<footer><a href="/status">status as JSON</a><a href="/metrics">metrics</a>'
        f'<a href="/healthz/live">live</a><a href="/healthz/ready">ready</a>{model}</footer>'
    )


def _section(title: str, content: Iterable[str], *, kind: str = "") -> str:
    return f'<section class="{kind}"><h2>{title}</h2>{"".join(content)}</section>'
