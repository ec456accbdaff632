"""The order in which train images calibrate: the first N are a varied sample for any N."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable

from stages.common.coco import subset

# Upper bounds of the square root of a box's area as a share of that of its image.
BOX_SCALES = (0.02, 0.05, 0.1, 0.2, 0.4)


def calibration_list(train: dict, coco: dict, keys: list[str], seed: int) -> dict:
    """Return the COCO of a train list in the order in which its images calibrate.

    Args:
        train: some images of `coco`.
        coco: the whole data set.
        keys: group of each image of `coco`.
        seed: of the split.
    """
    boxes = defaultdict(list)
    for box in train["annotations"]:
        boxes[box["image_id"]].append(box)
    groups = dict(zip((image["id"] for image in coco["images"]), keys, strict=True))
    return subset(train, calibration_order(train["images"], boxes, groups, seed))


def calibration_order(
    images: list[dict], boxes_of: dict[int, list[dict]], groups: dict[int, str], seed: int
) -> list[dict]:
    """Order the train images so that classes, box sizes and groups alternate.

    Args:
        images: the train images.
        boxes_of: annotations by image id.
        groups: group key by image id.
        seed: of the split.
    """
    frequency = Counter(box["category_id"] for boxes in boxes_of.values() for box in boxes)
    stratum = {
        image["id"]: _rarest_box(image, boxes_of.get(image["id"], []), frequency)
        for image in images
    }
    order = sorted(images, key=lambda image: _hash(seed, image["sha256"], image["file_name"]))
    order = _interleave(order, lambda image: (stratum[image["id"]], groups[image["id"]]), seed)
    return _interleave(order, lambda image: stratum[image["id"]], seed)


def _rarest_box(image: dict, boxes: list[dict], frequency: Counter) -> tuple[int, int]:
    """Return class and size step of the image's box of the rarest class; (0, 0) without boxes."""
    if not boxes:
        return 0, 0
    box = min(boxes, key=lambda box: (frequency[box["category_id"]], box["id"]))
    scale = (box["bbox"][2] * box["bbox"][3] / (image["width"] * image["height"])) ** 0.5
    return box["category_id"], sum(scale > bound for bound in BOX_SCALES)


def _interleave(images: list[dict], key: Callable, seed: int) -> list[dict]:
    """Take one image of each key, then a second of each, and so on; stable within a key."""
    seen: Counter = Counter()
    ranked = []
    for index, image in enumerate(images):
        ranked.append((seen[key(image)], _hash(seed, key(image)), index))
        seen[key(image)] += 1
    return [images[index] for *_, index in sorted(ranked)]


def _hash(seed: int, *parts: object) -> str:
    return hashlib.sha256(f"{seed} calibration {parts}".encode()).hexdigest()
