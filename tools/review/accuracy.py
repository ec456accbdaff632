"""Changes of accuracy between two commits, in pairs: the same images before and after."""

from dataclasses import dataclass

import numpy as np

from stages.evaluation.bootstrap import RESAMPLES, SEED, ends, unpacked, widened
from stages.evaluation.fidelity import unpacked_bits

# Standard deviation of the default run between trainings, AP points: see docs/evidence.md. Only a
# cross-validation knows that of its own data.
TRAINING_SD, TRAINING_SD_OF_DROP = 2.0, 1.0
BETTER, WORSE, NOISE = "better", "worse", "within noise"
EQUAL = 0.5  # AP points
SURELY_EQUAL = f"equal within {EQUAL}"


@dataclass(frozen=True)
class Evidence:
    """The accuracy of a commit with its uncertainty, from the cross-validation or the val images.

    Attributes:
        accuracy: by variant AP, AP50, AP_interval and resampled, see `evaluate` and `crossval`.
        drop: of INT8: AP and interval, AP points.
        truth: hash of images and boxes.
        units: number of images or, with folds, of clusters of images.
        judges: the images, in words.
        training_sd: standard deviations of AP and of the drop between trainings, AP points.
        in_intervals: True if AP_interval and interval cover that of training.
        weights: hashes of the weights that were judged.
    """

    accuracy: dict[str, dict]
    drop: dict
    truth: str
    units: int
    judges: str
    training_sd: tuple[float, float]
    in_intervals: bool
    weights: tuple[str, ...]


def from_val(accuracy: dict[str, dict], drop: dict, weights: tuple[str, ...]) -> Evidence:
    """Collect the figures of the val images.

    Args:
        accuracy: content of metrics/accuracy by variant.
        drop: content of metrics/drop.json.
        weights: hash of models/yolox.pth.
    """
    torch = accuracy["torch"]
    spread, judges = (TRAINING_SD, TRAINING_SD_OF_DROP), f"{torch['images']} val images"
    return Evidence(
        accuracy, drop["int8"], torch["truth"], torch["images"], judges, spread, False, weights
    )


def from_folds(crossval: dict, weights: tuple[str, ...]) -> Evidence:
    """Collect the figures of metrics/crossval.json; `weights` are the hashes of the folds'."""
    torch, drop = crossval["accuracy"]["torch"], crossval["drop"]["int8"]
    judges = f"{torch['images']} images, each by a model that was not trained on it"
    spread = 100 * torch["training_sd"], drop["training_sd"]
    return Evidence(
        crossval["accuracy"], drop, crossval["truth"], crossval["clusters"], judges, spread, True,
        weights,
    )  # fmt: skip


@dataclass(frozen=True)
class Change:
    """A difference of two figures, after minus before, in AP points, with its 95 % interval."""

    points: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        return "{:+.1f} ({:+.1f} to {:+.1f})".format(self.points, *self.interval)

    @property
    def half_width(self) -> float:
        return (self.interval[1] - self.interval[0]) / 2

    def verdict(self, higher_is_better: bool = True) -> str:
        """Return BETTER, WORSE, SURELY_EQUAL or NOISE."""
        low, high = self.interval
        if low > 0 or high < 0:
            return BETTER if (low > 0) == higher_is_better else WORSE
        return SURELY_EQUAL if max(-low, high) <= EQUAL else NOISE


def ap_change(before: Evidence, after: Evidence, variant: str) -> Change:
    """Return the change of a variant's AP."""
    sides = [side.accuracy[variant] for side in (before, after)]
    return change(
        before,
        after,
        [100 * side["AP"] for side in sides],
        [100 * np.array(side["AP_interval"]) for side in sides],
        [100 * unpacked(side["resampled"]) for side in sides],
        [side.training_sd[0] for side in (before, after)],
    )


def drop_change(before: Evidence, after: Evidence) -> Change:
    """Return the change of what INT8 lost."""
    resampled = [
        100 * (unpacked(own["torch"]["resampled"]) - unpacked(own["int8"]["resampled"]))
        for own in (before.accuracy, after.accuracy)
    ]
    drops = before.drop, after.drop
    intervals = [np.array(drop["interval"]) for drop in drops]
    deviations = [side.training_sd[1] for side in (before, after)]
    return change(
        before, after, [drop["AP"] for drop in drops], intervals, resampled, deviations
    )  # fmt: skip


def change(
    before: Evidence,
    after: Evidence,
    values: list[float],
    intervals: list[np.ndarray],
    resampled: list[np.ndarray],
    deviations: list[float],
) -> Change:
    """Return the difference of a figure, in pairs where images and boxes are the same.

    Args:
        before, after: where the figures come from.
        values: both figures, AP points.
        intervals: their 95 % intervals.
        resampled: the figures of each resample.
        deviations: standard deviation of each between trainings; it counts where weights differ.
    """
    difference = values[1] - values[0]
    if is_paired(before, after):
        found, covered = ends(resampled[1] - resampled[0], after.units), False
    else:
        (old_low, old_high), (new_low, new_high) = intervals
        below = np.hypot(values[1] - new_low, old_high - values[0])
        above = np.hypot(new_high - values[1], values[0] - old_low)
        found, covered = (difference - below, difference + above), after.in_intervals
    if before.weights != after.weights and not covered:
        found = widened(difference, found, float(np.hypot(*deviations)))
    return Change(difference, (float(found[0]), float(found[1])))


def fidelity_change(before: dict, after: dict) -> Change:
    """Return the change of how many frames of 1,000 have another answer than PyTorch's, in pairs
    where the frames are the same.

    Args:
        before, after: see stages/evaluation/fidelity.py.
    """
    old, new = before["changed_per_1000"], after["changed_per_1000"]
    count = after["frames"]
    if before["pool"] == after["pool"]:
        a, b = (unpacked_bits(side["changed"], count).astype(int) for side in (before, after))
        draws = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES)
        return Change(new - old, ends(1000 * draws @ (b - a) / count, count))
    (old_low, old_high), (new_low, new_high) = before["interval"], after["interval"]
    below, above = np.hypot(new - new_low, old_high - old), np.hypot(new_high - new, old - old_low)
    return Change(new - old, (float(new - old - below), float(new - old + above)))


def is_paired(before: Evidence, after: Evidence) -> bool:
    return before.truth == after.truth


def power(before: Evidence, after: Evidence) -> str:
    """Say how accuracy was judged, and how small a difference would show."""
    paired = "in pairs" if is_paired(before, after) else (
        "not in pairs, since the images or boxes differ"
    )  # fmt: skip
    training = "; the chance of training is included" if before.weights != after.weights else ""
    widest = max(ap_change(before, after, key).half_width for key in after.accuracy)
    return (
        f"AP was judged on {after.judges}, {paired}{training}. A difference of {widest:.1f} AP "
        "points or more would show."
    )
