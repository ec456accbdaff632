"""Tell boxes of another convention from [x, y, width, height] in pixels.

Boxes as corners or centers are the most frequent mistake of home-made COCO. Many of them lie inside
the image when they are read wrongly, so the boxes of a file are judged together.
"""

import numpy as np

from stages.admission.findings import quote
from stages.common.run import UserError
from stages.ingest.boxes import Image
from stages.ingest.schema import Annotation

MIN_BOXES = 4
MIN_FIT = 0.9  # of the boxes in the other convention
MAX_FIT = 0.5  # of the boxes as [x, y, width, height]: most make no sense
# Where all boxes fit otherwise, which chance hardly does, fewer need to reach out of the image.
CLEAR_FIT = 0.8
# Labels may stick out by this share of the image's side and one pixel, and are clipped.
TOLERANCE, TOLERANCE_PX = 0.02, 1.0
# From so many boxes on it is odd if none reaches beyond this share of either side.
MANY_BOXES, MAX_REACH = 20, 0.6
SWAPPED = {0: (0, 1, 2, 3), 1: (1, 0, 3, 2)}
NAMES = {
    ("corners", 0): "corners, [x0, y0, x1, y1]",
    ("size", 1): "x and y swapped, [y, x, height, width]",
    ("corners", 1): "corners with x and y swapped, [y0, x0, y1, x1]",
    ("centers", 0): "centers, [center x, center y, width, height]",
}
EXPECTED = "write them as [x, y, width, height] in pixels, x and y of the upper left corner"


def check_convention(boxes: list[tuple[Annotation, Image]]) -> str:
    """Check that the boxes of a file are [x, y, width, height] in pixels of their images.

    Rotated boxes may reach out of the image as they are written, and do not count.

    Returns:
        What speaks for boxes in percent or of a smaller image; "" if nothing does.

    Raises:
        UserError: most of them only make sense in another convention, which is named.
    """
    boxes = [(annotation, image) for annotation, image in boxes if not annotation.rotation]
    if len(boxes) < MIN_BOXES:
        return ""
    values = np.array([annotation.bbox for annotation, _ in boxes], float)
    size_wh = np.array([(image.width, image.height) for _, image in boxes], float)
    if (normalized := (values.max(1) <= 1) & (size_wh.min(1) > 2)).mean() >= MIN_FIT:
        raise UserError(
            f"{normalized.sum()} of {len(boxes)} boxes are not larger than one pixel: they look "
            f"normalized, as shares of the image's sides; {EXPECTED}"
        )
    fits = fits_as(("size", 0), values, size_wh)
    example = boxes[int(np.argmin(fits))]
    what = (
        f"{(~fits).sum()} of {len(boxes)} boxes reach out of their image, for example bbox "
        f"{quote(list(example[0].bbox))} of {quote(example[1].name)} "
        f"({example[1].width}x{example[1].height})"
    )
    for convention, name in NAMES.items():
        other = fits_as(convention, values, size_wh)
        most = other.mean() >= MIN_FIT and fits.mean() <= MAX_FIT
        if most or (other.all() and is_clear(convention, fits, values, size_wh)):
            raise UserError(f"{what}, and {other.sum()} fit as {name}; {EXPECTED}")
    if fits.mean() <= MAX_FIT and (values[:, :2] >= 0).all():
        wide, high = (values[:, :2] + values[:, 2:]).max(0)
        raise UserError(
            f"{what}; they reach to {wide:g}x{high:g}: they look like boxes of another image size; "
            "scale them to the images, or export the images that were labeled"
        )
    return doubt_of(values, size_wh)


def doubt_of(values: np.ndarray, size_wh: np.ndarray) -> str:
    """Say what is odd about boxes that all lie in the upper left part of their images.

    Boxes in percent and boxes of a smaller copy fit into the image, and so do those of a camera
    whose objects are all there; so this is no fault.
    """
    ends = values[:, :2] + values[:, 2:]
    if len(values) < MANY_BOXES or (ends > MAX_REACH * size_wh).any():
        return ""
    wide, high = ends.max(0)
    percent = "in percent" if ends.max() <= 100 else "of a smaller copy of the images"
    return (
        f"all {len(values)} boxes lie within {wide:.0f}x{high:.0f} pixels at the upper left: look "
        f"at the data page; if they are off, they are {percent}, and need to be in pixels of the "
        "images"
    )


def fits_as(convention: tuple[str, int], values: np.ndarray, size_wh: np.ndarray) -> np.ndarray:
    """Return whether each box lies in its image in a convention: bool [boxes].

    Args:
        convention: key of NAMES, or ("size", 0) for [x, y, width, height].
        values: float [boxes, 4], as given.
        size_wh: float [boxes, 2], of the images in pixels.
    """
    kind, swapped = convention
    first, second = np.split(values[:, SWAPPED[swapped]], 2, axis=1)
    if kind == "corners":
        start, end = first, second
    elif kind == "centers":
        start, end = first - second / 2, first + second / 2
    else:
        start, end = first, first + second
    slack = TOLERANCE * size_wh + TOLERANCE_PX
    inside = (start >= -slack) & (end <= size_wh + slack) & (start < end + (kind != "corners"))
    return inside.all(1)


def is_clear(
    convention: tuple[str, int], fits: np.ndarray, values: np.ndarray, size_wh: np.ndarray
) -> bool:
    """Return whether a convention that fits all boxes is meant although most fit as they are.

    Small boxes as centers reach out at the right and at the bottom only near these edges. Objects
    that leave the image at one edge look the same, so both edges are needed.
    """
    if convention[0] == "centers":
        out = values[:, :2] + values[:, 2:] > size_wh * (1 + TOLERANCE) + TOLERANCE_PX
        return bool((out.sum(0) >= 2).all())
    return bool(fits.mean() <= CLEAR_FIT and (~fits).sum() >= MIN_BOXES)
