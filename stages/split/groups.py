"""The assignment of groups to train, val and test.

A group is a set of images that stays in one split. Each group has a position from 0 to 1, a hash
of its key: train takes the positions from 0, then val, then test up to 1. So a group keeps its
split when other images are added or removed, or the order changes. The shares then hold on
average only. Where one is off by more than TOLERANCE, or a class is missing from a split, the
groups nearest to a boundary change splits until both are fixed; this happens in small data sets
and with few large groups. Of several exports, the groups of later ones make up for it.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable

import numpy as np

from stages.common.coco import series_of, subset
from stages.common.groups import find_near_duplicates, group_keys
from stages.common.params import Split
from stages.common.run import UserError
from stages.split.subsets import splits_of_subsets

# Of the images, and of the boxes of each class. From some hundred groups on, chance stays below.
TOLERANCE = 0.1


def check_time(images: list[dict], keys: list[str], block: int) -> None:
    """Check that `split.group_by: time` has put most images into blocks with others.

    Raises:
        UserError: the last numbers of the names are not those of frames, or too far apart.
    """
    count = Counter(keys)
    alone = [i["file_name"] for i, key in zip(images, keys, strict=True) if count[key] == 1]
    if len(images) < 3 or len(alone) <= len(images) / 2:
        return
    series = defaultdict(set)
    for image in images:
        name, number = image["group"], series_of(image["file_name"])[1]
        series[name] |= {number} - {None}
    steps = [step for numbers in series.values() for step in np.diff(sorted(numbers)).tolist()]
    step = int(np.median(steps)) if len(steps) > len(images) / 2 else None
    why = f"their numbers are {step} apart: set split.block to {10 * step}" if step else (
        "their names hold no frame numbers that can be told apart"
    )  # fmt: skip
    raise UserError(
        f"split.group_by is time, and {len(alone)} of {len(images)} images are alone in their "
        f"block of {block} frame numbers, for example {', '.join(map(repr, alone[:3]))}; {why}, or "
        "set split.group_by to none or to a pattern of the names"
    )


def position(key: str, seed: int) -> float:
    """Return a fixed random number, at least 0 and below 1, for a group."""
    digest = hashlib.sha256(f"{seed} split {key}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def shares_of(ratio: float, test: float) -> np.ndarray:
    """Return the target shares of train, val and test."""
    return np.array([ratio, 1 - ratio - test, test])


def assign_splits(coco: dict, hashes: np.ndarray, params: Split) -> np.ndarray:
    """Assign each image to a split: int [images], index into SPLITS, -1 for left out.

    All images of a group go to the same split, except where the subsets of the export say
    otherwise. A val or test image with a near duplicate in train is left out, and so is a test
    image with one in val. Such pairs remain only where groups or subsets were given: frames on
    both sides of a block boundary, or one picture in two subsets.
    """
    subsets = [image["subset"] if params.use_subsets else "" for image in coco["images"]]
    fixed = splits_of_subsets(subsets, params.subsets if params.use_subsets else {})
    shares = shares_of(params.ratio, params.test)

    def draw(rows: np.ndarray, settled: np.ndarray) -> np.ndarray:
        images = [coco["images"][row] for row in rows]
        keys = group_keys(images, hashes[rows], params.group_by, params.block)
        names, group = np.unique(keys, return_inverse=True)
        own = np.where(fixed[rows] < 0, group, -1)
        positions = np.array([position(name, params.seed) for name in names])
        amounts = amounts_of(subset(coco, images), own, len(names))
        drawn, used = np.full(len(names), -1), amounts[:, 0] > 0
        before = sides_of(own, settled, len(names))
        drawn[used] = split_groups(positions[used], amounts[used], shares, before[used])
        return np.where(own < 0, fixed[rows], drawn[group])

    splits = export_by_export(coco["images"], draw)
    kept = splits.copy()
    for index, others, _ in find_near_duplicates(hashes):
        kept[others[splits[others] > splits[index]]] = -1
        if (splits[others] < splits[index]).any():
            kept[index] = -1
    return kept


def export_by_export(
    images: list[dict], draw: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """Draw sides for the images of the first export, then of the first two, and so on.

    So images keep their side when an export is added whose name comes after theirs.

    Args:
        images: of the clean COCO.
        draw: takes the rows of images and the sides that were drawn for them before, -1 for new
            ones, and returns their sides.

    Returns:
        int [images].
    """
    exports, number = np.unique([image["export"] for image in images], return_inverse=True)
    sides = np.full(len(images), -1)
    for last in range(len(exports)):
        rows = np.flatnonzero(number <= last)
        sides[rows] = draw(rows, sides[rows])
    return sides


def sides_of(group: np.ndarray, settled: np.ndarray, groups: int) -> np.ndarray:
    """Return the side that most images of each group have: int [groups], -1 where none has one.

    Args:
        group: int [images], index of each image's group; -1 for images that do not count.
        settled: int [images], their sides; -1 for new images.
        groups: number of groups.
    """
    counts = np.zeros((groups, max(settled.max(initial=0) + 1, 1)), int)
    known = (group >= 0) & (settled >= 0)
    np.add.at(counts, (group[known], settled[known]), 1)
    return np.where(counts.any(1), counts.argmax(1), -1)


def amounts_of(coco: dict, group: np.ndarray, groups: int) -> np.ndarray:
    """Count the images, and the boxes of each class, in each group: int [groups, 1 + classes].

    Args:
        coco: its images and boxes.
        group: int [images], index of each image's group; -1 for images that do not count.
        groups: number of groups.
    """
    column = {category["id"]: i for i, category in enumerate(coco["categories"], 1)}
    group_of = dict(zip((image["id"] for image in coco["images"]), group.tolist(), strict=True))
    amounts = np.zeros((groups, 1 + len(column)), int)
    np.add.at(amounts, (group[group >= 0], 0), 1)
    for box in coco["annotations"]:
        if group_of[box["image_id"]] >= 0:
            amounts[group_of[box["image_id"]], column[box["category_id"]]] += 1
    return amounts


def split_groups(
    positions: np.ndarray,
    amounts: np.ndarray,
    shares: np.ndarray,
    settled: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Split groups by position, and correct shares that are far off.

    Args:
        positions: float [groups], from `position`.
        amounts: int [groups, 1 + classes], images and boxes of each class in each group.
        shares: float [splits], target share of each split, sum 1.
        settled: int [groups], splits that stay as they are; -1 for groups that are drawn.
        tolerance: by which shares may be off.

    Returns:
        int [groups], index of a split.
    """
    splits = np.searchsorted(np.cumsum(shares)[:-1], positions, side="right")
    free = np.ones(len(splits), bool) if settled is None else settled < 0
    splits = splits if settled is None else np.where(free, splits, settled)
    while (move := _best_move(splits, free, positions, amounts, shares, tolerance)) is not None:
        group, split = move
        splits[group] = split
    return splits


def _best_move(
    splits: np.ndarray,
    free: np.ndarray,
    positions: np.ndarray,
    amounts: np.ndarray,
    shares: np.ndarray,
    tolerance: float,
) -> tuple[int, int] | None:
    """Find the free group nearest to a boundary whose move to a new split lowers the error."""
    totals = np.stack([amounts[splits == split].sum(0) for split in range(len(shares))])
    groups_with = (amounts > 0).sum(0)
    error = _share_error(totals, groups_with, shares, tolerance)
    if error == 0:
        return None
    edges = np.concatenate([[0.0], np.cumsum(shares)])
    moves = []
    for split in np.flatnonzero(shares).tolist():
        distance = np.maximum(edges[split] - positions, positions - edges[split + 1])
        order = np.argsort(distance, kind="stable")
        for group in order[free[order]].tolist():
            after = totals.copy()
            after[splits[group]] -= amounts[group]
            after[split] += amounts[group]
            if _share_error(after, groups_with, shares, tolerance) < error - 1e-9:
                moves.append((distance[group], group, split))
                break
    return min(moves)[1:] if moves else None


def _share_error(
    totals: np.ndarray, groups_with: np.ndarray, shares: np.ndarray, tolerance: float
) -> float:
    """Sum the share errors beyond the tolerance, plus one for each quantity a split lacks.

    Args:
        totals: [splits, quantities], images and boxes of each class in each split.
        groups_with: [quantities], number of groups that have some of it.
        shares: [splits].
    """
    every, shares = totals.sum(0), shares[:, None]
    off = np.abs(totals / np.maximum(every, 1) - shares * (every > 0))
    lacking = (totals == 0) & (shares > 0) & (groups_with >= np.count_nonzero(shares))
    return (np.maximum(off - tolerance, 0) + lacking).sum()
