"""Val frames on which two variants disagree most."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

SAME_BOX_IOU = 0.5


@dataclass(frozen=True)
class Frame:
    """One val frame as two variants see it.

    Attributes:
        image: its entry in the val list.
        truth_xyxy: [n, 4] in pixels.
        found: for each variant its boxes_xyxy [m, 4] and scores [m], best first.
        difference: see `difference`.
    """

    image: dict
    truth_xyxy: np.ndarray
    found: tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    difference: float


def most_different(
    coco: dict, rows_a: list[dict], rows_b: list[dict], confidence: float, count: int
) -> list[Frame]:
    """The frames with the largest differences, largest first.

    Args:
        coco: the val list.
        rows_a, rows_b: detections of two variants, rows of COCO result files.
        confidence: detections below this score are not looked at, 0..1.
        count: how many frames.
    """
    truth = by_image(coco["annotations"])
    sides = [by_image([r for r in rows if r["score"] >= confidence]) for rows in (rows_a, rows_b)]
    frames = []
    for image in coco["images"]:
        a, b = (side[image["id"]] for side in sides)
        found = tuple((corners(rows), np.array([r["score"] for r in rows])) for rows in (a, b))
        frames.append(Frame(image, corners(truth[image["id"]]), found, difference(a, b)))
    return sorted(frames, key=lambda frame: (-frame.difference, frame.image["id"]))[:count]


def difference(rows_a: list[dict], rows_b: list[dict]) -> float:
    """How much two variants differ on one frame.

    The scores of boxes that only one of them found, and for boxes that both found the difference of
    the scores and what their overlap lacks to 1.
    """
    total, left = 0.0, list(rows_b)
    for row in rows_a:
        overlaps = [
            iou(row, other) if row["category_id"] == other["category_id"] else 0.0 for other in left
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best < 0 or overlaps[best] < SAME_BOX_IOU:
            total += row["score"]
            continue
        total += abs(row["score"] - left.pop(best)["score"]) + 1 - overlaps[best]
    return total + sum(row["score"] for row in left)


def iou(a: dict, b: dict) -> float:
    """Intersection over union of two boxes [x, y, width, height]."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = a["bbox"], b["bbox"]
    width = max(0.0, min(ax + aw, bx + bw) - max(ax, bx))
    height = max(0.0, min(ay + ah, by + bh) - max(ay, by))
    union = aw * ah + bw * bh - width * height
    return width * height / union if union else 0.0


def by_image(rows: list[dict]) -> dict[int, list[dict]]:
    """Rows by their image id, in their order."""
    grouped = defaultdict(list)
    for row in rows:
        grouped[row["image_id"]].append(row)
    return grouped


def corners(rows: list[dict]) -> np.ndarray:
    """boxes_xyxy [n, 4] of rows with `bbox`."""
    boxes_xywh = np.array([row["bbox"] for row in rows], np.float32).reshape(-1, 4)
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
