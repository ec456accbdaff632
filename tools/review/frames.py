"""Val images on which a change made the detections right, or no longer right."""

from pathlib import Path

import cv2
import numpy as np

from stages.common.coco import read_image
from stages.common.files import write_bytes
from stages.evaluation.matching import by_image, corners, match
from stages.report.figures import view

SHOWN = 5  # in either direction


def changed_images(coco: dict, runs: list[dict[int, list[dict]]]) -> list[tuple[dict, bool]]:
    """Return the images whose outcome changed, in their order, and whether they are right now.

    Args:
        coco: the val list.
        runs: before and after, the detections that one variant reports, see `by_image`.
    """
    truth = by_image(coco["annotations"])
    changed = []
    for image in coco["images"]:
        was, now = (is_right(truth[image["id"]], run[image["id"]]) for run in runs)
        if was != now:
            changed.append((image, now))
    return changed


def is_right(truth: list[dict], found: list[dict]) -> bool:
    """Return whether every object was found in its class, and nothing else was found."""
    matches = match(truth, found)
    return len(matches) == len(found) and all(index is not None for index, _ in matches)


def write_picture(
    out: Path, images_dir: Path, image: dict, coco: dict, runs: list[dict[int, list[dict]]]
) -> None:
    """Draw the image before the change and below it after: labels green, detections red."""
    image_bgr = read_image(images_dir / image["file_name"])
    truth_xyxy = corners(by_image(coco["annotations"])[image["id"]])
    views = []
    for run in runs:
        own = run[image["id"]]
        views.append(view(image_bgr, truth_xyxy, corners(own), np.array([r["score"] for r in own])))
    write_bytes(out, cv2.imencode(".jpg", np.concatenate(views))[1].tobytes())
