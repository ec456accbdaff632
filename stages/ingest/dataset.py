"""Write annotations.json and report.json, and warn of what is probably not meant."""

from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

from stages.admission.findings import Findings, in_order, quote
from stages.common.coco import MAX_BOXES, all_series, counts_by
from stages.common.files import write_json
from stages.ingest.boxes import Box, Image

# Beyond it the short side shrinks below 40 px at an input of 640.
MAX_ASPECT = 16
# What annotations.json says of an Image as it is, in this order.
COPIED = ("file_name", "width", "height", "sha256", "dhash", "export", "subset")


def write_dataset(folder: Path, labels: list[str], images: list[Image], findings: Findings) -> dict:
    """Write annotations.json and report.json into a folder; return the former."""
    coco = clean_coco(labels, images)
    write_json(folder / "annotations.json", coco)
    warn_labels(labels, images, findings)
    warn_images(images, findings)
    write_json(folder / "report.json", report(coco, findings))
    return coco


def clean_coco(labels: list[str], images: list[Image]) -> dict:
    """Return the clean COCO of stages/common/coco.py.

    Ids run from 1: categories by name, images by export, subset and file name, annotations by image
    and the id that they had. So the order of an export makes no difference.
    """
    category_ids = {label: index for index, label in enumerate(labels, 1)}
    coco = {
        "info": {},
        "categories": [{"id": index, "name": label} for label, index in category_ids.items()],
        "images": [],
        "annotations": [],
    }
    ranked = sorted(images, key=lambda image: (image.export, image.subset, image.file_name))
    series = all_series([image.target for image in ranked])
    for image_id, (image, group) in enumerate(zip(ranked, series, strict=True), 1):
        copied = {key: getattr(image, key) for key in COPIED}
        coco["images"].append({"id": image_id, **copied, "group": group})
        for box in image.boxes:
            coco["annotations"].append(
                {
                    "id": len(coco["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": category_ids[box.label],
                    "bbox": list(box.bbox_xywh),
                    "area": round(box.bbox_xywh[2] * box.bbox_xywh[3], 2),
                    "iscrowd": 0,
                }
            )
    return coco


def report(coco: dict, findings: Findings) -> dict:
    """Return the content of report.json: counts, box sizes, repairs and warnings."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    boxes = coco["annotations"]
    labelled = {box["image_id"] for box in boxes}
    boxes_of_class = Counter(names[box["category_id"]] for box in boxes)
    return {
        "images": len(coco["images"]),
        "images_without_boxes": sum(image["id"] not in labelled for image in coco["images"]),
        "boxes": len(boxes),
        "classes": {name: boxes_of_class[name] for name in names.values()},
        "exports": counts_by(coco, "export"),
        "subsets": counts_by(coco, "subset"),
        "box_px": spread([box["bbox"][2:] for box in boxes]),
        "repairs": in_order(findings.repairs),
        "warnings": in_order(findings.warnings),
    }


def spread(sizes_wh: list[tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Return smallest, median and largest width and height in px, rounded to 0.01."""
    statistics = {"min": min, "median": median, "max": max}
    widths, heights = zip(*sizes_wh, strict=True)
    return {
        side: {name: round(function(values), 2) for name, function in statistics.items()}
        for side, values in (("width", widths), ("height", heights))
    }


def warn_labels(labels: list[str], images: list[Image], findings: Findings) -> None:
    """Warn of labels without boxes, in one subset only, or nearly the same as another."""
    subsets_of = defaultdict(set)
    for image in images:
        for box in image.boxes:
            subsets_of[box.label].add(image.subset)
    subsets = {image.subset for image in images if image.boxes}
    groups = defaultdict(list)
    for label in labels:
        groups[normalize_label(label)].append(label)
        if label not in subsets_of:
            findings.warn("categories", f"label {quote(label)} has no boxes; it is kept")
        elif missing := sorted(subsets - subsets_of[label]):
            names = ", ".join(map(quote, missing))
            findings.warn("categories", f"label {quote(label)} has no boxes in subset {names}")
    for group in groups.values():
        if len(group) > 1:
            names = " and ".join(map(quote, group))
            findings.warn("categories", f"labels {names} are nearly the same; are they one?")


def normalize_label(label: str) -> str:
    """Remove what people vary by mistake: case, spaces and punctuation."""
    return "".join(filter(str.isalnum, label.casefold())) or label


def warn_images(images: list[Image], findings: Findings) -> None:
    """Warn of extreme shapes, too many boxes, equal boxes, and images with equal bytes."""
    groups = defaultdict(list)
    for image in images:
        groups[image.sha256].append(image)
        short, long = sorted((image.width, image.height))
        named, ids = quote(image.name), {"image": image.source_id}
        if long > MAX_ASPECT * short:
            what = f"{named} is {image.width}x{image.height}: little is left at the input"
            findings.warn(image.file, what, **ids)
        if len(image.boxes) > MAX_BOXES:
            what = f"{named} has {len(image.boxes)} boxes; training sees {MAX_BOXES} of them"
            findings.warn(image.file, what, **ids)
        warn_equal_boxes(image, findings)
    for group in groups.values():
        if len(group) > 1:
            names = ", ".join(quote(image.path) for image in group[:5])
            what = f"{len(group)} identical images: {names}; they stay in one split"
            findings.warn(group[0].file, what, image=group[0].source_id)


def warn_equal_boxes(image: Image, findings: Findings) -> None:
    first: dict[tuple, Box] = {}
    for box in image.boxes:
        earlier = first.setdefault((box.label, box.bbox_xywh), box)
        if earlier is not box:
            what = f"same box and label as annotation {earlier.source_id}; both are kept"
            findings.warn(image.file, what, annotation=box.source_id)
