"""The uncertainty of a figure from a cross-validation: its images' and its trainings'.

The images are a sample: clusters of those that belong together are drawn with replacement. Training
is a draw too: of the seeds or, with a single one, of the folds, less what the images of a fold
explain of its difference from others. The two variances add up.
"""

from dataclasses import astuple, dataclass
from itertools import chain

import numpy as np

from stages.common.coco_eval import score
from stages.evaluation.bootstrap import ends, resampled_ap, widened


@dataclass(frozen=True)
class Sampled:
    """AP of S seeds and K folds, and of N resamples of the images; nan without boxes."""

    ap: np.ndarray  # float [S], of all folds together
    resampled: np.ndarray  # float [S, N]
    fold_ap: np.ndarray  # float [S, K], of each fold alone
    fold_resampled: np.ndarray  # float [S, K, N]

    def __sub__(self, other: "Sampled") -> "Sampled":
        """Return the differences on the same images, in the same trainings."""
        return Sampled(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Uncertainty:
    """A 95 % interval, and where it comes from."""

    interval: tuple[float, float]
    training_sd: float  # standard deviation that training alone would give
    training_share: float  # of the variance, 0 to 1


def pooled(vals: list[dict]) -> dict:
    """Join the val lists of all folds to one COCO."""
    both = {key: [entry for val in vals for entry in val[key]] for key in ("images", "annotations")}
    return {**vals[0], **both}


def sample(vals: list[dict], rows: list[list[list[dict]]]) -> Sampled:
    """Evaluate detections of each seed and fold, and resample them.

    Args:
        vals: the COCO of each fold, whose images have a `cluster`.
        rows: detections of each seed and fold, rows of COCO result files.
    """
    every = pooled(vals)
    of_all = [(every, list(chain(*of_seed))) for of_seed in rows]
    of_folds = [list(zip(vals, of_seed, strict=True)) for of_seed in rows]
    ap, resampled = zip(*(ap_of(*pair) for pair in of_all), strict=True)
    per_fold = [[ap_of(*pair) for pair in pairs] for pairs in of_folds]
    return Sampled(
        np.array(ap),
        np.array(resampled),
        np.array([[ap for ap, _ in folds] for folds in per_fold]),
        np.array([[resampled for _, resampled in folds] for folds in per_fold]),
    )


def ap_of(coco: dict, rows: list[dict]) -> tuple[float, np.ndarray]:
    """Return AP, and AP of every resample of the clusters: float [N]."""
    evaluation = score(coco, rows)
    return float(evaluation.stats[0]), resampled_ap(evaluation, clusters_of(coco, evaluation))


def clusters_of(coco: dict, evaluation) -> np.ndarray:
    """Number the clusters of the images, int [I] from 0, in the order of the evaluation."""
    found = {image["id"]: image["cluster"] for image in coco["images"]}
    ordered = [found[image_id] for image_id in evaluation.params.imgIds]
    return np.unique(ordered, return_inverse=True)[1]


def uncertainty(sampled: Sampled, clusters: int) -> Uncertainty:
    """Return how certain the mean over the seeds is.

    Args:
        sampled: AP, or a difference of two.
        clusters: number of clusters of the images.
    """
    value, resampled = sampled.ap.mean(), sampled.resampled.mean(axis=0)
    seeds, folds = sampled.fold_ap.shape
    if seeds > 1:
        training = sampled.ap.var(ddof=1) / seeds
    else:
        explained = np.nanvar(sampled.fold_resampled[0], axis=1).mean()
        training = max(sampled.fold_ap[0].var(ddof=1) - explained, 0.0) / folds
    interval = widened(value, ends(resampled, clusters), training**0.5)
    total = training + np.nanvar(resampled)
    return Uncertainty(interval, float(training**0.5), float(training / total) if total else 0.0)
