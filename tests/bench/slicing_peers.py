"""Cuts, detects, merges, tracks, draws and writes a video with other libraries; runs in an environment of theirs.

A process of bench_peers: SAHI's sliced prediction or supervision's InferenceSlicer, then `trackers`' ByteTrack,
supervision's annotators, OpenCV's reader and writer. `lean` and `usual`: the tiles and thresholds of `tilewatch run`,
the model by ONNX Runtime behind the leanest adapter that could be written, or behind ultralytics as people have it.
`defaults`: ultralytics, and everything as the libraries have it.

    python slicing_peers.py {sahi,supervision} {lean,usual,defaults} CLIP MODEL OUT.mp4 FRAMES
"""

from __future__ import annotations

import json
import os
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnxruntime
import supervision as sv
from sahi import AutoDetectionModel
from sahi.models.base import DetectionModel
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction
from trackers import ByteTrackTracker

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]
    Detect = Callable[[Picture], Any]

TILE, OVERLAP = 640, 96
CONFIDENCE, IOU = 0.25, 0.5
CLASSES = [str(number) for number in range(80)]


class Lean:
    """YOLOv8 by ONNX Runtime, on as many threads as there are cores, and nothing that is not needed."""

    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, picture: Picture) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Return boxes (N, 4), scores and classes of an RGB picture of the model's size."""
        head = self._session.run(None, {self._input: cv2.dnn.blobFromImage(picture, 1 / 255)})[0][0]
        best = head[4:].max(axis=0)
        sure = np.flatnonzero(best >= CONFIDENCE)
        centre, size, scores, label = head[:2, sure].T, head[2:4, sure].T, best[sure], head[4:, sure].argmax(axis=0)
        corner = centre - size / 2
        rows: Any = np.hstack([corner, size])  # OpenCV's stub knows lists only
        keep = np.asarray(cv2.dnn.NMSBoxesBatched(rows, scores, label, CONFIDENCE, IOU), np.intp)
        return np.hstack([corner, corner + size])[keep], scores[keep], label[keep]


class LeanModel(DetectionModel):  # type: ignore[misc]
    """The same for SAHI."""

    def load_model(self) -> None:
        """Load the model."""
        self.model = Lean(str(self.model_path))
        self.category_mapping = dict(zip(CLASSES, CLASSES, strict=True))

    def perform_inference(self, image: Picture) -> None:
        """Keep what the model says of one tile."""
        self._original_predictions = self.model(image)

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        """Turn it into SAHI's objects."""
        shift, shape = shift_amount_list[0], full_shape_list[0]
        rows = zip(*(part.tolist() for part in self._original_predictions), strict=True)
        self._object_prediction_list_per_image = [
            [
                ObjectPrediction(
                    bbox=[max(0, value) for value in box],
                    score=score,
                    category_id=label,
                    category_name=CLASSES[label],
                    shift_amount=shift,
                    full_shape=shape,
                )
                for box, score, label in rows
            ]
        ]


def sahi(model: str, mode: str) -> Detect:
    """Return SAHI's sliced prediction of an RGB picture, as supervision's detections."""
    kind: dict[str, Any] = {"model_path": model, "confidence_threshold": CONFIDENCE, "device": "cpu"}
    lean, ratio = mode == "lean", OVERLAP / TILE
    detector = LeanModel(**kind) if lean else AutoDetectionModel.from_pretrained("ultralytics", task="detect", **kind)
    ours = {"overlap_height_ratio": ratio, "overlap_width_ratio": ratio, "perform_standard_pred": False}
    options = {} if mode == "defaults" else ours

    def detect(picture: Picture) -> sv.Detections:
        found = get_sliced_prediction(picture, detector, TILE, TILE, verbose=0, **options).object_prediction_list
        if not found:
            return sv.Detections.empty()
        return sv.Detections(
            xyxy=np.array([item.bbox.to_xyxy() for item in found], np.float32),
            confidence=np.array([item.score.value for item in found], np.float32),
            class_id=np.array([item.category.id for item in found]),
        )

    return detect


def supervision(model: str, mode: str) -> Detect:
    """Return supervision's InferenceSlicer."""
    options = {} if mode == "defaults" else {"slice_wh": TILE, "overlap_wh": OVERLAP}
    slicer: Detect = sv.InferenceSlicer(_lean(model) if mode == "lean" else _usual(model), **options)
    return slicer


def _lean(model: str) -> Detect:
    lean = Lean(model)

    def look(tile: Picture) -> sv.Detections:
        xyxy, score, label = lean(tile)
        return sv.Detections(xyxy=xyxy, confidence=score, class_id=label)

    return look


def _usual(model: str) -> Detect:
    from ultralytics import YOLO  # noqa: PLC0415 large, and not for `lean`

    yolo = YOLO(model, task="detect")
    return lambda tile: sv.Detections.from_ultralytics(yolo(tile[:, :, ::-1], conf=CONFIDENCE, verbose=False)[0])


PEERS = {"sahi": sahi, "supervision": supervision}


def process(detect: Detect, tracker: ByteTrackTracker, clip: str, out: str, frames: int) -> dict[str, float]:
    """Process a video; returns how many frames and how many boxes a frame there were."""
    box, text, count, boxes = sv.BoxAnnotator(), sv.LabelAnnotator(), 0, 0
    with sv.VideoSink(out, sv.VideoInfo.from_video_path(clip)) as sink:
        for frame in islice(sv.get_video_frames_generator(clip), frames):
            found = tracker.update(detect(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)))
            labels = [f"{label} {track}" for label, track in zip(found.class_id, found.tracker_id, strict=True)]
            sink.write_frame(text.annotate(box.annotate(frame, found), found, labels))
            count, boxes = count + 1, boxes + len(found)
    return {"frames": count, "boxes": boxes / count}


def main() -> None:
    """Do as the command line says."""
    peer, mode, clip, model, out, frames = sys.argv[1:]
    detect = PEERS[peer](model, mode)
    thresholds = {"track_activation_threshold": CONFIDENCE, "high_conf_det_threshold": CONFIDENCE}
    tracker = ByteTrackTracker(**({} if mode == "defaults" else thresholds))
    print(json.dumps(process(detect, tracker, clip, out, int(frames))))


if __name__ == "__main__":
    main()
