"""From records to annotations.json and report.json."""

from collections import Counter
from statistics import median

from stages.ingest.findings import Findings, ordered
from stages.ingest.images import Stored
from stages.ingest.series import group_of
from stages.ingest.types import Picture

# The finest grid on which a YOLOX model looks for boxes has cells of 8 px.
SMALL_PX = 8


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
                "dhash": one.dhash,
                "subset": picture.subset,
                "group": group_of(picture.path),
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


def report(coco: dict, input_hw: tuple[int, int], findings: Findings) -> dict:
    """What report.json says: counts, box sizes, and what was repaired or deserves a look.

    Args:
        input_hw: height and width of the model's input, for the sizes that it will see.
    """
    names = {category["id"]: category["name"] for category in coco["categories"]}
    subset_of = {image["id"]: image["subset"] for image in coco["images"]}
    boxes = coco["annotations"]
    per_class = Counter(names[box["category_id"]] for box in boxes)
    images_of = Counter(subset_of.values())
    boxes_of = Counter(subset_of[box["image_id"]] for box in boxes)
    with_boxes = {box["image_id"] for box in boxes}
    sizes_wh = sizes_at_input(coco, input_hw)
    small = sum(min(size_wh) < SMALL_PX for size_wh in sizes_wh)
    warn_small(small, len(boxes), input_hw, findings)
    return {
        "images": len(coco["images"]),
        "images_without_boxes": len(coco["images"]) - len(with_boxes),
        "boxes": len(boxes),
        "classes": {name: per_class[name] for name in names.values()},
        "subsets": {
            subset: {"images": images, "boxes": boxes_of[subset]}
            for subset, images in images_of.items()
        },
        "box_px": spreads([box["bbox"][2:] for box in boxes]),
        "box_px_at_input": spreads(sizes_wh),
        "boxes_under_8px": small,
        "input_hw": list(input_hw),
        "repairs": ordered(findings.repairs),
        "warnings": ordered(findings.warnings),
    }


def sizes_at_input(coco: dict, input_hw: tuple[int, int]) -> list[tuple[float, float]]:
    """Width and height of each box where its picture fills the model's input, in px."""
    scales = {
        image["id"]: min(input_hw[0] / image["height"], input_hw[1] / image["width"])
        for image in coco["images"]
    }
    return [
        tuple(side * scales[box["image_id"]] for side in box["bbox"][2:])
        for box in coco["annotations"]
    ]


def warn_small(small: int, boxes: int, input_hw: tuple[int, int], findings: Findings) -> None:
    """One warning for all boxes that the model will hardly see."""
    if small:
        size = f"{SMALL_PX} px at the model's input {input_hw[0]}x{input_hw[1]}"
        what = f"{small} of {boxes} boxes are smaller than {size}: they will hardly be learned"
        findings.warn("annotations", f"{what}; raise model.input_hw")


def spreads(sizes_wh: list[tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Smallest, median and largest width and height in px, rounded to 0.01."""
    return {
        side: {
            "min": round(min(values), 2),
            "median": round(median(values), 2),
            "max": round(max(values), 2),
        }
        for side, values in zip(("width", "height"), zip(*sizes_wh, strict=True), strict=True)
    }
