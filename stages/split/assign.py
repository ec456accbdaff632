"""From units to the side of every image."""

import numpy as np

from stages.common.params import Split
from stages.split.assign_splits import SIDES, draw_sides, place, shares_of, side_of_subset
from stages.split.near_duplicates import twins


def sides_of(coco: dict, keys: list[str], params: Split) -> np.ndarray:
    """The side of each image, all of one unit on the same unless its subsets say otherwise.

    Returns:
        int [images], index into SIDES.
    """
    images = coco["images"]
    given = given_sides(images) if params.use_subsets else np.full(len(images), -1)
    names, unit = np.unique(keys, return_inverse=True)
    free = given < 0
    column = {category["id"]: i for i, category in enumerate(coco["categories"], 1)}
    row = {image["id"]: index for index, image in enumerate(images)}
    amounts = np.zeros((len(names), 1 + len(column)), int)
    np.add.at(amounts, (unit[free], 0), 1)
    for box in coco["annotations"]:
        if free[row[box["image_id"]]]:
            amounts[unit[row[box["image_id"]]], column[box["category_id"]]] += 1
    places = np.array([place(name, params.seed) for name in names])
    used = amounts[:, 0] > 0
    drawn = np.full(len(names), -1)
    drawn[used] = draw_sides(places[used], amounts[used], shares_of(params.ratio, params.test))
    return np.where(free, drawn[unit], given)


def given_sides(images: list[dict]) -> np.ndarray:
    """The side that each image's subset names, -1 for none.

    An export with a train subset but none to judge by has its val side drawn from that.
    """
    given = np.array([-1 if (s := side_of_subset(i["subset"])) is None else s for i in images])
    if not (given == SIDES.index("val")).any():
        given[given == SIDES.index("train")] = -1
    return given


def without_twins(sides: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The sides, with -1 for judged images that have a twin in train, or in test and val.

    Units leave such pairs only where groups or subsets were given: frames at the seam of two
    blocks of time, or a picture in two subsets.
    """
    kept = sides.copy()
    for index, others, _ in twins(codes):
        kept[others[sides[others] > sides[index]]] = -1
        kept[index] = -1 if (sides[others] < sides[index]).any() else kept[index]
    return kept
