"""Looks at all labels, pictures and boxes together for what looks odd."""

from collections import defaultdict

from stages.ingest.findings import Findings
from stages.ingest.names import shown
from stages.ingest.types import Box, Picture

# Training keeps this many boxes of a sample (stages/yolox/dataset.py) and drops the rest.
MANY_BOXES = 120
# Beyond it the short side shrinks below 40 px at an input of 640.
MAX_ASPECT = 16


def review(labels: list[str], pictures: list[Picture], findings: Findings) -> None:
    """Adds warnings for what is allowed but seldom meant."""
    used = {box.label for picture in pictures for box in picture.boxes}
    for label in labels:
        if label not in used:
            findings.warn("categories", f"label {shown(label)} has no boxes; it is kept")
    groups = defaultdict(list)
    for label in labels:
        groups[skeleton(label)].append(label)
    for group in groups.values():
        if len(group) > 1:
            names = " and ".join(map(shown, group))
            findings.warn("categories", f"labels {names} are nearly the same; are they one?")
    for picture in pictures:
        review_picture(picture, findings)


def skeleton(label: str) -> str:
    """A label without what people vary by mistake: case, spaces and punctuation."""
    return "".join(filter(str.isalnum, label.casefold())) or label


def review_picture(picture: Picture, findings: Findings) -> None:
    """Warnings for one picture and its boxes."""
    at = {"file": picture.file, "image": picture.source_id}
    sides = sorted((picture.width, picture.height))
    if sides[1] > MAX_ASPECT * sides[0]:
        size = f"{picture.width}x{picture.height}"
        findings.warn(what=f"{shown(picture.name)} is {size}: little is left at the input", **at)
    if len(picture.boxes) > MANY_BOXES:
        count = f"{shown(picture.name)} has {len(picture.boxes)} boxes"
        findings.warn(what=f"{count}; training sees {MANY_BOXES} of them", **at)
    first: dict[tuple, Box] = {}
    for box in picture.boxes:
        twin = first.setdefault((box.label, box.bbox_xywh), box)
        if twin is not box:
            what = f"same box and label as annotation {twin.source_id}; both are kept"
            findings.warn(picture.file, what, annotation=box.source_id)
