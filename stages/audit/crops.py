"""Frames and crops with their boxes. Each image is decoded once, however many crops it has."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np

from detector.video.draw import draw_boxes
from stages.audit.measures import Boxes
from stages.common.coco import labels_of, read_image
from stages.evaluation.html import jpeg_uri

FRAME_PX, CROP_PX = 360, 240
# A close-up is CONTEXT times as large as its box, and at least LEAST_CROP_PX.
CONTEXT = 2
LEAST_CROP_PX = 48
CAPTION_LENGTH = 16
# More captions would hide the image.
CAPTIONS = 10
# White text reads on all of them.
PALETTE = (
    "#0b63c5", "#d32f2f", "#2a8a22", "#d86b00", "#8e44ad",
    "#008080", "#c2318f", "#7a5230", "#7d8200",
)  # fmt: skip
OTHERS = "#5b6673"
WHITE_BGR, RIM_XYXY = (255, 255, 255), (-1, -1, 1, 1)


@dataclass(frozen=True)
class Crop:
    """A frame with captions, or a close-up of one box without."""

    image: int  # row of the COCO's images
    rows: tuple[int, ...]  # of the boxes that are drawn
    region_xyxy: tuple[int, int, int, int] | None = None  # pixels of the frame


def class_colors(boxes: Boxes, classes: int) -> list[str]:
    """Return a color per class; the less frequent classes share OTHERS."""
    counts = np.bincount(boxes.classes, minlength=classes)
    ranked = np.argsort(-counts, kind="stable").tolist()
    found = [OTHERS] * classes
    for index, color in zip(ranked, PALETTE, strict=False):
        found[index] = color
    return found


def close_up(boxes: Boxes, row: int) -> Crop:
    """Crop a square around a box, moved inside the frame."""
    x, y, width, height = boxes.xywh[row]
    side = max(CONTEXT * max(width, height), LEAST_CROP_PX)
    frame_wh = boxes.frame_wh[row]
    size = np.minimum(round(side), frame_wh)
    start = np.clip(np.round([x + width / 2, y + height / 2] - size / 2), 0, frame_wh - size)
    region = tuple(int(value) for value in (*start, *(start + size)))
    return Crop(int(boxes.images[row]), (row,), region)


def render(crops: Iterable[Crop], coco: dict, boxes: Boxes, images_dir: Path) -> dict[Crop, str]:
    """Render the crops as JPEG data URIs; one decoded frame is in memory at a time."""
    labels = labels_of(coco)
    colors = class_colors(boxes, len(labels))
    done = {}
    for image, same in groupby(sorted(set(crops), key=lambda s: s.image), lambda s: s.image):
        image_bgr = read_image(images_dir / coco["images"][image]["file_name"])
        for crop in same:
            done[crop] = jpeg_uri(view(image_bgr, crop, boxes, labels, colors))
    return done


def view(
    image_bgr: np.ndarray, crop: Crop, boxes: Boxes, labels: list[str], colors: list[str]
) -> np.ndarray:
    """Draw a crop as a small image with boxes in the colors of their classes."""
    height, width = image_bgr.shape[:2]
    x0, y0, x1, y1 = crop.region_xyxy or (0, 0, width, height)
    longest = max(x1 - x0, y1 - y0)
    # A tiny box is enlarged to be seen, a small frame is not.
    scale = CROP_PX / longest if crop.region_xyxy else min(1.0, FRAME_PX / longest)
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    small = cv2.resize(image_bgr[y0:y1, x0:x1], size, interpolation=how)
    captioned = crop.region_xyxy is None and len(crop.rows) <= CAPTIONS
    for row in crop.rows:
        index = boxes.classes[row]
        x, y, w, h = boxes.xywh[row]
        box_xyxy = np.array([x - x0, y - y0, x + w - x0, y + h - y0]) * scale
        if crop.region_xyxy:
            # Around a single box there is room for a rim, by which it shows on any ground.
            draw_boxes(small, box_xyxy[None] + RIM_XYXY, [""], WHITE_BGR)
        text = caption(index, labels[index]) if captioned else ""
        draw_boxes(small, box_xyxy[None], [text], bgr(colors[index]))
    return small


def caption(index: int, label: str) -> str:
    """Return the label, or the class number where OpenCV's font lacks its letters."""
    return label[:CAPTION_LENGTH] if label.isascii() else f"no. {index + 1}"


def bgr(color: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(color[1:])[::-1])
