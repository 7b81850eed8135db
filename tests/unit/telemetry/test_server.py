"""The ops endpoints over ASGI: what they say, to whom, and with which headers."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.support.ops import Ops, make_picture
from tilewatch.telemetry.guard import is_own_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

TOKEN = "right-token"  # noqa: S105 of this test alone
ADDRESS = "http://127.0.0.1:9464"


@pytest.fixture
def get(run: Run) -> Callable[..., httpx.Response]:
    """Ask an application for a path."""

    def ask(ops: Ops, path: str, *, method: str = "GET", base: str = ADDRESS, **headers: str) -> httpx.Response:
        async def scenario() -> httpx.Response:
            transport = httpx.ASGITransport(ops.app())
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, headers=headers)

        found: httpx.Response = run(scenario())
        return found

    return ask


def test_health_is_green_only_when_warm_and_moving(get: Callable[..., httpx.Response]) -> None:
    """Live from the start, ready once warm; a stall turns both red with its name, a drain only the second."""
    ops = Ops()
    assert (get(ops, "/healthz/live").status_code, get(ops, "/healthz/ready").status_code) == (200, 503)
    ops.health.warmed_up()
    assert (get(ops, "/healthz/ready").status_code, get(ops, "/healthz/ready").text) == (200, "ok\n")
    with ops.health.watch("file-0", {"encode": lambda: float("-1e9")}):
        for path in ("/healthz/live", "/healthz/ready"):
            answer = get(ops, path)
            assert answer.status_code == 503
            assert answer.text.startswith("file-0: encode has not moved for")
    ops.health.drain()
    assert (get(ops, "/healthz/live").status_code, get(ops, "/healthz/ready").status_code) == (200, 503)


def test_metrics_speak_both_formats(get: Callable[..., httpx.Response]) -> None:
    """Plain text for everybody, OpenMetrics for who prefers it; both parse and hold the same metrics."""
    plain = get(Ops(), "/metrics")
    open_metrics = get(Ops(), "/metrics", accept="application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    parsed = openmetrics.text_string_to_metric_families(open_metrics.text)  # type: ignore[no-untyped-call]
    names = {family.name for family in parsed}
    assert "tilewatch_frames" in names
    facts = {f"tilewatch_{what}{end}" for what in ("engine", "decoder", "encoder") for end in ("", "_info")}
    assert names ^ {family.name for family in parse_text(plain.text)} == facts


def test_status_is_json_with_the_time_left(get: Callable[..., httpx.Response]) -> None:
    """The whole record, and the estimate of every job."""
    found = json.loads(get(Ops(), "/status").text)
    assert found["engine"]["backend"] == "openvino"
    assert [job["eta_seconds"] for job in found["running"]] == [pytest.approx(207.9, abs=0.1), None]
    assert found["running"][0]["bars"][0] == {"stage": "decode", "items": 3, "capacity": 3}


def test_frame_is_there_once_one_was_annotated(get: Callable[..., httpx.Response]) -> None:
    """No picture is 404, not an empty one."""
    assert get(Ops(), "/frame.jpg").status_code == 404
    answer = get(Ops(picture=make_picture()), "/frame.jpg")
    assert (answer.headers["content-type"], answer.content[:2]) == ("image/jpeg", b"\xff\xd8")


def test_nothing_is_kept_or_embedded_by_others(get: Callable[..., httpx.Response]) -> None:
    """Every answer, refusals included, says no-store and nosniff; the page brings its policy."""
    for path in ("/", "/status", "/metrics", "/healthz/live", "/nothing"):
        headers = get(Ops(token=TOKEN), path).headers
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert "frame-ancestors 'none'" in get(Ops(), "/").headers["content-security-policy"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_endpoints_only_read(get: Callable[..., httpx.Response], method: str) -> None:
    """There is nothing to change here."""
    assert get(Ops(), "/status", method=method).status_code == 405


def basic(password: str) -> str:
    """Return the header of a browser's log-in."""
    return f"Basic {base64.b64encode(f'any:{password}'.encode()).decode()}"


def test_token_opens_everything_and_healthz_needs_none(get: Callable[..., httpx.Response]) -> None:
    """Bearer for machines, log-in for browsers; nothing else lets anybody in, the address least of all."""
    ops = Ops(token=TOKEN)
    for path in ("/", "/status", "/metrics", "/frame.jpg", "/nothing", "//healthz/live", "/healthz"):
        assert get(ops, path).status_code == 401
    assert get(ops, "/healthz/live").status_code == 200
    for right in ("Bearer right-token", "bearer right-token", basic(TOKEN)):
        assert get(ops, "/status", authorization=right).status_code == 200
    wrong = (
        "Bearer right-toke",
        "Bearer right-token2",
        "right-token",
        "Bearer",
        basic("x"),
        "Basic !",
        "Basic cmlnaHQ=",
    )
    for value in wrong:
        answer = get(ops, "/status?token=right-token", authorization=value)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")


def test_name_of_an_outsider_is_refused_without_a_token(get: Callable[..., httpx.Response]) -> None:
    """DNS rebinding: a page of evil.example that points its own name here learns nothing."""
    answer = get(Ops(), "/status", base="http://evil.example:9464")
    assert answer.status_code == 421
    assert "set METRICS_TOKEN" in answer.text
    open_to_all = get(Ops(token=TOKEN), "/status", base="http://cam.example", authorization=basic(TOKEN))
    assert open_to_all.status_code == 200


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1:9464", True),
        ("10.2.3.4", True),
        ("[::1]:9464", True),
        ("[fd00::7]", True),
        ("localhost:9464", True),
        ("tilewatch:9464", True),
        ("tilewatch.localhost:9464", True),
        ("", True),
        ("evil.example:9464", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:80", False),
        ("evil.example.", False),
    ],
)
def test_own_names_have_no_dot(host: str, own: bool) -> None:
    """Addresses, localhost and the names of compose services are ours; domain names may be anybody's."""
    assert is_own_name(host) is own
