"""A record of each object while it is seen, and a table of those that left."""

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import cv2
import numpy as np

from detector.core.frame_detector import Detections
from detector.tracking.tracker import LOST_S
from detector.tracking.zones import Crossings, Shape, draw_shapes
from detector.video.sinks import locked
from detector.video.sources import Frame

COLUMNS = "event", "source", "id", "label", "first_s", "last_s", "left_at", "frames", "score", "did"
EVENTS = "events.csv"
FORMULA = "=+-@\t\r"  # a spreadsheet would compute a cell that begins with one


@dataclass
class Seen:
    """An object.

    Attributes:
        source: where it was seen.
        number: its id there.
        label: its class.
        first_s, last_s: times of the first and last frame that it was in.
        frames: number of frames in which it was seen.
        score: the best, 0..1.
        did: lines that it crossed and zones that it was in, in this order.
        crop_bgr: its best view, uint8 [height, width, 3].
        detail: of the best view, see `detail`.
    """

    source: str
    number: int
    label: str
    first_s: float
    last_s: float
    frames: int = 0
    score: float = 0.0
    did: list[str] = field(default_factory=list)
    crop_bgr: np.ndarray | None = None
    detail: float = -1.0


class ObjectLog:
    """Follows what the objects of one source do.

    Args:
        shapes: lines and zones that count them.
        ended: takes each object that left; None if nobody wants to know, and then nothing is cut
            out of frames.

    Attributes:
        counts: by zone the objects that were in it, by line and direction those that crossed it.
    """

    def __init__(self, shapes: list[Shape], ended: Callable[[Seen], None] | None):
        self.shapes, self.ended, self.crossings = shapes, ended, Crossings(shapes)
        self.counts = dict.fromkeys(self.crossings.names(), 0)
        self.total, self.present = 0, {}

    def add(self, frame: Frame, found: Detections, seen: bool) -> None:
        """Note the objects of a frame on which nothing is drawn yet.

        Args:
            frame: the frame.
            found: detections with `tracker_id`.
            seen: True if they are where the objects are in this frame; False for a guess.
        """
        for row in np.flatnonzero(found.tracker_id >= 0):
            number, label = int(found.tracker_id[row]), found.class_names[row]
            if number not in self.present:
                self.total += 1
                self.present[number] = Seen(frame.source, number, label, frame.time_s, frame.time_s)
            one = self.present[number]
            one.last_s = frame.time_s
            if seen:
                one.frames += 1
                one.score = max(one.score, float(found.confidence[row]))
                if self.ended:
                    keep_best(one, frame.image_bgr, found.xyxy[row])
        for number, what in self.crossings(found):
            one = self.present[number]
            # Being in a zone goes on for many frames, and is one visit.
            if what not in one.did or what not in self.crossings.zones:
                one.did.append(what)
                self.counts[what] += 1
        for number, one in list(self.present.items()):
            if frame.time_s - one.last_s > LOST_S:
                self.end(number)

    def end(self, number: int) -> None:
        one = self.present.pop(number)
        if self.ended:
            self.ended(one)

    def close(self) -> None:
        """Let all objects leave: no later frame is of this video."""
        for number in list(self.present):
            self.end(number)

    def draw(self, image_bgr: np.ndarray) -> None:
        """Draw lines and zones onto a frame."""
        draw_shapes(image_bgr, self.shapes, self.counts)


def keep_best(one: Seen, image_bgr: np.ndarray, box_xyxy: np.ndarray) -> None:
    """Keep a view of an object if it shows more detail than those before."""
    x0, y0 = np.floor(box_xyxy[:2]).astype(int)
    x1, y1 = np.ceil(box_xyxy[2:]).astype(int)
    view_bgr = image_bgr[y0:y1, x0:x1]
    if view_bgr.size and (new := detail(view_bgr)) > one.detail:
        one.crop_bgr, one.detail = view_bgr.copy(), new


def detail(view_bgr: np.ndarray) -> float:
    """Measure how much can be seen: the sum of squares of the Laplacian, which grows with the size
    of a view and with its sharpness."""
    gray = cv2.cvtColor(view_bgr, cv2.COLOR_BGR2GRAY)
    return float(np.square(cv2.Laplacian(gray, cv2.CV_32F)).sum())


@contextmanager
def event_folder(folder: Path) -> Iterator[Callable[[Seen], None]]:
    """Write a line in FOLDER/events.csv for each object that left, and its best view beside it.

    Lines are added to those of earlier runs, and complete at any time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (
        locked(folder, os.O_RDONLY, folder),
        (folder / EVENTS).open("a+", newline="", encoding="utf-8") as stream,
    ):
        stream.seek(0)
        number = max(0, sum(1 for _ in csv.reader(stream)) - 1)
        table = csv.writer(stream)
        if not stream.tell():
            table.writerow(COLUMNS)

        def write(one: Seen) -> None:
            nonlocal number
            number += 1
            if one.crop_bgr is not None:
                encoded = cv2.imencode(".jpg", one.crop_bgr)[1]
                (folder / f"{number:06}.jpg").write_bytes(encoded.tobytes())
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            table.writerow(map(plain, (
                number, one.source, one.number, one.label, round(one.first_s, 3),
                round(one.last_s, 3), now, one.frames, round(one.score, 4), "; ".join(one.did),
            )))  # fmt: skip
            stream.flush()

        yield write


def plain(value: object) -> object:
    """Return a value that a spreadsheet shows as it is."""
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in FORMULA and text else value
