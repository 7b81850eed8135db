"""The health probe as Docker starts it: a process without tilewatch, asking a server that is there."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ops import ENGINE, Ops
from tests.support.program import ROOT, environment
from tilewatch.telemetry.listener import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

PROBE = ROOT / "healthcheck" / "probe.py"
SCRIPT = ROOT / "healthcheck" / "docker-healthcheck.sh"
TENSORRT = replace(ENGINE, backend="tensorrt", device="cuda:0", gpu="Orin")


@dataclass(frozen=True)
class Said:
    """How a probe ended."""

    code: int
    line: str
    cpu_seconds: float


def probe(folder: Path, *command: str | Path, **env: str) -> Said:
    """Run a probe where tilewatch cannot be imported, and measure its CPU time; blocking."""
    with subprocess.Popen(
        command or (sys.executable, "-I", "-S", PROBE),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env=environment(PYTHONPATH="", **env),
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Said(process.returncode, said.rstrip("\n"), usage.ru_utime + usage.ru_stime)


@pytest.fixture
def ask(run: Run, tmp_path: Path) -> Callable[..., Said]:
    """Run a probe against a service."""

    def asked(ops: Ops, *command: str | Path, host: str = "127.0.0.1", **env: str) -> Said:
        async def scenario() -> Said:
            async with ops.serving(host) as server:
                return await asyncio.to_thread(probe, tmp_path, *command, METRICS_PORT=str(server.port), **env)

        found: Said = run(scenario())
        return found

    return asked


@pytest.mark.parametrize(
    ("facts", "env", "code", "line"),
    [
        ({}, {}, 0, "ready: openvino on AMD EPYC 7763 64-Core Processor"),
        ({"engine": TENSORRT}, {"BACKEND": "tensorrt"}, 0, "ready: tensorrt on Orin"),
        ({"state": "degraded", "reasons": ("disk: 0.1 GB free",)}, {"BACKEND": "auto"}, 0, "disk: 0.1 GB free"),
        ({"ready": False, "reasons": ("draining: no new work",)}, {}, 1, "not ready: draining: no new work"),
        ({"live": False, "reasons": ("file-0: encode has not moved",)}, {}, 4, "stalled: file-0: encode has not moved"),
        ({"engine": None}, {}, 5, "no engine is loaded"),
        ({"engine": replace(TENSORRT, gpu=None)}, {}, 5, "tensorrt sees no GPU: is the container started with one?"),
        ({}, {"BACKEND": "tensorrt"}, 5, "BACKEND=tensorrt was asked for, openvino is running"),
    ],
)
def test_probe_names_what_is_wrong(
    ask: Callable[..., Said], facts: dict[str, Any], env: dict[str, str], code: int, line: str
) -> None:
    """One line and a code for every way of being unwell."""
    ops = Ops()
    ops.change(**facts)
    said = ask(ops, **env)
    assert said.code == code
    assert "\n" not in said.line
    assert line in said.line


def test_probe_costs_less_than_a_tenth_of_a_second(ask: Callable[..., Said]) -> None:
    """It runs every few seconds, for months; CPU time, the quickest of five."""
    assert min(ask(Ops()).cpu_seconds for _ in range(5)) < 0.1


def test_token_comes_from_the_environment_or_the_settings_file(ask: Callable[..., Said], tmp_path: Path) -> None:
    """The probe reads what tilewatch reads; a wrong token is a misconfiguration, not an illness."""
    assert ask(Ops(token="right-token"), METRICS_TOKEN="right-token").code == 0  # noqa: S106 of this test alone
    refused = ask(Ops(token="right-token"))  # noqa: S106 of this test alone
    assert (refused.code, refused.line) == (3, "METRICS_TOKEN is not the one tilewatch runs with")
    (tmp_path / ".env").write_text("# token\nexport metrics_token = 'right-token'  # note\nMETRICS_PORT=1\nTILE_SIZE\n")
    assert ask(Ops(token="right-token")).code == 0  # noqa: S106 of this test alone


@pytest.mark.parametrize("host", ["0.0.0.0", ""])  # noqa: S104 what an image is set to
def test_service_on_every_address_is_asked_on_the_loopback(ask: Callable[..., Said], host: str) -> None:
    """METRICS_HOST is where it listens, not where to ask."""
    assert ask(Ops(), METRICS_HOST=host).code == 0


def test_probe_tells_no_answer_from_a_stranger_and_from_a_bad_port(run: Run, tmp_path: Path) -> None:
    """A closed port, somebody else's server, and settings that cannot be."""

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n[1, 2]")
        await writer.drain()
        writer.close()

    async def scenario() -> Said:
        server = await asyncio.start_server(stranger, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return await asyncio.to_thread(probe, tmp_path, METRICS_PORT=str(port))

    assert run(scenario()).code == 3
    with listen("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
    assert probe(tmp_path, METRICS_PORT=str(port)).code == 2
    for port_text in ("0", "http", "99999"):
        said = probe(tmp_path, METRICS_PORT=port_text)
        assert (said.code, said.line) == (3, f"METRICS_PORT={port_text} is no port that can be asked")


def test_live_asks_for_less_than_ready(ask: Callable[..., Said]) -> None:
    """Whoever restarts a service must not restart one that only starts or drains."""
    ops = Ops()
    ops.change(ready=False, engine=None, reasons=("starting",))
    assert ask(ops, sys.executable, "-I", PROBE, "live").code == 0
    assert ask(ops, sys.executable, "-I", PROBE, "alive").code == 3


def test_script_gives_docker_the_two_codes_it_knows(ask: Callable[..., Said]) -> None:
    """0 or 1, with the probe's line; from whatever folder it is started."""
    ops = Ops()
    assert ask(ops, SCRIPT, PYTHON=sys.executable).code == 0
    ops.change(live=False, reasons=("file-0: encode has not moved",))
    said = ask(ops, SCRIPT, PYTHON=sys.executable)
    assert (said.code, said.line) == (1, "stalled: file-0: encode has not moved")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck on this machine")
def test_script_is_clean() -> None:
    """Shellcheck has nothing to say."""
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True, check=False)  # noqa: S607 on the PATH
    assert (done.returncode, done.stdout) == (0, "")
