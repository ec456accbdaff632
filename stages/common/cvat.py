"""Write boxes the way CVAT's "COCO 1.0" exports and imports them.

An import goes into a task that has its frames already, so the zip holds no pictures. CVAT 2.80
finds the frame of an entry by its file name without suffix; a name that no task has but that is a
number lands on the frame of that number. It reads `attributes.source`, and shows what is "auto" as
drawn by a machine; it keeps `score` where the label has an attribute of that name.
"""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

from stages.common.files import atomic_path

ANNOTATIONS = "annotations/instances_default.json"
HEADER = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "info": dict.fromkeys(
        ("contributor", "date_created", "description", "url", "version", "year"), ""
    ),
}


def cvat_categories(labels: list[str]) -> list[dict]:
    """Return the entries that CVAT writes for labels; their ids run from 1."""
    return [{"id": n, "name": name, "supercategory": ""} for n, name in enumerate(labels, 1)]


def cvat_image(number: int, name: str, width: int, height: int) -> dict:
    """Return the entry that CVAT writes for an image."""
    more = {"license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0}
    return {"id": number, "width": width, "height": height, "file_name": name, **more}


def cvat_rectangle(
    number: int, image: int, category: int, box_xyxy: Iterable[float], **attributes: object
) -> dict:
    """Return the entry that CVAT writes for a rectangle, in pixels rounded to 0.01.

    Args:
        number: id of the annotation; unique, since CVAT groups annotations of one id.
        image, category: ids.
        box_xyxy: its corners.
        attributes: beside `rotation`; for example `occluded`, or `source`.
    """
    x0, y0, x1, y1 = (round(float(value), 2) for value in box_xyxy)
    width, height = round(x1 - x0, 2), round(y1 - y0, 2)
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": [],
        "area": round(width * height, 4),
        "bbox": [x0, y0, width, height],
        "iscrowd": 0,
        "attributes": {**attributes, "rotation": 0.0},
    }


def add_json(archive: ZipFile, categories: list[dict], images: list, annotations: list) -> None:
    """Add the JSON of an export or import."""
    content = {
        **HEADER, "categories": categories, "images": images, "annotations": annotations,
    }  # fmt: skip
    add_member(archive, ANNOTATIONS, json.dumps(content, separators=(",", ":")).encode())


def add_member(archive: ZipFile, name: str, content: bytes) -> None:
    """Store a member with fixed time and system, so that equal content gives equal bytes."""
    member = ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    member.create_system = 3
    member.external_attr = 0o644 << 16
    archive.writestr(member, content)


def write_import(
    path: Path, labels: list[str], images: list[dict], names: list[str], rows: list[dict]
) -> None:
    """Write boxes that a model has drawn as a zip that CVAT imports into a task with these images.

    Args:
        path: of the zip.
        labels: of the classes, in the order of `category_id`.
        images: entries of a COCO.
        names: of each image in the task.
        rows: of a COCO result file; those of other images are left out.
    """
    number_of = {image["id"]: number for number, image in enumerate(images, 1)}
    entries = [
        cvat_image(number_of[image["id"]], name, image["width"], image["height"])
        for image, name in zip(images, names, strict=True)
    ]
    boxes = []
    for row in rows:
        if number := number_of.get(row["image_id"]):
            x, y, width, height = row["bbox"]
            box = cvat_rectangle(
                len(boxes) + 1, number, row["category_id"], (x, y, x + width, y + height),
                occluded=False, source="auto",
            )  # fmt: skip
            boxes.append({**box, "score": round(row["score"], 4)} if "score" in row else box)
    with atomic_path(path) as tmp, ZipFile(tmp, "w") as archive:
        add_json(archive, cvat_categories(labels), entries, boxes)


def task_names(file_names: list[str]) -> list[str]:
    """Return names for the pictures of a new task, without folders and different from each other.

    CVAT knows frames by their names without suffix, and takes a number for a frame number; so no
    two names are equal without their suffixes, and none is a number. The order stays, and the last
    number of each name.
    """
    taken: set[str] = set()
    names = []
    for file_name in file_names:
        path = PurePosixPath(file_name)
        stem = "_".join((*path.parts[:-1], path.stem))
        stem = f"frame_{stem}" if stem.strip().isdecimal() else stem
        own, count = stem, 1
        while own.casefold() in taken:
            count += 1
            own = f"{count}_{stem}"
        taken.add(own.casefold())
        names.append(own + path.suffix)
    return names
