"""Reads annotations/instances_*.json: every value checked, every fault collected.

In:   an opened Export
Out:  the names of all labels, and one Picture for each entry of `images`, with its boxes

Ids are valid inside one file only: CVAT numbers annotations from 1 in every subset, and gives
pictures of equal names in two subsets the same id.
"""

import re
import unicodedata

from stages.common.errors import Refusal
from stages.intake.archive import Export
from stages.intake.boxes import read_box
from stages.intake.findings import Findings
from stages.intake.names import shown, why_unsafe
from stages.intake.records import MAX_PIXELS, Picture
from stages.intake.strict_json import entries, given, parse, whole

SUBSET = re.compile(r"annotations/(instances_([^/]*)\.json)", re.DOTALL)
LISTED = {"image_id": "images", "category_id": "categories"}


def read_annotations(export: Export, findings: Findings) -> tuple[list[str], list[Picture]]:
    """Reads all subsets of an export.

    Returns:
        Label names, sorted; pictures sorted by subset and name.
    """
    labels: set[str] = set()
    pictures: list[Picture] = []
    files = []
    for member in sorted(filter(SUBSET.fullmatch, export.files)):
        file, subset = SUBSET.fullmatch(member).groups()
        files.append(file)
        if why := why_unsafe(subset):
            findings.fault(shown(file), f"its subset name {why}; rename the subset")
            continue
        try:
            content = parse(export.read(member))
        except Refusal as refusal:
            findings.fault(file, str(refusal))
            continue
        names, listed = read_subset(file, subset, content, findings)
        labels.update(names)
        pictures += listed
    refuse_nothing(files, pictures, findings)
    return sorted(labels), sorted(pictures, key=lambda picture: (picture.subset, picture.name))


def refuse_nothing(files: list[str], pictures: list[Picture], findings: Findings) -> None:
    """A fault where there is nothing to learn from, unless other faults are the reason."""
    if not findings.faults and not any(picture.boxes for picture in pictures):
        missing = "no usable box" if pictures else "no images"
        findings.fault(", ".join(files), f"{missing} in the whole export; label some frames")


def read_subset(
    file: str, subset: str, content: object, findings: Findings
) -> tuple[list[str], list[Picture]]:
    """Label names and pictures of one parsed file."""
    if not isinstance(content, dict):
        findings.fault(file, f"is {shown(content)}, expected an object with images and so on")
        return [], []
    keys = ("categories", "images", "annotations")
    lists = [content.get(key) for key in keys]
    for key, value in zip(keys, lists, strict=True):
        if not isinstance(value, list):
            findings.fault(file, f"{key!r} is {given(content, key)}, expected a list")
    if not all(isinstance(value, list) for value in lists):
        return [], []
    names = read_categories(file, lists[0], findings)
    pictures = read_images(file, subset, lists[1], findings)
    read_boxes(file, lists[2], names, pictures, findings)
    if not lists[1]:
        findings.warn(file, "lists no images; the subset is left out")
    return list(names.values()), [picture for picture in pictures.values() if picture]


def read_categories(file: str, values: list, findings: Findings) -> dict[int, str]:
    """Label names by category id."""
    names: dict[int, str] = {}
    taken: set[str] = set()
    for category_id, entry in entries(file, "category", values, findings):
        name = entry.get("name")
        if why := name_fault(name):
            findings.fault(file, f"name is {given(entry, 'name')}, {why}", category=category_id)
            name = ""
        elif name in taken:
            findings.fault(file, f"duplicate category name {shown(name)}", category=category_id)
        names[category_id] = name
        taken.add(name)
    return names


def name_fault(name: object) -> str | None:
    """Why a label name is refused, or None. Shell and path characters are harmless: no name
    reaches a command line or a path."""
    if not isinstance(name, str) or not name.strip():
        return "expected a text that is not empty"
    if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\t" for c in name):
        return "expected a text without control characters and half surrogate pairs"
    return None


def read_images(
    file: str, subset: str, values: list, findings: Findings
) -> dict[int, Picture | None]:
    """Pictures by id, None for those with a fault, so that their boxes are not faults too."""
    pictures: dict[int, Picture | None] = {}
    taken: dict[str, int] = {}
    for image_id, entry in entries(file, "image", values, findings):
        name = entry.get("file_name")
        width, height = whole(entry.get("width")), whole(entry.get("height"))
        pictures[image_id] = None
        if why := image_fault(entry, width, height):
            findings.fault(file, why, image=image_id)
        elif name in taken:
            findings.fault(
                file, f"duplicate file_name {shown(name)}, as image {taken[name]}", image=image_id
            )
        else:
            pictures[image_id] = Picture(file, subset, image_id, name, width, height)
            taken[name] = image_id
    return pictures


def image_fault(entry: dict, width: int | None, height: int | None) -> str | None:
    """Why an entry of `images` is refused, or None."""
    name = entry.get("file_name")
    if not isinstance(name, str):
        return f"file_name is {given(entry, 'file_name')}, expected a text"
    if why := why_unsafe(name):
        return f"file_name {shown(name)} {why}; expected a path below images/"
    for key, value in (("width", width), ("height", height)):
        if value is None or value < 1:
            value = given(entry, key)
            return f"{shown(name)}: {key} is {value}, expected a number of pixels from 1"
    if width * height > MAX_PIXELS:
        return f"{shown(name)}: {width}x{height} is over the limit of {MAX_PIXELS} pixels"
    return None


def read_boxes(
    file: str,
    values: list,
    names: dict[int, str],
    pictures: dict[int, Picture | None],
    findings: Findings,
) -> None:
    """Puts the box of each annotation into its picture."""
    for annotation_id, entry in entries(file, "annotation", values, findings):
        ids = {key: whole(entry.get(key)) for key in ("image_id", "category_id")}
        known = {"image_id": pictures, "category_id": names}
        wrong = [key for key, value in ids.items() if value not in known[key]]
        for key in wrong:
            what = f"{key} is {given(entry, key)}, expected the id of an entry of {LISTED[key]}"
            findings.fault(file, what, annotation=annotation_id)
        picture = None if wrong else pictures[ids["image_id"]]
        if picture:
            label = names[ids["category_id"]]
            box = read_box(entry, annotation_id, label, picture, findings)
            picture.boxes += [box] if box else []
