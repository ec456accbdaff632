"""Match boxes of two lists by their overlap, as COCO does: greedily, within a class, each once."""

from collections import defaultdict

import numpy as np

SAME_BOX_IOU = 0.5


def iou_matrix(a_xyxy: np.ndarray, b_xyxy: np.ndarray) -> np.ndarray:
    """Return the IoU of every box [n, 4] with every box [m, 4]: float [n, m], 0 for empty ones."""
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a_xyxy, b_xyxy)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def match(rows: list[dict], others: list[dict]) -> list[tuple[int | None, float]]:
    """Give every row the free box of its class that overlaps it most.

    Args:
        rows: with `bbox` and `category_id`; the first chooses first, so detections are sorted by
            falling score, as `evaluate` writes them.
        others: the same.

    Returns:
        For each row the index of its match in `others` and their IoU; None and 0 where no free
        box of the class reaches SAME_BOX_IOU.
    """
    classes = [np.array([row["category_id"] for row in side], int) for side in (rows, others)]
    overlaps = iou_matrix(corners(rows), corners(others))
    overlaps[classes[0][:, None] != classes[1][None]] = 0
    found = []
    for ious in overlaps:
        best = int(ious.argmax()) if len(ious) else None
        if best is None or ious[best] < SAME_BOX_IOU:
            found.append((None, 0.0))
            continue
        found.append((best, float(ious[best])))
        overlaps[:, best] = 0
    return found


def difference(rows_a: list[dict], rows_b: list[dict]) -> float:
    """Sum up how much two lists of detections of one image differ.

    A box that only one of them has adds its score; a box that both have adds the difference of
    its scores and 1 - IoU.
    """
    total, only_b = 0.0, set(range(len(rows_b)))
    for row, (index, iou) in zip(rows_a, match(rows_a, rows_b), strict=True):
        if index is None:
            total += row["score"]
        else:
            total += abs(row["score"] - rows_b[index]["score"]) + 1 - iou
            only_b.remove(index)
    return total + sum(rows_b[index]["score"] for index in only_b)


def by_image(rows: list[dict], confidences: list[float] | None = None) -> dict[int, list[dict]]:
    """Group rows by image id, in their order, without detections below that of their class."""
    grouped = defaultdict(list)
    for row in rows:
        if confidences is None or row["score"] >= confidences[row["category_id"] - 1]:
            grouped[row["image_id"]].append(row)
    return grouped


def corners(rows: list[dict]) -> np.ndarray:
    """Return boxes_xyxy [n, 4] of rows with `bbox`."""
    boxes_xywh = np.array([row["bbox"] for row in rows], float).reshape(-1, 4)
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
