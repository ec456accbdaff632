"""The objects of one source: who they are, where they go, what they do."""

from collections.abc import Callable

from detector.core.frame_detector import Detections
from detector.tracking.objects import ObjectLog, Seen
from detector.tracking.tracker import Tracker
from detector.tracking.zones import Shape
from detector.video.sources import Frame


class Followed:
    """Follows the objects of a source.

    Args:
        new_tracker: makes a tracker, one for each video of a folder.
        shapes: lines and zones that count objects.
        ended: takes each object that left; None if nobody wants to know.

    Attributes:
        log: what the objects did.
    """

    def __init__(
        self,
        new_tracker: Callable[[], Tracker],
        shapes: list[Shape],
        ended: Callable[[Seen], None] | None,
    ):
        self.new_tracker, self.log, self.video = new_tracker, ObjectLog(shapes, ended), ""

    def __call__(self, frame: Frame, found: Detections, detected: bool) -> Detections:
        """Return the detections of a frame with `tracker_id`.

        Args:
            frame: the frame, on which nothing is drawn yet.
            found: its detections, also those of low scores that only go on with a track.
            detected: False if they are those of an earlier frame, since this one did not go through
                the model.
        """
        if frame.source != self.video:
            self.log.close()
            self.tracker, self.video = self.new_tracker(), frame.source
        seen = detected or not frame.moving  # where nothing moves, boxes are where they were
        if seen:
            tracked = self.tracker(found, frame.time_s)
        else:
            tracked = self.tracker.carried_on(frame.time_s)
        self.log.add(frame, tracked, seen)
        return tracked
