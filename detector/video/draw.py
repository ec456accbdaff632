"""Boxes and captions drawn on a frame."""

import cv2
import numpy as np

FONT = cv2.FONT_HERSHEY_SIMPLEX
WHITE = (255, 255, 255)
# Of classes, in turn; dark enough for white captions (BGR).
COLOURS_BGR = ((0, 110, 0), (180, 60, 0), (0, 60, 200), (140, 0, 140), (120, 120, 0), (0, 90, 150))


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
    thickness = line_width(image_bgr)
    for box, caption in zip(boxes_xyxy, captions, strict=True):
        x0, y0, x1, y1 = (round(float(value)) for value in box)
        cv2.rectangle(image_bgr, (x0, y0), (x1, y1), colour_bgr, thickness)
        if caption:
            height = text_wh(image_bgr, caption)[1]
            base = y0 - 3 if y0 > height + 6 else y1 + height + 5
            write(image_bgr, caption, (x0, base), colour_bgr)


def draw_headline(image_bgr: np.ndarray, text: str) -> None:
    """Writes one line into the upper left corner of a frame, in place."""
    write(image_bgr, text, (4, text_wh(image_bgr, text)[1] + 6), (0, 0, 0))


def write(
    image_bgr: np.ndarray, text: str, left_base: tuple[int, int], colour_bgr: tuple[int, int, int]
) -> None:
    """White text on a filled rectangle."""
    thickness, (x, y), (width, height) = line_width(image_bgr), left_base, text_wh(image_bgr, text)
    cv2.rectangle(image_bgr, (x, y - height - 3), (x + width + 2, y + 3), colour_bgr, cv2.FILLED)
    cv2.putText(image_bgr, text, (x + 1, y), FONT, 0.45 * thickness, WHITE, thickness, cv2.LINE_AA)


def text_wh(image_bgr: np.ndarray, text: str) -> tuple[int, int]:
    thickness = line_width(image_bgr)
    return cv2.getTextSize(text, FONT, 0.45 * thickness, thickness)[0]


def line_width(image_bgr: np.ndarray) -> int:
    """Of boxes and letters, in pixels: what is seen when the frame fills a screen."""
    return max(1, round(max(image_bgr.shape[:2]) / 640))
