"""Objects over frames: the same object keeps its id."""

from dataclasses import replace

import numpy as np

from detector.core.frame_detector import Detections
from detector.video.sources import OptionError

try:
    import supervision
    from trackers import ByteTrackTracker
    from trackers.utils.iou import BIoU
except ModuleNotFoundError as error:
    raise OptionError(
        "objects are followed by the package trackers, which is not installed: pip install trackers"
    ) from error

LOWEST = 0.1  # score of a box that may go on with a track; ByteTrack's own value
LOST_S = 1.0  # an object that is not seen for so long gets another id
FPS = 30.0  # that ByteTrack counts its frames in
# Boxes are compared with a margin of their own width and height on each side (buffered IoU): a
# plate moves farther than its own height in 0.2 s. See docs/LOG.md.
MARGIN = 1.0


class Tracker:
    """Gives the objects of one source their ids, by ByteTrack (Zhang et al., 2022).

    A track begins with two boxes of at least `confidence` in a row, and goes on with boxes of at
    least LOWEST. Objects of each class are followed apart.

    Args:
        confidence: of a detection that is reported; float32 [classes] where classes differ.
        classes: number of classes of the model.
    """

    def __init__(self, confidence: float | np.ndarray, classes: int):
        self.confidence = np.broadcast_to(confidence, classes)
        self.of_class: dict[int, ByteTrackTracker] = {}
        self.found: Detections | None = None
        self.speed_xyxy, self.at_s = np.zeros((0, 4), np.float32), 0.0

    def __call__(self, found: Detections, time_s: float) -> Detections:
        """Return the detections that are reported, with `tracker_id`.

        Args:
            found: detections of at least LOWEST.
            time_s: of the frame; not before that of the last call.
        """
        ids = np.full(len(found), -1)
        for index in {*self.of_class, *found.class_id.tolist()}:
            rows = np.flatnonzero(found.class_id == index)
            own = self.follow(index, found.xyxy[rows], found.confidence[rows], time_s)
            ids[rows] = np.where(own < 0, -1, own * len(self.confidence) + index + 1)
        wanted = found.confidence >= self.confidence[found.class_id]
        tracked = chosen(replace(found, tracker_id=ids), wanted | (ids >= 0))
        self.speed_xyxy = self.speed(tracked, time_s)
        self.found, self.at_s = tracked, time_s
        return tracked

    def follow(
        self, index: int, boxes_xyxy: np.ndarray, scores: np.ndarray, time_s: float
    ) -> np.ndarray:
        """Return the ids, from 0, of boxes of one class; -1 for none."""
        if index not in self.of_class:
            least = float(self.confidence[index])
            self.of_class[index] = ByteTrackTracker(
                round(LOST_S * FPS), FPS, least, high_conf_det_threshold=least, iou=BIoU(MARGIN)
            )
        rows = np.arange(len(scores))
        given = supervision.Detections(boxes_xyxy, confidence=scores, class_id=rows)
        found, own = self.of_class[index].update(given, timestamp=time_s), np.full(len(scores), -1)
        if len(found):
            own[found.class_id] = found.tracker_id
        return own

    def speed(self, found: Detections, time_s: float) -> np.ndarray:
        """Return how fast each box moves, pixels a second; 0 for one that was not there before."""
        speed, before = np.zeros_like(found.xyxy), self.found
        if before is not None and time_s > self.at_s:
            _, new, old = np.intersect1d(found.tracker_id, before.tracker_id, return_indices=True)
            new, old = new[found.tracker_id[new] >= 0], old[before.tracker_id[old] >= 0]
            speed[new] = (found.xyxy[new] - before.xyxy[old]) / (time_s - self.at_s)
        return speed

    def carried_on(self, time_s: float) -> Detections:
        """Return the last detections, moved on to a later time as fast as they moved before."""
        passed_s = min(time_s - self.at_s, LOST_S)
        return replace(self.found, xyxy=self.found.xyxy + passed_s * self.speed_xyxy)


def chosen(found: Detections, rows: np.ndarray) -> Detections:
    """Return some of the detections.

    Args:
        found: all of them, with `tracker_id`.
        rows: bool [n].
    """
    names = [name for name, row in zip(found.class_names, rows, strict=True) if row]
    arrays = {key: getattr(found, key)[rows] for key in
              ("xyxy", "confidence", "class_id", "tracker_id")}  # fmt: skip
    return replace(found, class_names=names, **arrays)
