"""Accuracy of detections by the COCO protocol, computed by pycocotools.

Protocol: average precision over IoU 0.50 to 0.95, 101 recall points, at most 100 detections an
image (https://cocodataset.org/#detection-eval). Areas are in pixels of the original frame.
"""

import contextlib
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from stages.common.coco import read_image

SUMMARY = {
    "AP": 0, "AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5, "AR100": 8,
}  # fmt: skip


def detect_images(detector, images: Iterable[dict], images_dir: Path) -> list[dict]:
    """Detect in the images of a COCO file.

    Args:
        detector: takes image_bgr and returns `Detections`, see `detector.core.frame_detector`.
        images: entries of its list `images`.
        images_dir: the folder that their file names are relative to.

    Returns:
        Rows of a COCO result file.
    """
    rows = []
    for image in images:
        found = detector(read_image(images_dir / image["file_name"]))
        rows += coco_rows(image["id"], found.xyxy, found.confidence, found.class_id)
    return rows


def coco_rows(image_id: int, boxes_xyxy: np.ndarray, scores: np.ndarray, classes: np.ndarray):
    """Yield the detections of one image as rows of a COCO result file."""
    for (x0, y0, x1, y1), score, index in zip(
        boxes_xyxy.tolist(), scores.tolist(), classes.tolist(), strict=True
    ):
        yield {
            "image_id": image_id,
            "category_id": index + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score": score,
        }


def score(coco: dict, rows: list[dict]) -> COCOeval:
    """Compare detections with the truth.

    Args:
        coco: the true boxes, as `read_coco` returns them.
        rows: detections, as `coco_rows` yields them.

    Returns:
        pycocotools' evaluation after `summarize`.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"info": {}, **coco}
        truth.createIndex()
        found = truth.loadRes(rows) if rows else COCO()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.params.imgIds = [image["id"] for image in coco["images"]]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def accuracy(coco: dict, evaluation: COCOeval) -> dict:
    """Return the figures of an evaluation, rounded to 4 digits.

    Returns:
        AP, AP50, AP75, AP_small, AP_medium, AP_large, AR100 (null where the truth has no such
        box), images, boxes, and AP and AP50 by class name.
    """
    precision = evaluation.eval["precision"]  # [IoU, recall, class, area, detections]
    per_class = {
        category["name"]: {
            "AP": mean_known(precision[:, :, index, 0, -1]),
            "AP50": mean_known(precision[0, :, index, 0, -1]),
        }
        for index, category in enumerate(coco["categories"])
    }
    summary = {name: known(evaluation.stats[index]) for name, index in SUMMARY.items()}
    counts = {"images": len(coco["images"]), "boxes": len(coco["annotations"])}
    return {**summary, **counts, "per_class": per_class}


def precision_recall(evaluation: COCOeval) -> list[tuple[float, float]]:
    """Return recall and precision at IoU 0.5, averaged over classes, at the 101 recall points."""
    precision = evaluation.eval["precision"][0, :, :, 0, -1]
    known_classes = precision[:, (precision > -1).all(axis=0)]
    mean = known_classes.mean(axis=1) if known_classes.size else np.zeros(len(precision))
    recall = evaluation.params.recThrs
    return [(round(float(r), 2), round(float(p), 4)) for r, p in zip(recall, mean, strict=True)]


def mean_known(values: np.ndarray) -> float | None:
    """Average without the -1 by which pycocotools marks what the truth has no box for."""
    return known(values[values > -1].mean()) if (values > -1).any() else None


def known(value: float) -> float | None:
    return round(float(value), 4) if value > -1 else None
