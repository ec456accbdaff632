"""Reads the JSON files of an export: every value checked, every fault collected.

In:   an opened Export
Out:  the names of all labels, and one Picture for each entry of `images`, with its boxes

Ids are valid inside one file only: CVAT numbers annotations from 1 in every subset, and gives
pictures of equal names in two subsets the same id.
"""

from collections.abc import Iterator

from stages.common.run import UserError
from stages.ingest.annotation_files import WANTED, hint, is_instances, listings
from stages.ingest.archive import Source
from stages.ingest.boxes import read_box
from stages.ingest.findings import Findings
from stages.ingest.json_reader import entries, given, parse, whole
from stages.ingest.labels import read_categories
from stages.ingest.limits import Limits
from stages.ingest.names import shown, why_unsafe
from stages.ingest.types import Picture

LISTS = ("categories", "images", "annotations")
LISTED = {"image_id": "images", "category_id": "categories"}


def read_annotations(
    export: Source, limits: Limits, findings: Findings
) -> tuple[list[str], list[Picture]]:
    """Reads all subsets of an export.

    Returns:
        Label names, sorted; pictures sorted by subset and name.

    Raises:
        UserError: no JSON of it is COCO.
    """
    labels: set[str] = set()
    pictures: list[Picture] = []
    files = []
    for file, subset, content in contents(export, findings):
        files.append(file)
        names, listed = read_subset(file, subset, content, limits.max_pixels, findings)
        labels.update(names)
        pictures += listed
    if not files and not findings.faults:
        raise UserError(f"{export.path} holds no annotations: {WANTED}; {hint(export.files)}")
    refuse_nothing(files, pictures, findings)
    return sorted(labels), sorted(pictures, key=lambda picture: (picture.subset, picture.name))


def contents(export: Source, findings: Findings) -> Iterator[tuple[str, str, object]]:
    """Name, subset and content of each JSON that can be parsed."""
    for member, subset in sorted(listings(export.files).items()):
        file = member.removeprefix("annotations/")
        if why := why_unsafe(subset):
            findings.fault(shown(file), f"its subset name {why}; rename the subset")
            continue
        try:
            content = parse(export.read(member))
        except UserError as refusal:
            findings.fault(file, str(refusal))
            continue
        # Not named as CVAT does it, a JSON may be about something else entirely.
        if is_instances(member) or is_coco(content):
            yield file, subset, content
        else:
            findings.warn(file, f"is no COCO with the lists {', '.join(LISTS)}; left out")


def is_coco(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(k), list) for k in LISTS)


def refuse_nothing(files: list[str], pictures: list[Picture], findings: Findings) -> None:
    """A fault where there is nothing to learn from, unless other faults are the reason."""
    if not findings.faults and not any(picture.boxes for picture in pictures):
        missing = "no usable box" if pictures else "no images"
        findings.fault(", ".join(files), f"{missing} in the whole export; label some frames")


def read_subset(
    file: str, subset: str, content: object, max_pixels: int, findings: Findings
) -> tuple[list[str], list[Picture]]:
    """Label names and pictures of one parsed file."""
    if not isinstance(content, dict):
        findings.fault(file, f"is {shown(content)}, expected an object with images and so on")
        return [], []
    lists = [content.get(key) for key in LISTS]
    for key, value in zip(LISTS, lists, strict=True):
        if not isinstance(value, list):
            findings.fault(file, f"{key!r} is {given(content, key)}, expected a list")
    if not is_coco(content):
        return [], []
    names = read_categories(file, lists[0], findings)
    pictures = read_images(file, subset, lists[1], max_pixels, findings)
    read_boxes(file, lists[2], names, pictures, findings)
    if not lists[1]:
        findings.warn(file, "lists no images; the subset is left out")
    return list(names.values()), [picture for picture in pictures.values() if picture]


def read_images(
    file: str, subset: str, values: list, max_pixels: int, findings: Findings
) -> dict[int, Picture | None]:
    """Pictures by id, None for those with a fault, so that their boxes are not faults too."""
    pictures: dict[int, Picture | None] = {}
    taken: dict[str, int] = {}
    for image_id, entry in entries(file, "image", values, findings):
        name = entry.get("file_name")
        width, height = whole(entry.get("width")), whole(entry.get("height"))
        pictures[image_id] = None
        if why := image_fault(entry, width, height, max_pixels):
            findings.fault(file, why, image=image_id)
        elif name in taken:
            findings.fault(
                file, f"duplicate file_name {shown(name)}, as image {taken[name]}", image=image_id
            )
        else:
            pictures[image_id] = Picture(file, subset, image_id, name, width, height)
            taken[name] = image_id
    return pictures


def image_fault(entry: dict, width: int | None, height: int | None, max_pixels: int) -> str | None:
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
    if width * height > max_pixels:
        limit = f"{max_pixels} pixels (ingest.max_megapixels)"
        return f"{shown(name)}: {shown(width)}x{shown(height)} is over the limit of {limit}"
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
