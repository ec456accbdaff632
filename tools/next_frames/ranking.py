"""Choose the frames that are labelled next."""

import numpy as np

from stages.common.groups import different_bits, hashes_of
from stages.evaluation.matching import by_image, difference

# Below it detections come and go with every training.
LEAST_SCORE = 0.1


def disagreement(images: list[dict], answers: list[list[dict]], classes: int) -> np.ndarray:
    """Return by how much the answers to each image differ from the first one: float [images].

    Args:
        images: entries of a COCO.
        answers: detections, rows of COCO result files: those of the model to improve, then others.
        classes: their number.

    Returns:
        The mean of `difference` over the others; 0 if there are none.
    """
    first, *others = (by_image(rows, [LEAST_SCORE] * classes) for rows in answers)
    return np.array(
        [
            np.mean([difference(first[image["id"]], other[image["id"]]) for other in others] or [0])
            for image in images
        ]
    )


def choose(
    images: list[dict], known: list[dict], scores: np.ndarray, frames: int, drawn: int, seed: int
) -> np.ndarray:
    """Choose frames: some at random, the others one after the other by score and by looks.

    What a frame scores is multiplied by how much it looks different from all that is labelled or
    chosen, in bits of its difference hash.

    Args:
        images: of the pool.
        known: images that are labelled.
        scores: float [images], 0 or more.
        frames: how many to choose; all if there are fewer.
        drawn: how many of these to draw at random.
        seed: of the draw.

    Returns:
        int [frames], indices in the order of choice.
    """
    frames = min(frames, len(images))
    chosen = np.random.default_rng(seed).permutation(len(images))[: min(drawn, frames)].tolist()
    hashes = hashes_of(images)
    seen = np.concatenate([hashes_of(known), hashes[chosen]])
    bits = (
        different_bits(hashes, seen).min(1).astype(float)
        if len(seen)
        else np.full(len(images), 256.0)
    )
    while len(chosen) < frames:
        worth = scores * bits
        worth[chosen] = -1
        best = int(worth.argmax())
        chosen.append(best)
        bits = np.minimum(bits, different_bits(hashes, hashes[best : best + 1])[:, 0])
    return np.array(chosen, int)
