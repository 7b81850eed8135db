"""`tilewatch doctor`: one page on this machine, for a person or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tilewatch import __version__
from tilewatch.errors import ConfigError
from tilewatch.settings import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.text import Text

    from tilewatch.doctor.finding import Finding, Section

MARKS = {"good": ("✓", "green"), "absent": ("·", "dim"), "doubtful": ("!", "yellow"), "bad": ("✗", "bold red")}
DEFAULT_ENV = Path(".env")


def examine(
    env_file: Annotated[Path | None, typer.Option(help="Settings file; unset: ./.env if there is one.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at this machine: what would be used, what is in the way, and what to do about it.

    Exit code 0: it can run; 78: settings or folders; 70: a device.
    """
    from tilewatch.doctor.finding import verdict  # noqa: PLC0415  (heavy: --help stays fast)

    sections = _sections(env_file or (DEFAULT_ENV if DEFAULT_ENV.is_file() else None))
    code = verdict(sections)
    if as_json:
        parts = [asdict(section) for section in sections]
        typer.echo(json.dumps({"version": __version__, "exit_code": code, "sections": parts}, ensure_ascii=False))
    else:
        from rich.console import Console  # noqa: PLC0415

        show(Console(), sections, code)
    raise typer.Exit(code)


def show(console: Console, sections: Sequence[Section], code: int) -> None:
    """Print the page."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    width = max(len(finding.name) for section in sections for finding in section.findings)
    for section in sections:
        console.print(Text(section.title, style="bold"))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2, justify="right")
        table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for finding in section.findings:
            mark, style = MARKS[finding.state]
            table.add_row(Text(mark, style=style), Text(finding.name, style=_quiet(finding)), _said(finding, style))
        console.print(table, end="\n\n")
    console.print(Text(_summary(sections, code), style="bold red" if code else "bold green"))


def _sections(env_file: Path | None) -> list[Section]:
    from tilewatch.doctor import codecs, folders, gpus, inference, machine  # noqa: PLC0415
    from tilewatch.doctor.finding import Section, bad, good  # noqa: PLC0415

    try:
        settings = load(env_file=env_file)
    except ConfigError as error:
        return [machine.examine(), gpus.examine(), Section("Settings", (bad("settings", str(error), "correct it"),))]
    source = str(env_file.absolute()) if env_file else "environment and defaults; no settings file"
    return [
        machine.examine(),
        gpus.examine(),
        Section("Settings", (good("settings", source),)),
        inference.examine(settings),
        codecs.examine(settings),
        folders.examine(settings),
    ]


def _said(finding: Finding, style: str) -> Text:
    from rich.text import Text  # noqa: PLC0415

    text = Text(_printable(finding.text), style=_quiet(finding))
    if finding.remedy:
        text.append(f"\n→ {_printable(finding.remedy)}", style=style)
    return text


def _quiet(finding: Finding) -> str:
    return "dim" if finding.state == "absent" else ""


def _summary(sections: Sequence[Section], code: int) -> str:
    states = [finding.state for section in sections for finding in section.findings]
    if code:
        return f"It cannot run like this: {states.count('bad')} to mend (✗). Exit code {code}."
    doubts = states.count("doubtful")
    return "It can run." + (f" {doubts} to know of (!)." if doubts else "")


def _printable(text: str) -> str:
    """Return a text without what would move the cursor."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
