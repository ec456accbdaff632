"""Images that belong together: near duplicates, and groups that stay in one split."""

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from PIL import Image

from stages.common.coco import series_of

# One column more than bits, since each bit compares two neighbors.
GRID_WH = (17, 16)
# Of 256 bits. Frames of different drives of a dash camera differ in 58 bits and more, those of
# one drive a second apart in 77 in the median and in 5 to 20 where the car stands still.
MAX_BITS = 51
ROWS = 256  # images compared with all others in one step


def dhash(gray: Image.Image) -> str:
    """Return a difference hash of 256 bits, 64 hex digits, first bit first.

    Each bit says whether a cell of a grid of 17 x 16 mean values is darker than the next one
    to its right.
    """
    cells = np.asarray(gray.resize(GRID_WH, Image.Resampling.BOX))
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes().hex()


def hashes_of(images: list[dict]) -> np.ndarray:
    """Return the `dhash` of each image as uint64 [images, 4]."""
    text = "".join(image["dhash"] for image in images)
    return np.frombuffer(bytes.fromhex(text), ">u8").astype(np.uint64).reshape(-1, 4)


def find_near_duplicates(hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Find all pairs of images whose hashes (uint64 [images, 4]) differ in MAX_BITS at most.

    This is a generator because a camera that stands still has as many pairs as images squared.

    Yields:
        For each image with near duplicates later in the list: its index, their indices
        (ascending), and the number of bits in which each of them differs.
    """
    for start in range(0, len(hashes), ROWS):
        bits = different_bits(hashes[start : start + ROWS], hashes[start:])
        for row in range(len(bits)):
            found = row + 1 + np.flatnonzero(bits[row, row + 1 :] <= MAX_BITS)
            if len(found):
                yield start + row, start + found, bits[row, found]


def different_bits(hashes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Count the bits in which hashes [n, 4] differ from others [m, 4]: uint16 [n, m]."""
    bits = np.zeros((len(hashes), len(others)), np.uint16)
    for word in range(hashes.shape[1]):
        bits += np.bitwise_count(hashes[:, word, None] ^ others[None, :, word])
    return bits


def cluster(hashes: np.ndarray) -> np.ndarray:
    """Label the sets of images that near duplicates connect: int [images], the first index."""
    label = np.arange(len(hashes))
    for index, others, _ in find_near_duplicates(hashes):
        joined = np.unique(label[[index, *others]])
        if len(joined) > 1:
            label[np.isin(label, joined)] = joined[0]
    return label


def group_keys(images: list[dict], hashes: np.ndarray, group_by: str, block: int) -> list[str]:
    """Return the key of each image's group.

    Args:
        images: of the clean COCO.
        hashes: their difference hashes, uint64 [images, 4].
        group_by: `none`: near duplicates form a group; `time`: `block` consecutive frame numbers
            of one series do; otherwise a regular expression that is searched for in the file
            name: its first capture group is the key. An image without a number or a match is a
            group of its own.
        block: frame numbers in a block of time.

    Returns:
        Keys that depend only on the content or the names of the group's own images.
    """
    own = [image["sha256"] for image in images]
    if group_by == "none":
        # The smallest content hash: adding another near duplicate seldom changes it.
        members = defaultdict(list)
        labels = cluster(hashes).tolist()
        for key, label in zip(own, labels, strict=True):
            members[label].append(key)
        return [min(members[label]) for label in labels]
    if group_by == "time":
        numbers = [series_of(image["file_name"])[1] for image in images]
        keys = [
            None if number is None else f"{image['group']} {number // block}"
            for image, number in zip(images, numbers, strict=True)
        ]
    else:
        found = [re.search(group_by, image["file_name"]) for image in images]
        keys = [match[1] if match else None for match in found]
    return [alone if key is None else key for key, alone in zip(keys, own, strict=True)]
