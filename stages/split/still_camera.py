"""Images of a camera that does not move, and dark or plain images.

Their difference hashes are nearly the same whatever happens in front of the camera, so all would
be one group and no split would be possible. Where nearly all images are like that, two of them are
near duplicates only if they show the same moment: numbered frames in one block of `split.block`
numbers, other images if their boxes are at the same places.
"""

import hashlib
from collections import defaultdict

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.common.coco import series_of

# Of all images that look the same: less can be one group, and stay in train.
STILL_SHARE, MIN_STILL = 0.85, 10
CLOSE_SHARE = 0.9  # of these, near to their mean; a camera that moves slowly has a chain of them
SAME_IOU = 0.5


def is_still(hashes: np.ndarray, labels: np.ndarray, max_bits: int) -> np.ndarray:
    """Return which images are of a camera that does not move: bool [images], all False for none.

    Args:
        hashes: difference hashes, uint64 [images, 4].
        labels: int [images], equal for images that near duplicates connect.
        max_bits: in which near duplicates differ.
    """
    found, counts = np.unique(labels, return_counts=True)
    members = labels == found[counts.argmax()]
    bits = np.unpackbits(hashes[members].view(np.uint8), axis=1)
    close = ((bits != (bits.mean(0) > 0.5)).sum(1) <= max_bits).mean()
    enough = members.sum() >= MIN_STILL and members.mean() > STILL_SHARE
    return members & bool(enough and close >= CLOSE_SHARE)


def with_moments(coco: dict, hashes: np.ndarray, still: np.ndarray, block: int) -> np.ndarray:
    """Append words to the hashes, uint64 [images, 8], that differ in about half of their bits
    between images of a still camera that show different moments."""
    images = [image for image, is_member in zip(coco["images"], still, strict=True) if is_member]
    numbers = [series_of(image["file_name"])[1] for image in images]
    if None in numbers:
        moments = same_boxes(coco, images)
    else:
        moments = [f"{i['group']} {n // block}" for i, n in zip(images, numbers, strict=True)]
    # Copies of a file show one moment whatever they are called.
    first: dict[str, str] = {}
    moments = [first.setdefault(i["sha256"], m) for i, m in zip(images, moments, strict=True)]
    words = np.zeros((len(hashes), 4), np.uint64)
    digests = b"".join(hashlib.sha256(str(moment).encode()).digest() for moment in moments)
    words[still] = np.frombuffer(digests, ">u8").reshape(-1, 4)
    return np.hstack([hashes, words])


def same_boxes(coco: dict, images: list[dict]) -> list[str]:
    """Return a label for each image, equal where boxes at the same places connect images.

    Two images are connected if each box of either overlaps one of the other by SAME_IOU, or if
    both have none. Every box is compared with every other one, an image at a time.
    """
    row_of = {image["id"]: row for row, image in enumerate(images)}
    own = [box for box in coco["annotations"] if box["image_id"] in row_of]
    owner = np.array([row_of[box["image_id"]] for box in own], int)
    order = np.argsort(owner, kind="stable")
    boxes_xywh = np.array([box["bbox"] for box in own], float).reshape(-1, 4)[order]
    rows, starts = np.unique(owner[order], return_index=True)
    empty = np.setdiff1d(np.arange(len(images)), rows)
    edges = [np.stack([empty[:-1], empty[1:]])]
    ends = np.append(starts, len(own))[1:]
    for row, first, end in zip(rows, starts, ends, strict=True):
        same = iou(boxes_xywh[first:end], boxes_xywh) >= SAME_IOU
        theirs = np.logical_and.reduceat(same.any(0), starts)
        ours = np.logical_or.reduceat(same, starts, axis=1).all(0)
        connected = rows[theirs & ours]
        edges.append(np.stack([np.full(len(connected), row), connected]))
    found = np.concatenate(edges, axis=1)
    graph = coo_array((np.ones(found.shape[1]), tuple(found)), shape=(len(images),) * 2)
    part = connected_components(graph, directed=False)[1]
    first = np.unique(part, return_index=True)[1]
    return [images[first[index]]["sha256"] for index in part]


def iou(one_xywh: np.ndarray, other_xywh: np.ndarray) -> np.ndarray:
    """Return the IoU of each box, float [n, 4], with each other one, float [m, 4]: [n, m]."""
    start = np.maximum(one_xywh[:, None, :2], other_xywh[None, :, :2])
    ends = [boxes[:, :2] + boxes[:, 2:] for boxes in (one_xywh, other_xywh)]
    inter = np.clip(np.minimum(ends[0][:, None], ends[1][None]) - start, 0, None).prod(2)
    areas = [boxes[:, 2:].prod(1) for boxes in (one_xywh, other_xywh)]
    return inter / (areas[0][:, None] + areas[1][None] - inter)


def leave_out_neighbors(
    images: list[dict], still: np.ndarray, splits: np.ndarray, block: int
) -> np.ndarray:
    """Return splits, int [images], without val and test frames of a still camera that are within
    a tenth of a block of a frame of an earlier split: at the seam the same object is in both."""
    kept, gap = splits.copy(), max(1, block // 10)
    series = defaultdict(list)
    for row in np.flatnonzero(still & (splits >= 0)).tolist():
        number = series_of(images[row]["file_name"])[1]
        if number is not None:
            series[images[row]["group"]].append((number, row))
    for frames in series.values():
        numbers, rows = map(np.array, zip(*frames, strict=True))
        for number, row in frames:
            near = np.abs(numbers - number) <= gap
            if (splits[rows[near]] < splits[row]).any():
                kept[row] = -1
    return kept
