"""Box sizes at the model's input, counts by class and split, and sampling across groups."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.common.coco import read_coco

# The finest stride of YOLOX: a smaller box is smaller than a grid cell.
MIN_SIDE_PX = 8
SPLITS = ("train", "val", "test")
LEFT_OUT = "left out"


@dataclass(frozen=True)
class Boxes:
    """All boxes of a data set, one row each, in the order of its annotations."""

    ids: np.ndarray  # int [n], of the annotations
    images: np.ndarray  # int [n], rows of the COCO's images
    classes: np.ndarray  # int [n], class indices
    xywh: np.ndarray  # float [n, 4], pixels of the frame
    frame_wh: np.ndarray  # float [n, 2], pixels
    input_wh: np.ndarray  # float [n, 2], size of the box in pixels of the model's input


def input_scale(frame_wh: np.ndarray, input_hw: tuple[int, int]) -> np.ndarray:
    """Return the letterbox scale: float [n] for frame_wh [n, 2]."""
    return np.min(np.array(input_hw[::-1]) / frame_wh, axis=1)


def measure(coco: dict, input_hw: tuple[int, int]) -> Boxes:
    """Collect the boxes of a clean COCO with their sizes at the model's input (height, width)."""
    row_of = {image["id"]: row for row, image in enumerate(coco["images"])}
    annotations = coco["annotations"]
    images = np.array([row_of[box["image_id"]] for box in annotations], int)
    sizes_wh = np.array([[image["width"], image["height"]] for image in coco["images"]], float)
    xywh = np.array([box["bbox"] for box in annotations], float).reshape(-1, 4)
    frame_wh = sizes_wh[images]
    return Boxes(
        ids=np.array([box["id"] for box in annotations], int),
        images=images,
        classes=np.array([box["category_id"] - 1 for box in annotations], int),
        xywh=xywh,
        frame_wh=frame_wh,
        input_wh=xywh[:, 2:] * input_scale(frame_wh, input_hw)[:, None],
    )


def too_small(boxes: Boxes) -> np.ndarray:
    """Mark the boxes that are too small to learn well: bool [n]."""
    return boxes.input_wh.min(axis=1) < MIN_SIDE_PX


def by_area(boxes: Boxes) -> np.ndarray:
    """Sort the rows from the smallest to the largest box at the input."""
    return np.argsort(boxes.input_wh.prod(axis=1), kind="stable")


def rows_by_image(boxes: Boxes, images: int) -> list[tuple[int, ...]]:
    """Return the rows of the boxes of each image."""
    rows = [[] for _ in range(images)]
    for row, image in enumerate(boxes.images.tolist()):
        rows[image].append(row)
    return [tuple(one) for one in rows]


def splits_of(coco: dict, split: Path) -> list[str]:
    """Return the split of each image; an image that no list names is left out."""
    side_of = {}
    for side in SPLITS:
        path = split / f"{side}.json"
        if side != "test" or path.exists():
            side_of |= {image["id"]: side for image in read_coco(path)["images"]}
    return [side_of.get(image["id"], LEFT_OUT) for image in coco["images"]]


def count_splits(splits: Sequence[str]) -> dict[str, int]:
    """Count the images of each split; test and left out only where they have any."""
    counts = {side: splits.count(side) for side in (*SPLITS, LEFT_OUT)}
    return {side: n for side, n in counts.items() if n or side in ("train", "val")}


def class_rows(boxes: Boxes, labels: list[str], splits: list[str]) -> list[dict]:
    """Return `label`, `boxes`, `images` and `splits` (boxes by split) of each class."""
    side_of_box = np.array(splits)[boxes.images]
    rows = []
    for index, label in enumerate(labels):
        own = boxes.classes == index
        in_split = {side: int((side_of_box[own] == side).sum()) for side in count_splits(splits)}
        images = len(np.unique(boxes.images[own]))
        rows.append({"label": label, "boxes": int(own.sum()), "images": images, "splits": in_split})
    return rows


def spread(images: Sequence[int], groups: Sequence[str], count: int) -> list[int]:
    """Sample images evenly across groups, and within each group from start to end.

    Args:
        images: to choose from, in the order of time or name.
        groups: the group of each of them.
        count: how many to choose.
    """
    members = defaultdict(list)
    for image, group in zip(images, groups, strict=True):
        members[group].append(image)
    names = evenly(sorted(members), count)
    turns = sorted((turn, name) for name in names for turn in range(len(members[name])))
    taken = Counter(name for _, name in turns[:count])
    return [image for name in names for image in evenly(members[name], taken[name])]


def evenly(items: Sequence, count: int) -> list:
    """Return `count` of the items, or all, at equal distances."""
    count = min(count, len(items))
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]
