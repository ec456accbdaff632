"""Suspicious boxes: often correct, but worth a look."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stages.audit.measures import MIN_SIDE_PX, Boxes, too_small

HUGE_SHARE = 0.5
# The long side of a box lies along the border that it touches. A licence plate, seen whole, is
# up to 5 times as wide as high.
SLIVER_RATIO = 8
BORDER_PX = 1
# A class with fewer boxes gives no reliable median.
FEW_BOXES = 20
# In robust standard deviations: 6 in 100,000 normally distributed boxes are beyond.
OUTLIER_Z = 4
# Where all boxes of a class are alike, the least difference is not yet odd: 2 % of the frame's
# height, 10 % of a width or an aspect ratio count as one standard deviation.
LEAST_DEVIATION = {"place": 0.02, "width": 0.1, "shape": 0.1}


@dataclass(frozen=True)
class Suspicion:
    """One reason to check a box; `times` says how far it is beyond its limit, 1 at the limit."""

    row: int
    kind: str
    times: float
    reason: str


def find_suspicious_boxes(boxes: Boxes, labels: list[str]) -> list[Suspicion]:
    """Find all reasons to check boxes, the most extreme first."""
    found = [*tiny(boxes), *huge(boxes), *slivers(boxes), *outliers(boxes, labels)]
    return sorted(found, key=lambda suspicion: (-suspicion.times, suspicion.row, suspicion.kind))


def tiny(boxes: Boxes) -> Iterator[Suspicion]:
    for row in np.flatnonzero(too_small(boxes)).tolist():
        side = boxes.input_wh[row].min()
        yield Suspicion(
            row, "tiny", MIN_SIDE_PX / side, f"tiny: a side of {side:.1f} px at the input"
        )


def huge(boxes: Boxes) -> Iterator[Suspicion]:
    shares = boxes.xywh[:, 2:].prod(axis=1) / boxes.frame_wh.prod(axis=1)
    for row in np.flatnonzero(shares > HUGE_SHARE).tolist():
        times = shares[row] / HUGE_SHARE
        yield Suspicion(row, "huge", times, f"huge: {shares[row]:.0%} of the frame")


def slivers(boxes: Boxes) -> Iterator[Suspicion]:
    """Find boxes that the border of the frame cuts down to a sliver."""
    start, size = boxes.xywh[:, :2], boxes.xywh[:, 2:]
    touches = (start <= BORDER_PX) | (start + size >= boxes.frame_wh - BORDER_PX)
    ratios = np.where(touches, size[:, ::-1] / size, 0).max(axis=1)
    for row in np.flatnonzero(ratios > SLIVER_RATIO).tolist():
        width, height = size[row]
        reason = f"sliver at the border: {width:.0f} x {height:.0f} px of the frame"
        yield Suspicion(row, "sliver", ratios[row] / SLIVER_RATIO, reason)


def outliers(boxes: Boxes, labels: list[str]) -> Iterator[Suspicion]:
    """Find boxes far from the median position, width or shape of their class."""
    centre_y = (boxes.xywh[:, 1] + boxes.xywh[:, 3] / 2) / boxes.frame_wh[:, 1]
    values = {
        "place": centre_y,
        "width": np.log(boxes.input_wh[:, 0]),
        "shape": np.log(boxes.xywh[:, 2] / boxes.xywh[:, 3]),
    }
    for index, label in enumerate(labels):
        rows = np.flatnonzero(boxes.classes == index)
        if len(rows) < FEW_BOXES:
            continue
        for kind, of_all in values.items():
            usual, z = robust_z(of_all[rows], LEAST_DEVIATION[kind])
            for row, times in zip(rows.tolist(), np.abs(z) / OUTLIER_Z, strict=True):
                if times > 1:
                    yield Suspicion(row, kind, times, told(kind, of_all[row], usual, label))


def robust_z(values: np.ndarray, least: float) -> tuple[float, np.ndarray]:
    """Return the median, and the distances of the values from it in robust standard deviations."""
    usual = np.median(values)
    # 1.4826 makes the median of absolute deviations the deviation of a normal distribution.
    deviation = max(1.4826 * np.median(np.abs(values - usual)), least)
    return usual, (values - usual) / deviation


def told(kind: str, value: float, usual: float, label: str) -> str:
    if kind == "place":
        where = "higher" if value < usual else "lower"
        return f"{where} than usual: centre at {value:.0%} of the height, median {usual:.0%}"
    if kind == "width":
        how = "wide" if value > usual else "narrow"
        return f"{np.exp(abs(value - usual)):.1f} times as {how} as the median of {label}"
    return (
        f"unusual shape: width to height {np.exp(value):.2f}, median of {label} {np.exp(usual):.2f}"
    )


def select_suspicious(found: list[Suspicion], count: int) -> dict[int, list[Suspicion]]:
    """Select the boxes to show, the most extreme first, each with all its reasons.

    Kinds alternate; otherwise a thousand tiny boxes would hide all other kinds.

    Args:
        found: from `find_suspicious_boxes`.
        count: of boxes at most.
    """
    of_kind, ranked = Counter(), []
    for place, suspicion in enumerate(found):
        ranked.append((of_kind[suspicion.kind], place, suspicion.row))
        of_kind[suspicion.kind] += 1
    chosen = set(list(dict.fromkeys(row for *_, row in sorted(ranked)))[:count])
    shown: dict[int, list[Suspicion]] = {}
    for suspicion in found:
        if suspicion.row in chosen:
            shown.setdefault(suspicion.row, []).append(suspicion)
    return shown
