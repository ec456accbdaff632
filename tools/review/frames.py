"""Val frames that a change turned from right to wrong, or from wrong to right."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from stages.common.coco import read_image
from stages.common.files import write_bytes
from stages.report.differences import SAME_BOX_IOU, by_image, corners, iou
from stages.report.figures import view

SHOWN = 5  # in either direction


@dataclass(frozen=True)
class Turned:
    """A frame whose outcome changed."""

    image: dict
    now_right: bool


def turned(coco: dict, before: list[dict], after: list[dict], confidence: float) -> list[Turned]:
    """Frames whose outcome changed, in their order.

    Args:
        coco: the val list.
        before, after: detections of one variant, rows of COCO result files.
        confidence: detections below this score are not looked at, 0..1.
    """
    truth = by_image(coco["annotations"])
    sides = [by_image([r for r in rows if r["score"] >= confidence]) for rows in (before, after)]
    found = []
    for image in coco["images"]:
        was, now = (right(truth[image["id"]], side[image["id"]]) for side in sides)
        if was != now:
            found.append(Turned(image, now))
    return found


def right(truth: list[dict], found: list[dict]) -> bool:
    """Whether every object was found, in its class, and nothing else was."""
    left = list(found)
    for box in truth:
        overlaps = [
            iou(box, row) if row["category_id"] == box["category_id"] else 0.0 for row in left
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best < 0 or overlaps[best] < SAME_BOX_IOU:
            return False
        left.pop(best)
    return not left


def write_picture(
    out: Path, images_dir: Path, image: dict, coco: dict, sides: list[list[dict]], confidence: float
) -> None:
    """The frame before the change, and below it after: labels green, detections red."""
    image_bgr = read_image(images_dir / image["file_name"])
    truth_xyxy = corners([a for a in coco["annotations"] if a["image_id"] == image["id"]])
    views = []
    for rows in sides:
        own = [r for r in rows if r["image_id"] == image["id"] and r["score"] >= confidence]
        scores = np.array([row["score"] for row in own])
        views.append(view(image_bgr, truth_xyxy, corners(own), scores))
    write_bytes(out, cv2.imencode(".jpg", np.concatenate(views))[1].tobytes())
