"""`tilewatch jobs`: what the service has done, does and will do, and a person's say in it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tilewatch.errors import ConfigError, InputError
from tilewatch.jobs.store import FINAL_STATES, STATES, FinalState, State
from tilewatch.settings import load, present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tilewatch.jobs.ledger import Ledger
    from tilewatch.jobs.store import Job
    from tilewatch.settings import Settings

DAY_SECONDS = 86400.0
TIMES = frozenset({"created", "updated", "started", "finished"})

Output = Annotated[Path | None, typer.Option("--output", "-o", help="The service's output folder; unset: OUTPUT_DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobId = Annotated[int, typer.Argument(help="Number of the job, as `list` shows it.")]

jobs_cli = typer.Typer(no_args_is_help=True, help="Show and steer the service's jobs.")


@jobs_cli.command("list")
def list_jobs(
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Of the newest jobs, so many.")] = 100,
    output: Output = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show the newest jobs, newest first."""
    with _ledger(_settings(output)) as ledger:
        jobs, counts = ledger.list([state] if state else STATES, limit), ledger.counts()
    if as_json:
        typer.echo(json.dumps({"jobs": list(map(asdict, jobs)), "counts": counts}))
        return
    _print_table(jobs)
    typer.echo(", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no jobs")


@jobs_cli.command("show")
def show_job(job_id: JobId, output: Output = None, *, as_json: AsJson = False) -> None:
    """Show everything about one job."""
    with _ledger(_settings(output)) as ledger:
        job = ledger.get(job_id)
    if job is None:
        raise InputError(f"job {job_id}: there is no such job: see `tilewatch jobs list`")
    _print_job(job, as_json=as_json)


@jobs_cli.command("retry")
def retry_job(job_id: JobId, output: Output = None, *, as_json: AsJson = False) -> None:
    """Do a finished job again, with all attempts before it."""
    with _ledger(_settings(output)) as ledger:
        _print_job(ledger.retry(job_id), as_json=as_json)


@jobs_cli.command("cancel")
def cancel_job(job_id: JobId, output: Output = None, *, as_json: AsJson = False) -> None:
    """Drop a job that is not finished; one that runs stops within seconds."""
    with _ledger(_settings(output)) as ledger:
        _print_job(ledger.cancel(job_id), as_json=as_json)


@jobs_cli.command("prune")
def prune_jobs(
    days: Annotated[float, typer.Option(min=0, help="Finished more than so many days ago.")] = 30,
    state: Annotated[FinalState | None, typer.Option(help="Only these.")] = None,
    watch: Annotated[Path | None, typer.Option(help="The watched folder; unset: WATCH_DIR.")] = None,
    output: Output = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Forget finished jobs whose file has left the watched folder: one that is still there would be done again."""
    settings = _settings(output, watch)
    folder = settings.watch.watch_dir
    if not folder.is_dir():
        raise ConfigError(f"WATCH_DIR={folder}: not there, so nobody knows which files still are: name it with --watch")
    with _ledger(settings) as ledger:
        gone = ledger.prune(
            days * DAY_SECONDS, [state] if state else FINAL_STATES, keep=lambda job: (folder / job.path).is_file()
        )
    typer.echo(json.dumps({"forgotten": gone}) if as_json else f"{gone} jobs forgotten")


def _settings(output: Path | None, watch: Path | None = None) -> Settings:
    named = {"OUTPUT_DIR": output, "WATCH_DIR": watch}
    return load(overrides=named, env_file=present())


def _ledger(settings: Settings) -> Ledger:
    """Open the service's ledger.

    Raises:
        InputError: there is none.
    """
    from tilewatch.jobs.ledger import Ledger  # noqa: PLC0415  (--help stays fast)

    return Ledger.existing(settings.path.output_dir)


def _print_job(job: Job, *, as_json: bool) -> None:
    """Print a job, a line for each field that says something."""
    if as_json:
        typer.echo(json.dumps(asdict(job)))
        return
    for name, value in asdict(job).items():
        if value not in {None, ""}:
            typer.echo(f"{name:13}{_time(value) if name in TIMES else _printable(str(value))}")


def _print_table(jobs: Sequence[Job]) -> None:
    """Print a row for each job."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("job", "state", "progress", "tries", "since"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in {"job", "tries"} else "left")
    for heading in ("file", "why"):
        table.add_column(heading, overflow="fold")
    for job in jobs:
        cells = (job.id, job.state, _progress(job), job.attempts, _time(job.updated), job.path, _why(job))
        table.add_row(*(Text(_printable(str(cell))) for cell in cells))
    Console().print(table)


def _progress(job: Job) -> str:
    """Return how far a job is: in per cent, in frames where the end is unknown."""
    if job.frames_total:
        return f"{min(1.0, job.frames_done / job.frames_total):.0%}"
    return f"{job.frames_done} frames" if job.frames_done else ""


def _why(job: Job) -> str:
    """Return what there is to say about a job's state."""
    return job.error or job.reason or (f"as job {job.same_as}" if job.same_as else "")


def _time(seconds: float) -> str:
    """Return Unix seconds as local time."""
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _printable(text: str) -> str:
    """Return a text without what would move the cursor or cannot be encoded."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
