"""Twins: pictures that show the same moment, found by their difference hashes.

A detector that was trained on one of two twins is not judged by the other.
"""

from collections.abc import Iterator

import numpy as np

# Of 256 bits. Frames of different drives of a dash camera differ in 58 bits and more, those of
# one drive a second apart in 77 in the median and in 5 to 20 where the car stands still.
MAX_BITS = 51
ROWS = 256


def codes_of(images: list[dict]) -> np.ndarray:
    """The `dhash` of each image: uint64 [images, 4]."""
    text = "".join(image["dhash"] for image in images)
    return np.frombuffer(bytes.fromhex(text), ">u8").astype(np.uint64).reshape(-1, 4)


def twins(codes: np.ndarray) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """All pairs of twins, image by image.

    Pairs are not collected here: a camera that stands still has as many as images squared.

    Args:
        codes: as `codes_of` returns them.

    Yields:
        For each image with twins behind it in the list: its index, theirs (ascending), and the
        bits in which each of them differs from it.
    """
    for start in range(0, len(codes), ROWS):
        block, rest = codes[start : start + ROWS], codes[start:]
        bits = np.zeros((len(block), len(rest)), np.uint16)
        for word in range(codes.shape[1]):
            bits += np.bitwise_count(block[:, word, None] ^ rest[None, :, word])
        for row in range(len(block)):
            found = row + 1 + np.flatnonzero(bits[row, row + 1 :] <= MAX_BITS)
            if len(found):
                yield start + row, start + found, bits[row, found]


def clusters(codes: np.ndarray) -> np.ndarray:
    """Numbers the sets of images that twins connect: int [images], the first member's index."""
    label = np.arange(len(codes))
    for index, others, _ in twins(codes):
        joined = np.unique(label[[index, *others]])
        if len(joined) > 1:
            label[np.isin(label, joined)] = joined[0]
    return label
