"""From one entry of `annotations` to the box that is trained on, or to a finding."""

import math

from stages.ingest.findings import Findings
from stages.ingest.json_reader import given
from stages.ingest.names import shown
from stages.ingest.types import Box, Picture

# CVAT rounds x, y, width and height to 0.01 px each: a box on the border may overflow by this.
ROUNDING_PX = 0.02
# Ten times the side of the largest picture; beyond it sums of floats would lose digits.
MAX_COORDINATE = 1e9


def read_box(
    entry: dict, source_id: int, label: str, picture: Picture, findings: Findings
) -> Box | None:
    """The box to train on; None where there is none, with a finding that says why."""
    file, bbox, degrees = picture.file, entry.get("bbox"), rotation(entry)
    if why := box_fault(entry, picture):
        findings.fault(file, why, annotation=source_id)
        return None
    if entry.get("iscrowd", 0) and not has_segmentation(entry):
        crowd = "iscrowd 1 without a mask: a crowd region is no single object; left out"
        findings.repair(file, crowd, annotation=source_id)
        return None
    if entry.get("iscrowd", 0):
        # CVAT marks every brush mask and ellipse so, and most trainers then skip them.
        findings.repair(file, "mask with iscrowd 1: trained on by its box", annotation=source_id)
    inside, overflow_px = clipped(enclosing(bbox, degrees), picture.width, picture.height)
    what = f"bbox {shown(bbox)} of {shown(picture.name)}"
    if min(inside[2:]) <= 0:
        findings.repair(file, f"{what} has no area; left out", annotation=source_id)
        return None
    if degrees:
        what += f" is turned by {degrees:g} degrees: enclosing box {list(inside)}"
        findings.repair(file, what, annotation=source_id)
    elif overflow_px > ROUNDING_PX:
        what += f" sticks out by {overflow_px:.2f} px: cut to {list(inside)}"
        findings.repair(file, what, annotation=source_id)
    return Box(source_id, label, inside)


def box_fault(entry: dict, picture: Picture) -> str | None:
    """Why one annotation is refused, or None."""
    bbox, value = entry.get("bbox"), given(entry, "bbox")
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_number, bbox)):
        return f"bbox is {value}, expected [x, y, width, height] as four finite numbers"
    if min(bbox[2:]) < 0:
        return f"bbox is {value}, its width and height must not be negative"
    if entry.get("iscrowd") not in (None, 0, 1):
        return f"iscrowd is {shown(entry['iscrowd'])}, expected 0 or 1"
    if not is_number(rotation(entry)):
        return f"attribute rotation is {shown(rotation(entry))}, expected degrees"
    width, height = picture.width, picture.height
    if far_outside(bbox, width, height) or outside(enclosing(bbox, rotation(entry)), width, height):
        return (
            f"bbox {value} lies outside or far beyond {shown(picture.name)} ({width}x{height}); "
            "was the picture resized or exchanged?"
        )
    return None


def is_number(value: object) -> bool:
    """A finite int or float of a sensible size; True and False are none."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and -MAX_COORDINATE <= value <= MAX_COORDINATE


def has_segmentation(entry: dict) -> bool:
    """Whether there is a polygon or a mask, not just the empty list of a rectangle."""
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, dict):
        return bool(segmentation.get("counts"))
    return isinstance(segmentation, list) and bool(segmentation)


def rotation(entry: dict) -> object:
    """Degrees by which CVAT shows a rectangle turned; its bbox is the one before turning.

    On polygons and masks an attribute of this name is the user's own and means nothing here.
    """
    attributes = entry.get("attributes")
    if not isinstance(attributes, dict) or has_segmentation(entry):
        return 0.0
    return attributes.get("rotation", 0.0)


def enclosing(bbox_xywh: list[float], degrees: float) -> list[float]:
    """The upright box around a box that is turned about its centre."""
    if degrees % 180 == 0:
        return bbox_xywh
    x, y, width, height = bbox_xywh
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    wide, high = width * cos + height * sin, width * sin + height * cos
    return [x + (width - wide) / 2, y + (height - high) / 2, wide, high]


def clipped(
    bbox_xywh: list[float], width: int, height: int
) -> tuple[tuple[float, float, float, float], float]:
    """The part of a box inside a picture, rounded to 0.01 px, and how much was cut off.

    Returns:
        bbox_xywh with a width or height <= 0 where nothing is left, and the overflow over the
        side where it is largest, in px.
    """
    x, y, wide, high = bbox_xywh
    x0, y0 = round(max(x, 0.0), 2), round(max(y, 0.0), 2)
    x1, y1 = round(min(x + wide, width), 2), round(min(y + high, height), 2)
    overflow_px = max(-x, -y, x + wide - width, y + high - height, 0.0)
    return (x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)), overflow_px


def outside(bbox_xywh: list[float], width: int, height: int) -> bool:
    """Whether no part of a box lies in the picture."""
    x, y, wide, high = bbox_xywh
    return x + wide < 0 or y + high < 0 or x > width or y > height


def far_outside(bbox_xywh: list[float], width: int, height: int) -> bool:
    """Whether a box reaches further beyond the picture than the picture is wide or high."""
    x, y, wide, high = bbox_xywh
    return x < -width or y < -height or x + wide > 2 * width or y + high > 2 * height
