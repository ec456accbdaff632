"""Confidence intervals of AP: bootstrap over images, or over clusters of images that are alike.

Images are drawn with replacement and AP is computed again, by the arithmetic of pycocotools'
`accumulate` with a weight for each image instead of copies of its boxes. Percentile interval:
Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; expanded, since that of
few images is too narrow: Hesterberg, What Teachers Should Know About the Bootstrap (The American
Statistician 69, 2015), section 3.3.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pycocotools.cocoeval import COCOeval
from scipy import stats

RESAMPLES = 1000
SEED = 0
NORMAL_95 = 1.96  # standard deviations on either side that hold 95 % of a normal distribution
OUTSIDE = 0.025  # share of the resamples beyond each end, were there many images
BLOCK_ITEMS = 2**18  # array elements worked on at a time: they stay in the processor's cache


@dataclass(frozen=True)
class ClassMatches:
    """Matches of one class: I images, D detections by falling score, T IoU thresholds.

    Only the P detections that are matched or ignored at some threshold are kept in full: all
    others are false positives at every threshold, so that counting them is enough.
    """

    image: np.ndarray  # int [D], index of the image; cut after the last of the P
    turns: np.ndarray  # int [P], index into D: where the precision-recall curve can turn
    found: np.ndarray  # bool [T, P], true positives
    ignored: np.ndarray  # bool [T, P], neither true nor false positives
    boxes: np.ndarray  # int [I], boxes of the truth


def interval(resampled: np.ndarray, images: int) -> tuple[float, float]:
    """Return the 95 % interval of AP.

    Args:
        resampled: AP of every resample, from `resampled_ap`.
        images: number of images, or of clusters where these were drawn.

    Returns:
        Lower and upper end, 0 to 1; the whole range for a single image, which has no variation.
    """
    return ends(resampled, images) if images > 1 else (0.0, 1.0)


def paired_interval(a: COCOeval, b: COCOeval) -> tuple[float, float]:
    """Return the 95 % interval of AP of `a` minus AP of `b`, both on the same resamples.

    Args:
        a, b: after `evaluate`, of the same truth with at least one box.

    Returns:
        Lower and upper end, -1 to 1; the whole range for a single image, which has no variation.

    Raises:
        ValueError: the two were not evaluated on the same images.
    """
    if list(a.params.imgIds) != list(b.params.imgIds):
        raise ValueError("a paired interval needs two evaluations of the same images")
    if len(a.params.imgIds) == 1:
        return -1.0, 1.0
    return ends(resampled_ap(a) - resampled_ap(b), len(a.params.imgIds))


def ends(values: np.ndarray, images: int) -> tuple[float, float]:
    """Return the percentile interval of values [N] of so many images or clusters; nan (a resample
    without boxes) is left out."""
    outside = 100 * expanded(images)
    low, high = np.nanpercentile(values, (outside, 100 - outside))
    return float(low), float(high)


def widened(value: float, interval: tuple[float, float], deviation: float) -> tuple[float, float]:
    """Return a 95 % interval that also covers an independent source of chance.

    Args:
        value: the estimate.
        interval: its 95 % interval without that source.
        deviation: standard deviation that the source gives.
    """
    beyond = NORMAL_95 * deviation
    low, high = max(value - interval[0], 0.0), max(interval[1] - value, 0.0)
    return float(value - np.hypot(low, beyond)), float(value + np.hypot(high, beyond))


def expanded(images: int) -> float:
    """Return the share of the resamples beyond each end of the interval, by the number of images.

    It is below OUTSIDE by the correction that Student's t and the divisor n - 1 make for an
    interval of a mean: 0.006 for 8 images, 0.021 for 50.
    """
    spread = (images / (images - 1)) ** 0.5 * stats.t.ppf(OUTSIDE, images - 1)
    return float(stats.norm.cdf(spread))


def resampled_ap(evaluation: COCOeval, clusters: np.ndarray | None = None) -> np.ndarray:
    """Return AP of every resample, float [RESAMPLES]; the same images give the same resamples.

    Args:
        evaluation: after `evaluate`, of a truth with at least one box.
        clusters: int [I], 0 to C - 1: images of one cluster are drawn together, as `evaluation`
            orders them; None: each image alone.
    """
    if clusters is None:
        clusters = np.arange(len(evaluation.params.imgIds))
    count = clusters.max() + 1
    draws = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return weighted_ap(evaluation, draws[:, clusters]).mean(axis=1)


def packed(resampled: np.ndarray) -> str:
    """Encode AP of the resamples, float [RESAMPLES], for a metrics file: base64 of uint16 [65535 is
    an AP of 1; nan, a resample without boxes, is 0].

    Resamples of the same images are the same, so two runs are compared on them without their
    detections.
    """
    values = np.round(np.nan_to_num(resampled) * 65535).astype("<u2")
    return base64.b64encode(values.tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    """Decode what `packed` wrote: float [RESAMPLES]."""
    return np.frombuffer(base64.b64decode(text), "<u2") / 65535


def truth_id(coco: dict) -> str:
    """Return a hash of the images and boxes that figures come from: 16 hexadecimal digits."""
    images = [[image["id"], image.get("sha256"), image.get("cluster")] for image in coco["images"]]
    boxes = [[box["image_id"], box["category_id"], box["bbox"]] for box in coco["annotations"]]
    content = json.dumps([images, boxes, [c["name"] for c in coco["categories"]]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def weighted_ap(evaluation: COCOeval, weights: np.ndarray) -> np.ndarray:
    """Return AP as if every image were repeated `weights` times.

    Exactly pycocotools' figure for the copied images, each copy next to its original, except
    where several detections of one class in one image have equal scores: these keep their
    order, but the copies of each stand together.

    Args:
        evaluation: after `evaluate`, of a truth with at least one box.
        weights: int [N, I], in the order of `evaluation.params.imgIds`.

    Returns:
        float [N, T], area all, 100 detections an image, mean of the classes that have a box in
        these images; nan where none has.
    """
    recall_points = evaluation.params.recThrs
    total, present = 0.0, 0
    for matches in class_matches(evaluation):
        boxes = weights @ matches.boxes
        blocks = [class_ap(matches, part, recall_points) for part in in_blocks(matches, weights)]
        total = total + np.concatenate(blocks) * (boxes > 0)[:, None]
        present = present + (boxes > 0)
    return total / np.where(present, present, np.nan)[:, None]


def class_matches(evaluation: COCOeval) -> Iterator[ClassMatches]:
    """Yield the matches of every class that the truth has, for area all."""
    images, areas = len(evaluation.params.imgIds), len(evaluation.params.areaRng)
    for start in range(0, len(evaluation.evalImgs), images * areas):
        entries = evaluation.evalImgs[start : start + images]
        boxes = np.array([np.count_nonzero(e["gtIgnore"] == 0) if e else 0 for e in entries])
        if boxes.any():
            yield sorted_matches(entries, boxes)


def sorted_matches(entries: list[dict | None], boxes: np.ndarray) -> ClassMatches:
    """Join pycocotools' results of one class, one entry an image, in its order of detections."""
    known = [entry for entry in entries if entry]
    counts = [len(entry["dtScores"]) if entry else 0 for entry in entries]
    scores = np.concatenate([entry["dtScores"] for entry in known])
    order = np.argsort(-scores, kind="stable")
    matched = np.concatenate([entry["dtMatches"] for entry in known], axis=1)[:, order] != 0
    ignored = np.concatenate([entry["dtIgnore"] for entry in known], axis=1)[:, order] != 0
    found = matched & ~ignored
    turns = np.flatnonzero((found | ignored).any(axis=0))
    image = np.repeat(np.arange(len(entries)), counts)[order][: turns.max(initial=-1) + 1]
    return ClassMatches(image, turns, found[:, turns], ignored[:, turns], boxes)


def in_blocks(matches: ClassMatches, weights: np.ndarray) -> list[np.ndarray]:
    """Cut weights [N, I] into parts [n, I] whose intermediate arrays are small."""
    items_each = max(len(matches.image), matches.found.size, 1)
    rows = max(BLOCK_ITEMS // items_each, 1)
    return [weights[start : start + rows] for start in range(0, len(weights), rows)]


def class_ap(matches: ClassMatches, weights: np.ndarray, recall_points: np.ndarray) -> np.ndarray:
    """Return AP of one class, float [n, T], for weights [n, I]; undefined where it has no box."""
    copies = weights[:, matches.image]
    listed = copies.cumsum(axis=1)[:, None, matches.turns]
    copies = copies[:, None, matches.turns]
    found = (copies * matches.found).cumsum(axis=2)
    judged = listed - (copies * matches.ignored).cumsum(axis=2)
    precision = found / (judged + np.spacing(1))
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    boxes = np.maximum(weights @ matches.boxes, 1)[:, None, None]
    # A recall point takes its precision from the first detection that reaches it.
    reached = np.searchsorted(recall_points, found / boxes, side="right")
    gained = np.diff(reached, axis=2, prepend=0)
    return (envelope * gained).sum(axis=2) / len(recall_points)
