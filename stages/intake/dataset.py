"""From records to annotations.json and report.json."""

from collections import Counter
from statistics import median

from stages.intake.findings import Findings, ordered
from stages.intake.pictures import Stored
from stages.intake.records import Picture


def clean_coco(labels: list[str], pictures: list[Picture], stored: list[Stored]) -> dict:
    """The clean COCO of stages/common/coco.py.

    Ids run from 1: categories by name, images by subset and file name, annotations by image
    and the id that they had. So the order of the export makes no difference.
    """
    category_ids = {label: index for index, label in enumerate(labels, 1)}
    images, annotations = [], []
    ranked = sorted(zip(pictures, stored, strict=True), key=lambda p: (p[0].subset, p[1].file_name))
    for image_id, (picture, one) in enumerate(ranked, 1):
        images.append(
            {
                "id": image_id,
                "file_name": one.file_name,
                "width": picture.width,
                "height": picture.height,
                "sha256": one.sha256,
                "subset": picture.subset,
            }
        )
        for box in picture.boxes:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_ids[box.label],
                    "bbox": list(box.bbox_xywh),
                    "area": round(box.bbox_xywh[2] * box.bbox_xywh[3], 2),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": index, "name": label} for label, index in category_ids.items()]
    return {
        "info": {},
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }


def report(coco: dict, findings: Findings) -> dict:
    """What report.json says: counts, box sizes, and what was repaired or deserves a look."""
    names = {category["id"]: category["name"] for category in coco["categories"]}
    subset_of = {image["id"]: image["subset"] for image in coco["images"]}
    boxes = coco["annotations"]
    per_class = Counter(names[box["category_id"]] for box in boxes)
    images_of = Counter(subset_of.values())
    boxes_of = Counter(subset_of[box["image_id"]] for box in boxes)
    with_boxes = {box["image_id"] for box in boxes}
    return {
        "images": len(coco["images"]),
        "images_without_boxes": len(coco["images"]) - len(with_boxes),
        "boxes": len(boxes),
        "classes": {name: per_class[name] for name in names.values()},
        "subsets": {
            subset: {"images": images, "boxes": boxes_of[subset]}
            for subset, images in images_of.items()
        },
        "box_px": {
            "width": spread([box["bbox"][2] for box in boxes]),
            "height": spread([box["bbox"][3] for box in boxes]),
        },
        "repairs": ordered(findings.repairs),
        "warnings": ordered(findings.warnings),
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": round(median(values), 2), "max": max(values)}
