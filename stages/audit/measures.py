"""Box sizes at the model's input, counts by class and split, and sampling across groups."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.core.boxes import letterbox_scale
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

    def too_small(self) -> np.ndarray:
        """Mark the boxes that are too small to learn well: bool [n]."""
        return self.input_wh.min(axis=1) < MIN_SIDE_PX


def measure(coco: dict, input_hw: tuple[int, int]) -> Boxes:
    """Collect the boxes of a clean COCO with their sizes at the model's input (height, width)."""
    row_of = {image["id"]: row for row, image in enumerate(coco["images"])}
    annotations = coco["annotations"]
    images = np.array([row_of[box["image_id"]] for box in annotations], int)
    sizes_wh = np.array([[image["width"], image["height"]] for image in coco["images"]], float)
    xywh = np.array([box["bbox"] for box in annotations], float).reshape(-1, 4)
    frame_wh = sizes_wh[images]
    scales = np.array([letterbox_scale((height, width), input_hw) for width, height in sizes_wh])
    return Boxes(
        ids=np.array([box["id"] for box in annotations], int),
        images=images,
        classes=np.array([box["category_id"] - 1 for box in annotations], int),
        xywh=xywh,
        frame_wh=frame_wh,
        input_wh=xywh[:, 2:] * scales[images, None],
    )


def splits_of(coco: dict, split: Path) -> list[str]:
    """Return the split of each image; an image that no list names is left out."""
    split_of = {}
    for name in SPLITS:
        path = split / f"{name}.json"
        if name != "test" or path.exists():
            split_of |= {image["id"]: name for image in read_coco(path)["images"]}
    return [split_of.get(image["id"], LEFT_OUT) for image in coco["images"]]


def count_splits(splits: Sequence[str]) -> dict[str, int]:
    """Count the images of each split; test and left out only where they have any."""
    counts = {name: splits.count(name) for name in (*SPLITS, LEFT_OUT)}
    return {name: n for name, n in counts.items() if n or name in ("train", "val")}


def class_rows(boxes: Boxes, labels: list[str], splits: list[str]) -> list[dict]:
    """Return `label`, `boxes`, `images` and `splits` (boxes by split) of each class."""
    split_of_box = np.array(splits)[boxes.images]
    rows = []
    for index, label in enumerate(labels):
        own = boxes.classes == index
        in_split = {name: int((split_of_box[own] == name).sum()) for name in count_splits(splits)}
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
