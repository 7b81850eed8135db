"""Metrics: their names are a promise, and their number does not grow with what is processed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.loops import run_on
from tilewatch.flow.channel import Channel
from tilewatch.flow.pipeline import Pipeline, Step
from tilewatch.telemetry import metrics
from tilewatch.telemetry.health import Health
from tilewatch.telemetry.metrics import STAGES
from tilewatch.telemetry.streams import FileSlots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

PROMTOOL = shutil.which("promtool")
COUNTED = ("_total", "_bucket", "_count", "_sum", "_info")


def samples(made: metrics.Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the value of every series of ours, by name and labels."""
    text = generate_latest(made.registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("tilewatch_")
    }


async def numbers(_: AsyncIterator[Any]) -> AsyncGenerator[int, None]:
    """Yield two items."""
    for item in range(2):
        yield item


async def through(inbox: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    """Yield what comes."""
    async for item in inbox:
        yield item


async def process(name: str, made: metrics.Metrics, label: str) -> None:
    """Send a video of two frames through five stages."""
    steps = [Step(name=stage, stage=through if index else numbers) for index, stage in enumerate(STAGES)]
    stream = made.stream(label)
    await Pipeline(name, steps, stream).run()
    stream.skipped("tile")
    stream.written(0.1, {"kept": 3, "merged": 1, "suppressed": 0}, {"inferred": 8}, {"person": 2})


def test_a_thousand_videos_leave_no_more_series_than_four() -> None:
    """Series follow how many run at a time, not how many there were; the counts go on across them."""
    made, slots = metrics.create(), FileSlots()

    async def videos(count: int) -> int:
        for first in range(0, count, 4):
            with ExitStack() as held:
                for number in range(first, first + 4):
                    await process(f"video {number}.mp4", made, held.enter_context(slots.take()))
        return len(samples(made))

    few = run_on("uvloop", videos(4))
    assert run_on("uvloop", videos(1000)) == few
    found = samples(made)
    assert {value for _, labels in found for key, value in labels if key == "stream"} == {f"file-{i}" for i in range(4)}
    assert found["tilewatch_frames_processed_total", frozenset()] == 2 * 1004
    assert not [name for name, _ in found if name.startswith("tilewatch_channel_items")]


def test_slots_are_reused_lowest_first() -> None:
    """A label is free again when its video has ended, and never shared by two that run."""
    slots = FileSlots()
    with slots.take() as first, ExitStack() as second:
        assert (first, second.enter_context(slots.take())) == ("file-0", "file-1")
        second.close()
        with slots.take() as again, slots.take() as third:
            assert (again, third) == ("file-1", "file-2")
    with slots.take() as label:
        assert label == "file-0"


def test_channels_are_read_at_the_scrape_and_go_with_their_stream(run: Run) -> None:
    """Fill and capacity of every channel while it runs; nothing afterwards."""
    made = metrics.create()
    seen: list[dict[Any, float]] = []

    async def look(inbox: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        async for item in inbox:
            seen.append(await asyncio.to_thread(samples, made))
            yield item

    line = Pipeline(
        "clip", [Step(name="decode", stage=numbers, capacity=5), Step(name="encode", stage=look)], made.stream("cam")
    )
    run(line.run())
    where = frozenset({("stream", "cam"), ("stage", "decode")})
    assert seen[0]["tilewatch_channel_capacity_items", where] == 5
    assert seen[0]["tilewatch_channel_items", where] in {0, 1}
    assert seen[0]["tilewatch_stream_up", frozenset({("stream", "cam")})] == 1
    after = samples(made)
    assert ("tilewatch_channel_items", where) not in after
    assert after["tilewatch_stream_up", frozenset({("stream", "cam")})] == 0


def test_counts_that_may_alert_start_at_zero() -> None:
    """A first failure is an increase only where the count was there before; the queue to scale on is what is ready."""
    made = metrics.create()
    found = samples(made)
    assert found["tilewatch_job_failures_total", frozenset({("reason", "bad_input")})] == 0
    assert found["tilewatch_jobs", frozenset({("state", "failed")})] == 0
    made.count_jobs({"ready": 7, "done": 2})
    assert samples(made)["tilewatch_job_queue_depth", frozenset()] == 7
    assert samples(made)["tilewatch_jobs", frozenset({("state", "done")})] == 2


def test_classes_are_told_apart_up_to_a_hundred() -> None:
    """A model of a thousand classes is no thousand series: what comes after the first hundred is counted together."""
    made = metrics.create()
    stream = made.stream("cam")
    for number in range(1000):
        stream.written(0.1, {}, {}, {f"class_{number}": 1})
    stream.written(0.1, {}, {}, {"class_7": 2, "class_900": 3})
    found = {dict(labels)["class"]: value for (name, labels), value in samples(made).items() if "tracks" in name}
    assert len(found) == 101
    assert found["class_7"] == 3
    assert found["other"] == 900 + 3


def test_health_is_read_at_the_scrape() -> None:
    """Not ready before the engine is warm; a stage that stands still is counted, and makes it not ready."""
    made, now = metrics.create(), [0.0]
    health = Health(60, clock=lambda: now[0])
    made.follow(health)

    def shown() -> tuple[float, float]:
        found = samples(made)
        return found["tilewatch_ready", frozenset()], found["tilewatch_stalled_stages", frozenset()]

    assert shown() == (0, 0)
    health.warmed_up()
    assert shown() == (1, 0)
    with health.working("file-0", "encode"):
        now[0] = 61
        assert shown() == (0, 1)
    assert shown() == (1, 0)


def exposed() -> str:
    """Return the text of metrics that all have a value."""
    made = metrics.create()
    stream = made.stream("file-0")
    stream.given("infer", 0.1)
    stream.given("encode", 0.1)
    stream.restarted("stream_failed")
    stream.waited("decode", 1)
    stream.written(0.1, {"kept": 1}, {"inferred": 8}, {"person": 1})
    made.batch_done(8, 0.01)
    made.disk_free.labels(volume="output").set(1)
    made.disk_size.labels(volume="output").set(1)
    made.disk_reserve.labels(volume="output").set(1)
    made.build_info.labels(version="1").set(1)
    made.engine_opened(backend="openvino", device="CPU", precision="f32", model="m.onnx", sha256="0")
    with stream.running([Channel[int]("decode", 3)]):
        return generate_latest(made.registry).decode()


def test_names_follow_the_rules_of_prometheus() -> None:
    """Ours have the prefix, a help text, a base unit and, where they count, `_total`; no colon, no camel case."""
    families = [found for found in text_string_to_metric_families(exposed()) if not found.name.startswith("process_")]
    assert len(families) > 20
    for family in families:
        assert family.name.startswith("tilewatch_")
        assert family.name == family.name.lower()
        assert ":" not in family.name
        assert family.documentation.endswith(".")
        assert not family.name.endswith(
            ("_milliseconds", "_ms", "_minutes", "_megabytes", "_percent", "_count", "_sum")
        )
        counts = all(sample.name.endswith(COUNTED) for sample in family.samples)
        assert counts == (family.type in {"counter", "histogram"} or family.name.endswith("_info"))
        assert not {"le", "quantile", "instance", "job"} & {*family.samples[0].labels} or family.type == "histogram"


@pytest.mark.skipif(PROMTOOL is None, reason="no promtool on this machine: apt-get install prometheus")
def test_promtool_has_nothing_to_say() -> None:
    """`promtool check metrics` is clean."""
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=exposed(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
