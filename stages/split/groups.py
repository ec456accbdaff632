"""Units: the sets of images that a split may not cut."""

import re
from collections import defaultdict
from pathlib import PurePosixPath

import numpy as np

from stages.common.coco import LAST_NUMBER
from stages.split.near_duplicates import clusters


def unit_keys(images: list[dict], codes: np.ndarray, group_by: str, block: int) -> list[str]:
    """Names for each image the unit that it belongs to.

    Args:
        images: of the clean COCO.
        codes: their difference hashes.
        group_by: `none`: twins are a unit; `time`: `block` frame numbers of one series are; or
            a regular expression, searched for in the file name: its first group is the key. An
            image without number or match is a unit of its own.
        block: frame numbers in a block of time.

    Returns:
        Keys that depend on the content or the name of the unit's own images alone. Two pictures
        with equal bytes have the same key unless they belong to two groups.
    """
    if group_by == "none":
        return twin_keys(images, clusters(codes))
    if group_by == "time":
        return [time_key(image, block) for image in images]
    return [name_key(image, re.compile(group_by)) for image in images]


def twin_keys(images: list[dict], cluster: np.ndarray) -> list[str]:
    """The smallest content hash of each set of twins: another twin seldom changes it."""
    members = defaultdict(list)
    for image, number in zip(images, cluster.tolist(), strict=True):
        members[number].append(image["sha256"])
    return [min(members[number]) for number in cluster.tolist()]


def time_key(image: dict, block: int) -> str:
    """Series and block of a numbered frame."""
    number = LAST_NUMBER.search(PurePosixPath(image["file_name"]).stem)
    if not number:
        return image["sha256"]
    return f"{image['group']} {int(number[0]) // block}"


def name_key(image: dict, pattern: re.Pattern) -> str:
    """The first group that took part in a match on the file name."""
    match = pattern.search(image["file_name"])
    return match[1] if match and match[1] is not None else image["sha256"]
