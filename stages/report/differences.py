"""The val images on which two variants disagree most."""

from dataclasses import dataclass

import numpy as np

from stages.evaluation.matching import by_image, corners, difference


@dataclass(frozen=True)
class Frame:
    """One val image as two variants see it.

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
    coco: dict, rows_a: list[dict], rows_b: list[dict], confidences: list[float], count: int
) -> list[Frame]:
    """Return the images with the largest differences, largest first.

    Args:
        coco: the val list.
        rows_a, rows_b: detections of two variants, rows of COCO result files.
        confidences: of each class; detections below are ignored, 0..1.
        count: how many images.
    """
    truth = by_image(coco["annotations"])
    variants = [by_image(rows, confidences) for rows in (rows_a, rows_b)]
    frames = []
    for image in coco["images"]:
        a, b = (rows[image["id"]] for rows in variants)
        found = tuple((corners(rows), np.array([r["score"] for r in rows])) for rows in (a, b))
        frames.append(Frame(image, corners(truth[image["id"]]), found, difference(a, b)))
    return sorted(frames, key=lambda frame: (-frame.difference, frame.image["id"]))[:count]
