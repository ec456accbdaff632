"""Boxes drawn on a frame."""

import cv2
import numpy as np


def draw_boxes(
    image_bgr: np.ndarray,
    boxes_xyxy: np.ndarray,
    captions: list[str],
    colour_bgr: tuple[int, int, int],
) -> None:
    """Draws boxes with captions onto a frame, in place.

    Args:
        image_bgr: uint8 [height, width, 3].
        boxes_xyxy: [n, 4] in pixels of the frame.
        captions: n texts; an empty one draws the box alone.
        colour_bgr: 0..255 each.
    """
    thickness = max(1, round(max(image_bgr.shape[:2]) / 640))
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45 * thickness
    for box, caption in zip(boxes_xyxy, captions, strict=True):
        x0, y0, x1, y1 = (round(float(value)) for value in box)
        cv2.rectangle(image_bgr, (x0, y0), (x1, y1), colour_bgr, thickness)
        if caption:
            (width, height), _ = cv2.getTextSize(caption, font, size, thickness)
            top = y0 - 3 if y0 > height + 6 else y1 + height + 5
            cv2.rectangle(
                image_bgr, (x0, top - height - 3), (x0 + width + 2, top + 3), colour_bgr, cv2.FILLED
            )
            cv2.putText(
                image_bgr,
                caption,
                (x0 + 1, top),
                font,
                size,
                (255, 255, 255),
                thickness,
                cv2.LINE_AA,
            )
