"""Read the JSON files of an export: every value checked, every fault collected.

Ids are valid inside one file only: CVAT numbers annotations from 1 in every subset, and gives
images of equal names in two subsets the same id.
"""

from collections import defaultdict

from stages.admission.findings import Findings, quote
from stages.admission.source import Source, name_fault, plain_path
from stages.common.params import Ingest
from stages.common.run import UserError
from stages.ingest.boxes import Image, read_box
from stages.ingest.conventions import check_convention
from stages.ingest.layout import INSTANCES, annotation_files, no_annotations
from stages.ingest.schema import (
    Annotation,
    Category,
    Coco,
    ImageEntry,
    as_int,
    checked,
    checked_annotation,
    given,
    parse_json,
)

# OpenCV, which reads the images in every later stage, refuses larger ones.
OPENCV_MAX_PIXELS = 2**30
DUPLICATE_ID = {
    "image": ": CVAT gives names that differ only in their ending one id; rename one of them",
    "annotation": "; ids are unique within a file",
    "category": "; ids are unique within a file",
}


def read_annotations(
    source: Source, limits: Ingest, findings: Findings, export: str = ""
) -> tuple[list[str], list[Image]]:
    """Read all subsets of an export.

    Args:
        source: the files of the export.
        limits: what is admitted.
        findings: takes faults, repairs and warnings.
        export: its name, if there are several.

    Returns:
        Label names, sorted; images sorted by subset and name.

    Raises:
        UserError: none of its JSON files is COCO.
    """
    max_pixels = round(min(limits.max_megapixels * 10**6, OPENCV_MAX_PIXELS))
    labels: set[str] = set()
    images: list[Image] = []
    found, others = False, {}
    for path, subset in sorted(annotation_files(source.files).items()):
        file = path.removeprefix("annotations/")
        file = f"{export}/{file}" if export else file
        if fault := name_fault(subset):
            findings.fault(quote(file), f"its subset name {fault}; rename the subset")
            continue
        with findings.collect(file):
            content = parse_json(source.read(path))
            coco = as_coco(path, content)
            if coco is None:
                others[path] = content
                lists = ", ".join(Coco.model_fields)
                findings.warn(file, f"is not COCO with the lists {lists}; left out")
                continue
            found = True
            names = read_categories(file, coco.categories, findings)
            listed = read_images(export, file, subset, coco.images, max_pixels, findings)
            read_boxes(file, coco.annotations, names, listed, findings)
            labels.update(names.values())
            images += {id(image): image for image in listed.values() if image}.values()
            if not listed:
                findings.warn(file, "lists no images; the subset is left out")
    if not findings.faults and not found:
        raise UserError(no_annotations(source, others))
    return sorted(labels), sorted(images, key=lambda image: (image.subset, image.name))


def as_coco(path: str, content: object) -> Coco | None:
    """Check one JSON file; None if it is about something else and not named as CVAT names it.

    Raises:
        UserError: it is not COCO.
    """
    try:
        if not isinstance(content, dict):
            raise UserError(f"is {quote(content)}, expected an object with images and so on")
        return checked(Coco, content)
    except UserError:
        if INSTANCES.fullmatch(path):
            raise
        return None


def entries(file: str, kind: str, values: list, findings: Findings) -> list[tuple[int, dict]]:
    """Return the entries of a list by id, sorted; entries without a usable id become faults."""
    found: dict[int, dict] = {}
    for number, entry in enumerate(values, 1):
        what = f"{kind} entry {number}"
        if not isinstance(entry, dict):
            findings.fault(file, f"{what} is {quote(entry)}, expected an object")
        elif (key_id := as_int(entry.get("id"))) is None:
            findings.fault(file, f"{what}: id is {given(entry, 'id')}, expected a whole number")
        elif key_id in found:
            name = entry.get("file_name", entry.get("name"))
            named = f" ({quote(name)})" if name is not None else ""
            findings.fault(file, f"{what}{named} has the duplicate id {key_id}{DUPLICATE_ID[kind]}")
        else:
            found[key_id] = entry
    return sorted(found.items())


def read_categories(file: str, values: list, findings: Findings) -> dict[int, str]:
    """Return label names by category id, an empty one for an entry with a fault.

    CVAT lists each sub-label of a skeleton, so one name may occur under several parents.
    """
    names: dict[int, str] = {}
    parents: dict[str, set[str]] = defaultdict(set)
    for category_id, entry in entries(file, "category", values, findings):
        names[category_id] = ""
        with findings.collect(file, category=category_id):
            category = checked(Category, entry)
            name, parent = category.name, quote(category.supercategory or "")
            if parent in parents[name]:
                raise UserError(f"duplicate category name {quote(name)}")
            parents[name].add(parent)
            names[category_id] = name
    for name, several in parents.items():
        if len(several) > 1:
            what = f"label {quote(name)} is listed under {len(several)} supercategories"
            findings.warn(file, f"{what} ({', '.join(sorted(several)[:5])}); merged into one")
    return names


def read_images(
    export: str, file: str, subset: str, values: list, max_pixels: int, findings: Findings
) -> dict[int, Image | None]:
    """Return images by id, None for those with a fault, so that their boxes are not faults too.

    Home-made COCO lists an image anew for each of its boxes; such entries become one image.
    """
    images: dict[int, Image | None] = {}
    by_name: dict[str, Image] = {}
    for image_id, entry in entries(file, "image", values, findings):
        images[image_id] = None
        with findings.collect(file, image=image_id):
            image = checked(ImageEntry, entry)
            name, width, height = image.file_name, image.width, image.height
            foreign = name if name_fault(name) else ""
            name = plain_path(name) if foreign else name
            if width * height > max_pixels:
                size = f"{quote(width)}x{quote(height)}"
                limit = f"{max_pixels} pixels (ingest.max_megapixels)"
                raise UserError(f"{quote(name)}: {size} is over the limit of {limit}")
            image = Image(export, file, subset, image_id, name, width, height, foreign)
            first = by_name.setdefault(name, image)
            if (first.width, first.height) != (width, height):
                raise UserError(
                    f"duplicate file_name {quote(name)}, as image {first.source_id}, which is "
                    f"{first.width}x{first.height} and not {width}x{height}"
                )
            if first is not image:
                what = f"{quote(name)} is image {first.source_id}, too; their boxes were united"
                findings.repair(file, what, image=image_id)
            images[image_id] = first
    return images


def read_boxes(
    file: str,
    values: list,
    names: dict[int, str],
    images: dict[int, Image | None],
    findings: Findings,
) -> None:
    """Add the box of each annotation to its image.

    Raises:
        UserError: most boxes only make sense in another convention.
    """
    ids = {"image_id": images, "category_id": names}
    found: dict[int, tuple[Annotation, Image]] = {}
    for annotation_id, entry in entries(file, "annotation", values, findings):
        with findings.collect(file, annotation=annotation_id):
            annotation = checked_annotation(entry, ids)
            if image := images[annotation.image_id]:
                found[annotation_id] = annotation, image
    if doubt := check_convention(list(found.values())):
        findings.warn(file, doubt)
    for annotation_id, (annotation, image) in found.items():
        with findings.collect(file, annotation=annotation_id):
            label = names[annotation.category_id]
            box = read_box(annotation, annotation_id, label, image, findings)
            image.boxes += [box] if box else []
