"""Detections drawn on frames: boxes with captions, the model's name, and its speed."""

from __future__ import annotations

import time
from collections import deque
from statistics import mean
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:  # pages that only draw boxes do not depend on detector.core
    from detector import Detections

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE = (255, 255, 255)
# Of the classes, repeated; dark enough for white captions (BGR).
COLORS_BGR = ((0, 110, 0), (180, 60, 0), (0, 60, 200), (140, 0, 140), (120, 120, 0), (0, 90, 150))
RECENT = 60  # frames that the shown speed is averaged over


class Annotator:
    """Draws the detections of one or more models; with several, their images stand side by side.

    The speed of a single model is that of the whole run, in frames per second end to end. Several
    run one after the other; the speed of each is what it could reach alone, one frame at a time:
    pre, infer and post.

    Args:
        titles: names of the models.
    """

    def __init__(self, titles: list[str]):
        self.titles = titles
        self.own_ms: list[deque[float]] = [deque(maxlen=RECENT) for _ in titles]
        self.times_s: deque[float] = deque(maxlen=RECENT)

    def __call__(self, image_bgr: np.ndarray, per_model: list[Detections]) -> np.ndarray:
        """Draw onto a frame, and onto a copy of it for each further model."""
        images_bgr = [image_bgr, *(image_bgr.copy() for _ in per_model[1:])]
        speeds = self.speeds_fps(per_model)
        for image, title, fps, found in zip(
            images_bgr, self.titles, speeds, per_model, strict=True
        ):
            draw_detections(image, found)
            text = f"{title}  {fps:.1f} FPS" if fps else title
            write(image, text, (4, text_wh(image, text)[1] + 6), (0, 0, 0))
        return np.concatenate(images_bgr, axis=1) if len(images_bgr) > 1 else image_bgr

    def speeds_fps(self, per_model: list[Detections]) -> list[float]:
        """Count a frame and return the speed of each model, 0 while it is unknown."""
        if len(per_model) > 1:
            for own_ms, found in zip(self.own_ms, per_model, strict=True):
                own_ms.append(sum(found.steps_ms.values()))
            return [1e3 / mean(own_ms) for own_ms in self.own_ms]
        self.times_s.append(time.perf_counter())
        passed_s = self.times_s[-1] - self.times_s[0]
        return [(len(self.times_s) - 1) / passed_s if passed_s > 0 else 0.0]


def draw_detections(image_bgr: np.ndarray, found: Detections) -> None:
    """Draw boxes with labels, ids and scores, a color for each class, in place."""
    numbers = [-1] * len(found) if found.tracker_id is None else found.tracker_id
    captions = [
        f"{label} {f'{number} ' if number >= 0 else ''}{score:.2f}"
        for label, number, score in zip(found.class_names, numbers, found.confidence, strict=True)
    ]
    for index in np.unique(found.class_id):
        own = np.flatnonzero(found.class_id == index)
        color_bgr = COLORS_BGR[index % len(COLORS_BGR)]
        draw_boxes(image_bgr, found.xyxy[own], [captions[i] for i in own], color_bgr)


def draw_boxes(
    image_bgr: np.ndarray,
    boxes_xyxy: np.ndarray,
    captions: list[str],
    color_bgr: tuple[int, int, int],
) -> None:
    """Draw boxes with captions onto a frame, in place.

    Args:
        image_bgr: uint8 [height, width, 3].
        boxes_xyxy: [n, 4] in pixels of the frame.
        captions: n texts; an empty one draws the box alone.
        color_bgr: 0..255 each.
    """
    for box, caption in zip(boxes_xyxy, captions, strict=True):
        x0, y0, x1, y1 = (round(float(value)) for value in box)
        cv2.rectangle(image_bgr, (x0, y0), (x1, y1), color_bgr, line_width(image_bgr))
        if caption:
            height = text_wh(image_bgr, caption)[1]
            base = y0 - 3 if y0 > height + 6 else y1 + height + 5
            write(image_bgr, caption, (x0, base), color_bgr)


def write(
    image_bgr: np.ndarray, text: str, left_base: tuple[int, int], color_bgr: tuple[int, int, int]
) -> None:
    """Write white text on a filled rectangle."""
    thickness, (x, y), (width, height) = line_width(image_bgr), left_base, text_wh(image_bgr, text)
    cv2.rectangle(image_bgr, (x, y - height - 3), (x + width + 2, y + 3), color_bgr, cv2.FILLED)
    cv2.putText(image_bgr, text, (x + 1, y), FONT, 0.45 * thickness, WHITE, thickness, cv2.LINE_AA)


def text_wh(image_bgr: np.ndarray, text: str) -> tuple[int, int]:
    thickness = line_width(image_bgr)
    return cv2.getTextSize(text, FONT, 0.45 * thickness, thickness)[0]


def line_width(image_bgr: np.ndarray) -> int:
    """Return the width of lines in pixels that is visible when the frame fills a screen."""
    return max(1, round(max(image_bgr.shape[:2]) / 640))
