"""The tracker: compiled and twin give the same, and both do what is promised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.crowd import Crowd
from tilewatch.native import COMPILED, bytetrack
from tilewatch.native.bytetrack import ByteTrack, TrackArrays

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tilewatch.native.bytetrack import Mode
    from tilewatch.records import F32, I32

NOTHING = np.zeros((0, 5))
MODES = [
    {"mode": "default"},
    {"mode": "default", "high": 0.6, "new": 0.7, "buffer_seconds": 0.3, "lock_class": False},
    {"mode": "parity", "flavour": "ultralytics", "match": 0.9, "buffer_frames": 3},
    {"mode": "parity", "flavour": "original", "high": 0.6, "new": 0.7, "match": 0.9, "buffer_frames": 3},
]


@pytest.fixture(params=["compiled", "twin"])
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on the compiled core and on its numpy twin."""
    if request.param == "compiled" and not COMPILED:
        pytest.skip("the twins are asked for")
    monkeypatch.setattr(bytetrack, "COMPILED", request.param == "compiled")


promise = pytest.mark.usefixtures("both")


class Moment(NamedTuple):
    """Detections of one frame."""

    xyxy: F32
    score: F32
    label: I32
    seconds: float


def moment(rows: Iterable[Iterable[float]], seconds: float, label: int = 0) -> Moment:
    """Return a frame from rows of left, top, right, bottom, score."""
    table = np.array([list(row) for row in rows], np.float32).reshape(-1, 5)
    return Moment(table[:, :4], table[:, 4], np.full(len(table), label, np.int32), seconds)


def walk(frames: int, *, start: float = 100.0, speed: float = 3.0, rate: float = 30.0) -> Iterator[Moment]:
    """One person walking to the right."""
    for frame in range(frames):
        left = start + speed * frame
        yield moment([(left, 100, left + 40, 200, 0.9)], frame / rate)


def run(moments: Iterable[Moment], tracker: ByteTrack | None = None) -> list[TrackArrays]:
    """Return what a tracker shows of each frame."""
    tracker = tracker or ByteTrack()
    return [tracker.update(*each) for each in moments]


def ids(shown: Iterable[TrackArrays]) -> list[list[int]]:
    """Return the ids of each frame."""
    return [tracks.track_id.tolist() for tracks in shown]


def same(ours: TrackArrays, theirs: TrackArrays) -> None:
    """Assert that two frames show the same, boxes to float32 rounding."""
    for name in ("track_id", "label", "score", "age"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy, rtol=1e-5, atol=1e-3)
    assert ours.xyxy.dtype == theirs.xyxy.dtype == np.float32


# ---- equivalence


@st.composite
def streams(draw: st.DrawFn) -> list[Moment]:
    """Random scenes: births, misses, low scores, doubles, many classes, a swaying camera, gaps, unusable boxes."""
    crowd = Crowd(
        people=draw(st.integers(0, 14)),
        seed=draw(st.integers(0, 2**32 - 1)),
        missed=draw(st.sampled_from([0.0, 0.1, 0.4])),
        doubled=draw(st.sampled_from([0.0, 0.2])),
        sway=draw(st.sampled_from([0.0, 8.0, 40.0])),
        broken=draw(st.sampled_from([0.0, 0.05])),
        width=draw(st.sampled_from([300, 1200])),
    )
    gaps = draw(st.lists(st.sampled_from([1 / 30, 1 / 30, 1 / 25, 0.2, 0.5, 3.0, 0.0, -0.1]), min_size=1, max_size=30))
    empty = draw(st.sets(st.integers(0, 30), max_size=6))
    moments = []
    for frame, seconds in enumerate(np.cumsum(gaps).tolist()):
        xyxy, score, label = crowd.frame(frame)
        keep = slice(0, 0) if frame in empty else slice(None)
        moments.append(Moment(xyxy[keep], score[keep], (label + 3 * np.int32(frame % 3))[keep], seconds))
    return moments


@pytest.mark.skipif(not COMPILED, reason="there is nothing to compare with the twin")
@settings(max_examples=120)
@given(moments=streams(), options=st.sampled_from(MODES))
def test_tracker_equals_its_twin(moments: list[Moment], options: dict[str, Any]) -> None:
    """Every frame shows the same ids, classes, ages and boxes, and the same number of boxes was refused."""
    ours, twin = ByteTrack(**options), ByteTrack(**options)
    shown = run(moments, ours)
    with mock.patch.object(bytetrack, "COMPILED", new=False):
        expected = run(moments, twin)
    for tracks, theirs in zip(shown, expected, strict=True):
        same(tracks, theirs)
    assert ours.refused == twin.refused


@pytest.mark.skipif(not COMPILED, reason="there is nothing to compare with the twin")
@pytest.mark.parametrize("seed", range(3))
def test_tracker_equals_its_twin_in_a_dense_crowd(seed: int) -> None:
    """More people than vote on the camera, many shifts nearly as good as the best, arrays that have to grow."""
    crowd = Crowd(people=230, seed=seed, missed=0.1, sway=60.0, width=1500)
    moments = [Moment(*crowd.frame(frame), frame / 30) for frame in range(6)]
    shown = run(moments)
    with mock.patch.object(bytetrack, "COMPILED", new=False):
        for ours, twin in zip(shown, run(moments), strict=True):
            same(ours, twin)


@given(moments=streams(), options=st.sampled_from(MODES), data=st.data())
def test_a_restored_tracker_goes_on_as_if_nothing_had_happened(
    moments: list[Moment], options: dict[str, Any], data: st.DataObject
) -> None:
    """The state holds everything: bit for bit the same frames, and the same state, from any frame on."""
    cut = data.draw(st.integers(0, len(moments)))
    first = ByteTrack(**options)
    run(moments[:cut], first)
    second = ByteTrack(**options)
    second.restore(first.state())
    for each in moments[cut:]:
        for ours, theirs in zip(first.update(*each), second.update(*each), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert first.state() == second.state()
    assert (first.refused, first.late) == (second.refused, second.late)


VALUES = st.sampled_from([0.0, 1.0, 50.0, 50.5, 400.0, -20.0, 1e-40, 1e6, 1e8, 3e38, np.nan, np.inf, -np.inf])


@promise
@given(
    frames=st.lists(
        st.tuples(st.lists(st.tuples(VALUES, VALUES, VALUES, VALUES, VALUES), max_size=6), VALUES), max_size=12
    ),
    options=st.sampled_from(MODES),
)
@settings(max_examples=60)
def test_no_input_breaks_the_tracker(frames: list[tuple[list[tuple[float, ...]], float]], options: Any) -> None:
    """Whatever boxes and timestamps come, boxes stay finite, and a person afterwards is tracked as ever."""
    tracker = ByteTrack(**options)
    for tracks in run((moment(rows, seconds) for rows, seconds in frames), tracker):
        assert np.isfinite(tracks.xyxy).all()
    person = [each._replace(seconds=1e6 + each.seconds) for each in walk(5, start=2000)]
    last = run(person, tracker)[-1]
    assert (np.abs(last.xyxy - person[-1].xyxy).max(axis=1) < 5).any()


# ---- promises


@promise
def test_ids_count_from_one_without_gaps() -> None:
    """An id is given when an object is confirmed; what was seen only once takes none."""
    rng = np.random.default_rng(1)
    moments = []
    for each in walk(30):
        flicker = rng.uniform(300, 1500, 2)
        moments.append(moment([(*each.xyxy[0], 0.9), (*flicker, *(flicker + 50), 0.9)], each.seconds))
    late = [
        moment([(*each.xyxy[0], 0.9), (1700, 500, 1760, 620, 0.9)], 1 + each.seconds) for each in walk(2, start=190)
    ]
    shown = ids(run(moments + late))
    assert shown[0] == [1, 2]
    assert shown[1] == [1]
    assert shown[-1] == [1, 3]


@promise
def test_nothing_is_shared_between_trackers() -> None:
    """Two videos, turn by turn: each counts its own ids."""
    first, second = ByteTrack(), ByteTrack()
    for here, there in zip(walk(5), walk(5, start=800), strict=True):
        assert first.update(*here).track_id.tolist() == [1]
        assert second.update(*there).track_id.tolist() == [1]


@promise
def test_bad_boxes_are_refused_and_counted() -> None:
    """NaN, infinite, turned over and empty boxes never become tracks."""
    good = (100, 100, 140, 200, 0.9)
    bad = [
        (np.nan, 0, 10, 10, 0.9),
        (0, 0, np.inf, 10, 0.9),
        (10, 0, 0, 10, 0.9),
        (5, 5, 5, 10, 0.9),
        (5, 5, 10, 5, 0.9),
        (0, 0, 10, 10, np.nan),
    ]
    tracker = ByteTrack()
    assert ids(run([moment([*bad, good], 0), moment([good, *bad], 0.1)], tracker)) == [[1], [1]]
    assert tracker.refused == 12


@promise
@pytest.mark.parametrize("options", MODES)
def test_empty_frames_are_no_matter(options: dict[str, Any]) -> None:
    """N = 0 before, between and after; the person keeps the id."""
    person = list(walk(6))
    moments = [moment(NOTHING, 0), *person[1:3], moment(NOTHING, 0.1), *person[4:], moment(NOTHING, 0.2)]
    assert ids(run(moments, ByteTrack(**options))) == [[], [], [1], [], [1], [1], []]


@promise
def test_a_lost_object_is_found_again_within_the_buffer_and_not_after() -> None:
    """The patience is in seconds, whatever the frame rate, and over before association."""
    for rate in (5.0, 60.0):
        for absent, known in ((1.4, True), (1.6, False)):
            before = [moment([(100, 100, 140, 200, 0.9)], frame / rate) for frame in range(3)]
            gone = [moment(NOTHING, 2 / rate + step / rate) for step in range(1, int(absent * rate))]
            after = [moment([(100, 100, 140, 200, 0.9)], 2 / rate + absent + step / rate) for step in range(2)]
            assert ids(run([*before, *gone, *after]))[-1] == [1 if known else 2], (rate, absent)


@promise
def test_prediction_follows_the_timestamps() -> None:
    """Every fifth frame of a fast walk: its time is known, so the person is where prediction expects."""
    dense, sparse = list(walk(20, speed=6)), list(walk(120, speed=6))[20::8]
    assert ids(run([*dense, *sparse])) == [[1]] * (len(dense) + len(sparse))
    as_frames = [each._replace(seconds=(20 + index) / 30) for index, each in enumerate(sparse)]
    assert ids(run([*dense, *as_frames]))[-1] != [1]


@promise
def test_camera_shift_is_told_from_the_boxes() -> None:
    """A pan by half a person's width: six people in no order keep their ids, which without it (parity) they do not."""
    spots = np.array([(100, 300), (260, 180), (420, 420), (700, 240), (830, 500), (1010, 330)], float)
    moments = []
    for frame in range(12):
        shift = [35.0 * max(0, frame - 5), 0]
        boxes = np.hstack([spots + shift, spots + shift + [40, 100]])
        moments.append(moment(np.column_stack([boxes, np.full(6, 0.9)]), frame / 30))
    everyone = list(range(1, 7))
    assert ids(run(moments)) == [everyone] * 12
    assert ids(run(moments, ByteTrack(mode="parity")))[6] != everyone


@promise
def test_a_double_detection_starts_nothing() -> None:
    """A second box on a matched object, of another class as well, and two such boxes at first sight: one track."""
    pair = [(100, 100, 140, 200, 0.8), (102, 101, 141, 202, 0.9)]
    shown = run([moment(pair, frame / 30) for frame in range(4)])
    assert ids(shown) == [[1]] * 4
    np.testing.assert_allclose(shown[0].xyxy[0], pair[1][:4])


@promise
@pytest.mark.parametrize("options", MODES)
def test_of_a_seen_and_a_lost_track_in_one_place_the_older_stays(options: dict[str, Any]) -> None:
    """Somebody else ends up exactly where a person was lost: from then on it is that person."""
    stands = (100, 100, 140, 200, 0.9)
    passes = [(100 + 2 * left, 100, 140 + 2 * left, 200, 0.9) for left in range(35, -1, -1)]
    scenes = [[stands]] * 60 + [[stands, passer] for passer in passes[:16]] + [[passer] for passer in passes[16:]]
    scenes += [[stands]] * 6
    tracker = ByteTrack(**options | {"buffer_frames": 30, "buffer_seconds": 1.5})
    shown = ids(run((moment(rows, frame / 30) for frame, rows in enumerate(scenes)), tracker))
    assert shown[70] == [1, 2]
    assert shown[93:] == [[2], [], [1], [1], [1], [1], [1], [1], [1]]


@promise
def test_low_scores_continue_a_track_and_begin_none() -> None:
    """Between low and high: a known person stays, a new one is not believed; below low it is nothing."""
    people = [(100, 100, 140, 200), (500, 100, 540, 200)]
    seen = [moment([(*people[0], 0.9)], 0), moment([(*people[0], 0.2), (*people[1], 0.2)], 1 / 30)]
    unseen = moment([(*people[0], 0.05)], 2 / 30)
    assert ids(run([*seen, unseen])) == [[1], [1], []]


FREE = [{"lock_class": False}, {"mode": "parity"}, {"mode": "parity", "lock_class": True}]


@promise
@pytest.mark.parametrize("options", FREE)
def test_free_class_follows_the_last_box_and_age_counts_frames(options: dict[str, Any]) -> None:
    """Association is blind to the class; parity mode is always free."""
    moments = [each._replace(label=np.array([frame % 2], np.int32)) for frame, each in enumerate(walk(4))]
    shown = run(moments, ByteTrack(**options))
    assert [tracks.label.tolist() for tracks in shown] == [[0], [1], [0], [1]]
    assert [tracks.age.tolist() for tracks in shown] == [[0], [1], [2], [3]]


def classes(*votes: tuple[int, float]) -> list[int]:
    """Return the class that one walking person shows after each box of a class and a score."""
    walked = list(walk(len(votes)))
    for at, (label, score) in enumerate(votes):
        walked[at] = walked[at]._replace(label=np.array([label], np.int32), score=np.array([score], np.float32))
    shown = run(walked)
    assert ids(shown) == [[1]] * len(votes)
    return [int(tracks.label[0]) for tracks in shown]


@promise
def test_locked_class_is_the_one_with_the_largest_sum_of_scores() -> None:
    """One odd box changes nothing, low scores weigh little, and more evidence turns the verdict."""
    assert classes((3, 0.75), (5, 0.5), (5, 0.125), (3, 0.25), (5, 0.75)) == [3, 3, 3, 3, 5]


@promise
def test_of_equal_classes_the_one_that_led_before_is_shown() -> None:
    """No flicker between two classes that are equally likely."""
    assert classes((7, 0.5), (2, 0.5), (2, 0.25), (7, 0.25), (7, 0.25)) == [7, 7, 2, 2, 7]


@promise
def test_class_of_most_weight_wins_among_more_classes_than_are_counted() -> None:
    """Every second box is of another class out of eighty: the steady one is never forgotten, and leads for good."""
    votes = [(99, 0.75) if at % 2 else (at // 2 % 80, 0.75) for at in range(200)]
    assert classes(*votes)[10:] == [99] * 190


@promise
def test_newcomers_do_not_unseat_a_leader_they_are_only_level_with() -> None:
    """Five classes with a box each: the first one stays until one has more."""
    assert classes(*[(label, 0.5) for label in (4, 3, 2, 1, 0)]) == [4] * 5


@promise
def test_late_timestamps_are_counted_and_do_no_harm() -> None:
    """Equal, earlier and no number at all: the person keeps the id."""
    tracker, moments = ByteTrack(), list(walk(30))
    for at, stamp in ((10, moments[9].seconds), (15, 0.0), (20, float("nan"))):
        moments[at] = moments[at]._replace(seconds=stamp)
    assert ids(run(moments, tracker)) == [[1]] * 30
    assert tracker.late == 3


def test_arrays_that_do_not_fit_are_refused() -> None:
    """The kernel never reads beyond an array."""
    with pytest.raises(ValueError, match="do not fit together"):
        ByteTrack().update(np.zeros((2, 4), np.float32), np.zeros(3, np.float32), np.zeros(2, np.int32), 0.0)


def test_a_foreign_state_is_refused_and_changes_nothing() -> None:
    """Other bytes, a cut state, a state of the other mode."""
    tracker = ByteTrack()
    run(walk(3), tracker)
    before = tracker.state()
    for state in (b"", b"x" * 200, before[:-1], ByteTrack(mode="parity").state()):
        with pytest.raises(ValueError, match="no state"):
            tracker.restore(state)
    assert tracker.state() == before


@promise
@pytest.mark.parametrize("mode", ["default", "parity"])
def test_ids_go_on_from_the_first_one_given(mode: Mode) -> None:
    """The next id is what another tracker may go on with."""
    tracker = ByteTrack(mode=mode, first_id=41)
    two = [moment([(*each.xyxy[0], 0.9), (500, 100, 540, 200, 0.9)], each.seconds) for each in walk(3)]
    assert ids(run(two, tracker)) == [[41, 42]] * 3
    assert tracker.next_id == 43


def test_an_unknown_mode_and_an_id_below_one_are_refused() -> None:
    """There are two modes, and 0 means no id."""
    with pytest.raises(ValueError, match="no such tracker"):
        ByteTrack(mode="fast")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="first id 0: ids count from 1 or more"):
        ByteTrack(first_id=0)
