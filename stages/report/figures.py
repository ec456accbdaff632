"""Figures of the page: val images with boxes, and curves. All are embedded, nothing is loaded."""

import csv
from pathlib import Path

import cv2
import numpy as np

from detector.video.draw import draw_boxes
from stages.common.coco import read_image
from stages.evaluation.html import jpeg_uri, pyplot, svg
from stages.report.differences import Frame
from stages.report.table import NAMES

PICTURE_WIDTH = 720
STYLES = ("-", "--", "-.", ":")
TRUTH_BGR, FOUND_BGR = (80, 200, 60), (40, 60, 230)


def frames(images_dir: Path, chosen: list[Frame]) -> list[dict]:
    """Draw val images as PyTorch and INT8 see them.

    Returns:
        For each frame its `name`, the `difference` of the two, and `views`: (variant's name, JPEG
        as data URI).
    """
    shown = []
    for frame in chosen:
        image_bgr = read_image(images_dir / frame.image["file_name"])
        views = [
            (NAMES[key], jpeg_uri(view(image_bgr, frame.truth_xyxy, *found)))
            for key, found in zip(("torch", "int8"), frame.found, strict=True)
        ]
        name, difference = frame.image["file_name"], f"{frame.difference:.2f}"
        shown.append({"name": name, "difference": difference, "views": views})
    return shown


def view(
    image_bgr: np.ndarray, truth_xyxy: np.ndarray, boxes_xyxy: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Return the image, made smaller, with true boxes in green and found ones in red."""
    scale = min(1.0, PICTURE_WIDTH / image_bgr.shape[1])
    small = cv2.resize(image_bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    draw_boxes(small, truth_xyxy * scale, [""] * len(truth_xyxy), TRUTH_BGR)
    draw_boxes(small, boxes_xyxy * scale, [f"{score:.2f}" for score in scores], FOUND_BGR)
    return small


def precision_recall_svg(curves_dir: Path) -> str:
    """Plot precision over recall of all variants."""
    figure, axes = pyplot.subplots(figsize=(5, 3.4))
    for key, style in zip(NAMES, STYLES, strict=True):
        recall, precision = columns(curves_dir / f"{key}.csv", ",", "recall", "precision")
        axes.plot(recall, precision, style, label=NAMES[key])
    axes.set(xlabel="recall", ylabel="precision at IoU 0.5", xlim=(0, 1), ylim=(0, 1.05))
    axes.legend()
    return svg(figure)


def operating_point_svg(path: Path, point: dict) -> str:
    """Plot precision, recall and F1 over confidence, with the chosen one, or those of classes."""
    figure, axes = pyplot.subplots(figsize=(5, 3.4))
    confidence, *curves = columns(path, ",", "confidence", "precision", "recall", "F1")
    for curve, name, style in zip(curves, ("precision", "recall", "F1"), STYLES[:3], strict=True):
        axes.plot(confidence, curve, style, label=name)
    chosen = {point["confidence"], *(own["confidence"] for own in point["per_class"].values())}
    for own in sorted(chosen):
        axes.axvline(own, color="tab:gray", linewidth=1)
    axes.set(xlabel="confidence", xlim=(0, 1), ylim=(0, 1.05))
    axes.legend(loc="lower left")
    return svg(figure)


def training_svg(train_dir: Path) -> str:
    """Plot loss and AP over the epochs of training."""
    figure, loss_axes = pyplot.subplots(figsize=(5, 3.4))
    plots = train_dir / "plots" / "metrics"
    loss_axes.plot(*columns(plots / "loss" / "total.tsv", "\t", "step", "total"), color="tab:gray")
    loss_axes.set(xlabel="epoch", ylabel="loss (grey)")
    if (val := plots / "val" / "AP.tsv").exists():  # train.images: all has none
        ap_axes = loss_axes.twinx()
        ap_axes.plot(*columns(val, "\t", "step", "AP"), marker="o", markersize=3)
        ap_axes.set(ylabel="AP on val (blue)", ylim=(0, 1))
    return svg(figure)


def columns(path: Path, delimiter: str, *names: str) -> list[list[float]]:
    with path.open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines, delimiter=delimiter))
    return [[float(row[name]) for row in table] for name in names]
