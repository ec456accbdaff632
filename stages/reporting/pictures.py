"""Pictures of the page: frames with boxes, and curves. All are embedded, nothing is loaded."""

import csv
from pathlib import Path

import cv2
import numpy as np

from detector.detector import Detector
from detector.draw import draw_boxes
from stages.common.coco import boxes_of, read_image
from stages.common.embed import jpeg_uri, pyplot, svg
from stages.reporting.table import NAMES

PICTURE_WIDTH = 720
TRUTH_BGR, FOUND_BGR = (80, 200, 60), (40, 60, 230)


def frames(coco: dict, images_dir: Path, detectors: dict[str, Detector], count: int) -> list[dict]:
    """Val frames as each detector sees them, those with the most boxes first.

    Returns:
        For each frame its `name` and `views`: (detector's name, JPEG as data URI).
    """
    truth = boxes_of(coco)
    busiest = sorted(coco["images"], key=lambda image: (-len(truth[image["id"]]), image["id"]))
    shown = []
    for image in busiest[:count]:
        image_bgr = read_image(images_dir / image["file_name"])
        views = [
            (name, jpeg_uri(view(image_bgr, truth[image["id"]][:, :4], detector)))
            for name, detector in detectors.items()
        ]
        shown.append({"name": image["file_name"], "views": views})
    return shown


def view(image_bgr: np.ndarray, truth_xyxy: np.ndarray, detector: Detector) -> np.ndarray:
    """The frame, made smaller, with true boxes in green and found ones in red."""
    found = detector(image_bgr)
    scale = min(1.0, PICTURE_WIDTH / image_bgr.shape[1])
    small = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    draw_boxes(small, truth_xyxy * scale, [""] * len(truth_xyxy), TRUTH_BGR)
    captions = [f"{score:.2f}" for score in found.scores]
    draw_boxes(small, found.boxes_xyxy * scale, captions, FOUND_BGR)
    return small


def precision_recall_svg(curves_dir: Path) -> str:
    """Precision over recall of all variants on one axis."""
    figure, axes = pyplot.subplots(figsize=(5, 3.4))
    for key, style in zip(NAMES, ("-", "--", "-.", ":"), strict=True):
        recall, precision = columns(curves_dir / f"{key}.csv", ",", "recall", "precision")
        axes.plot(recall, precision, style, label=NAMES[key])
    axes.set(xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1), ylim=(0, 1.05))
    axes.legend()
    return svg(figure)


def training_svg(train_dir: Path) -> str:
    """Loss and AP over the epochs of training."""
    figure, loss_axes = pyplot.subplots(figsize=(5, 3.4))
    plots = train_dir / "plots" / "metrics"
    loss_axes.plot(*columns(plots / "loss" / "total.tsv", "\t", "step", "total"), color="tab:gray")
    loss_axes.set(xlabel="epoch", ylabel="loss (grey)")
    ap_axes = loss_axes.twinx()
    ap_axes.plot(*columns(plots / "val" / "AP.tsv", "\t", "step", "AP"), marker="o", markersize=3)
    ap_axes.set(ylabel="AP on val (blue)", ylim=(0, 1))
    return svg(figure)


def columns(path: Path, delimiter: str, *names: str) -> list[list[float]]:
    with path.open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines, delimiter=delimiter))
    return [[float(row[name]) for row in table] for name in names]
