"""The order in which train images calibrate: any first N of them show some of everything."""

import hashlib
from collections import Counter

# Upper bounds of the square root of a box's area as a share of that of its image.
BOX_SCALES = (0.02, 0.05, 0.1, 0.2, 0.4)


def spread_out(
    images: list[dict], boxes_of: dict[int, list[dict]], units: dict[int, str], seed: int
) -> list[dict]:
    """Orders images so that units, classes and box sizes take turns.

    Args:
        images: the train images.
        boxes_of: annotations by image id.
        units: the key of each image's unit by image id.
        seed: of the split.
    """
    frequency = Counter(box["category_id"] for boxes in boxes_of.values() for box in boxes)
    stratum = {
        image["id"]: rarest_box(image, boxes_of.get(image["id"], []), frequency) for image in images
    }
    order = sorted(images, key=lambda image: draw(seed, image["sha256"], image["file_name"]))
    order = in_turns(order, lambda image: (stratum[image["id"]], units[image["id"]]), seed)
    return in_turns(order, lambda image: stratum[image["id"]], seed)


def rarest_box(image: dict, boxes: list[dict], frequency: Counter) -> tuple[int, int]:
    """Class and size step of the image's box whose class is the rarest; (0, 0) without boxes."""
    if not boxes:
        return 0, 0
    box = min(boxes, key=lambda box: (frequency[box["category_id"]], box["id"]))
    scale = (box["bbox"][2] * box["bbox"][3] / (image["width"] * image["height"])) ** 0.5
    return box["category_id"], sum(scale > bound for bound in BOX_SCALES)


def in_turns(images: list[dict], key, seed: int) -> list[dict]:
    """One image of each key, then a second of each, and so on; within a key as they came."""
    seen: Counter = Counter()
    ranked = []
    for position, image in enumerate(images):
        ranked.append((seen[key(image)], draw(seed, key(image)), position))
        seen[key(image)] += 1
    return [images[position] for *_, position in sorted(ranked)]


def draw(seed: int, *what: object) -> str:
    return hashlib.sha256(f"{seed} calibration {what}".encode()).hexdigest()
