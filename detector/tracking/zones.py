"""Lines and zones in the picture, and the objects that cross and visit them."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import supervision

from detector.core.frame_detector import Detections
from detector.video.draw import write
from detector.video.sources import OptionError

COLOR_BGR = (0, 120, 200)
FARTHEST_PX = 32_000
EXPECTED = '[{"name": "gate", "points_xy": [[x, y], ...]}], in pixels; two points are a line'
STEADY = 2  # frames in a row on the other side of a line make a crossing


@dataclass(frozen=True)
class Shape:
    """A line or a zone of a picture.

    Attributes:
        name: for people.
        points_xy: int32 [n, 2], pixels of the frame; two are a line, more are a zone.
        source: the source whose frames it is for, as the command names it; None for all.
    """

    name: str
    points_xy: np.ndarray
    source: str | None = None

    @property
    def is_line(self) -> bool:
        return len(self.points_xy) == 2


def read_shapes(path: Path) -> list[Shape]:
    """Read lines and zones from a JSON file.

    Raises:
        OptionError: they are not as EXPECTED says, or two have the same name.
        OSError: the file cannot be read.
    """
    try:
        listed = json.loads(path.read_bytes())
        shapes = [
            Shape(str(one["name"]), points_of(one["points_xy"]), one.get("source"))
            for one in listed
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise OptionError(f"{path} holds no lines and zones; expected {EXPECTED}") from error
    if len({shape.name for shape in shapes}) < len(shapes):
        raise OptionError(f"{path} gives two lines or zones one name; give each its own")
    return shapes


def points_of(given: object) -> np.ndarray:
    """Return points as int32 [n, 2].

    Raises:
        ValueError: they are no pairs of numbers.
        OptionError: they are fewer than two, or far outside of any picture.
    """
    found = np.array(given, np.float64).round()
    if found.ndim != 2 or found.shape[1] != 2 or len(np.unique(found, axis=0)) < 2:
        raise OptionError(f"{given} are not two different points or more, in pixels")
    if not np.all(np.abs(found) <= FARTHEST_PX):
        raise OptionError(f"{given} are not points of a picture, in pixels")
    return found.astype(np.int32)


class Crossings:
    """Tells which objects of one source are in a zone or cross a line now, by the center of a box.

    Seen from a line's first point to its second, `right` is from its left to its right side.

    Args:
        shapes: lines and zones.
    """

    def __init__(self, shapes: list[Shape]):
        self.zones = {one.name: one.points_xy for one in shapes if not one.is_line}
        self.lines = {
            one.name: supervision.LineZone(
                *(supervision.Point(*point) for point in one.points_xy.tolist()),
                triggering_anchors=[supervision.Position.CENTER],
                minimum_crossing_threshold=STEADY,
            )
            for one in shapes
            if one.is_line
        }

    def __call__(self, found: Detections) -> list[tuple[int, str]]:
        """Return the ids of objects with what each does: the name of its zone or, of a line, the
        name and the direction."""
        known = np.flatnonzero(found.tracker_id >= 0)
        xyxy, ids = found.xyxy[known], found.tracker_id[known]
        did = []
        for name, line in self.lines.items():
            sides = line.trigger(supervision.Detections(xyxy, tracker_id=ids))
            for side, crossed in zip(("left", "right"), sides, strict=True):
                did += [(number, f"{name} {side}") for number in ids[crossed].tolist()]
        for name, points_xy in self.zones.items():
            for number, (x0, y0, x1, y1) in zip(ids.tolist(), xyxy.tolist(), strict=True):
                center_xy = (x0 + x1) / 2, (y0 + y1) / 2
                if cv2.pointPolygonTest(points_xy, center_xy, measureDist=False) >= 0:
                    did.append((number, name))
        return did

    def names(self) -> list[str]:
        """List what `__call__` can say."""
        return [f"{name} {side}" for name in self.lines for side in ("left", "right")] + [
            *self.zones
        ]


def draw_shapes(image_bgr: np.ndarray, shapes: list[Shape], counts: dict[str, int]) -> None:
    """Draw lines and zones with their counts onto a frame, in place."""
    for shape in shapes:
        points_xy = shape.points_xy.reshape(-1, 1, 2)
        cv2.polylines(image_bgr, [points_xy], not shape.is_line, COLOR_BGR, 2, cv2.LINE_AA)
        numbers = [f"{counts[f'{shape.name} {side}']} {side}" for side in ("left", "right")] if (
            shape.is_line
        ) else [str(counts[shape.name])]  # fmt: skip
        x, y = shape.points_xy[0].tolist()
        write(image_bgr, f"{shape.name}: {', '.join(numbers)}", (x, y), COLOR_BGR)
