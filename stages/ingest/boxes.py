"""Turn one entry of `annotations` into a box to train on, or into a finding."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from stages.admission.findings import Findings, quote
from stages.common.run import UserError
from stages.ingest.schema import Annotation

# CVAT rounds x, y, width and height to 0.01 px each: a box on the border may overflow by this.
ROUNDING_PX = 0.02


@dataclass(frozen=True)
class Box:
    """One object to train on.

    Attributes:
        source_id: id of the annotation in the user's JSON.
        label: name of its category.
        bbox_xywh: left, top, width and height in pixels, inside the image, rounded to 0.01.
    """

    source_id: int
    label: str
    bbox_xywh: tuple[float, float, float, float]


@dataclass
class Image:
    """One entry of `images`, completed on its way to the data set.

    Attributes:
        export: name of the export that holds it; empty if there is only one.
        file: name of the JSON that lists it, below that of the export.
        subset: of that JSON, `default` for a CVAT task without one.
        source_id: its id in that JSON.
        name: `file_name` as listed there, safe.
        given: `file_name` as listed there, if it is a path of another computer; else empty.
        width, height: in pixels, as displayed.
        boxes: sorted by source_id.
        read: returns the bytes of its file; see `Source.read`.
        file_name: in the data set, relative to images/, with '/'.
        sha256: of the file as written.
        dhash: of the image as displayed.
    """

    export: str
    file: str
    subset: str
    source_id: int
    name: str
    width: int
    height: int
    given: str = ""
    boxes: list[Box] = field(default_factory=list)
    read: Callable[[], bytes] | None = None
    file_name: str = ""
    sha256: str = ""
    dhash: str = ""

    @property
    def path(self) -> str:
        """Return its name in the export, below the subset."""
        return f"{self.subset}/{self.name}"

    @property
    def target(self) -> str:
        """Return its name in the data set, if it is stored as it is."""
        return f"{self.export}/{self.path}" if self.export else self.path


def read_box(
    annotation: Annotation, source_id: int, label: str, image: Image, findings: Findings
) -> Box | None:
    """Return the box to train on; None if there is none, with a repair that says why.

    Raises:
        UserError: it lies outside the image.
    """
    bbox_xywh, degrees = list(annotation.bbox), annotation.rotation
    what = f"bbox {quote(bbox_xywh)} of {quote(image.name)}"
    upright_xywh = enclosing(bbox_xywh, degrees)
    if is_outside(bbox_xywh, upright_xywh, image):
        size = f"{image.width}x{image.height}"
        raise UserError(
            f"{what} lies outside or far beyond the image ({size}); was it resized or replaced?"
        )
    inside_xywh, overflow_px = clip(upright_xywh, image.width, image.height)
    repair = partial(findings.repair, image.file, annotation=source_id)
    if annotation.iscrowd and annotation.is_rectangle:
        repair("iscrowd 1 without a mask: a crowd region is not a single object; left out")
        return None
    if annotation.iscrowd:
        # CVAT marks every brush mask and ellipse so, and most trainers then skip them.
        repair("mask with iscrowd 1: replaced by its box")
    if min(inside_xywh[2:]) <= 0:
        repair(f"{what} has no area; left out")
        return None
    if degrees:
        what += f" is rotated by {degrees:g} degrees"
        repair(f"{what}: replaced by the enclosing box {list(inside_xywh)}")
    elif overflow_px > ROUNDING_PX:
        repair(f"{what} sticks out by {overflow_px:.2f} px: clipped to {list(inside_xywh)}")
    if min(inside_xywh[2:]) < 1:
        findings.warn(image.file, f"{what} is thinner than a pixel; kept", annotation=source_id)
    return Box(source_id, label, inside_xywh)


def enclosing(bbox_xywh: list[float], degrees: float) -> list[float]:
    """Return the upright box around a box that is rotated about its center."""
    if degrees % 180 == 0:
        return bbox_xywh
    x, y, width, height = bbox_xywh
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    wide, high = width * cos + height * sin, width * sin + height * cos
    return [x + (width - wide) / 2, y + (height - high) / 2, wide, high]


def clip(
    bbox_xywh: list[float], width: int, height: int
) -> tuple[tuple[float, float, float, float], float]:
    """Clip a box to an image.

    Returns:
        bbox_xywh rounded to 0.01 px, with a width or height <= 0 if nothing is left, and the
        overflow over the side where it is largest, in px.
    """
    x, y, wide, high = bbox_xywh
    x0, y0 = round(max(x, 0.0), 2), round(max(y, 0.0), 2)
    x1, y1 = round(min(x + wide, width), 2), round(min(y + high, height), 2)
    overflow_px = max(-x, -y, x + wide - width, y + high - height, 0.0)
    return (x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)), overflow_px


def is_outside(bbox_xywh: list[float], upright_xywh: list[float], image: Image) -> bool:
    """Return whether no part of the upright box lies in the image, or the box as given reaches
    further beyond the image than the image is wide or high."""
    width, height = image.width, image.height
    x, y, wide, high = bbox_xywh
    far = x < -width or y < -height or x + wide > 2 * width or y + high > 2 * height
    x, y, wide, high = upright_xywh
    return far or x + wide < 0 or y + high < 0 or x > width or y > height
