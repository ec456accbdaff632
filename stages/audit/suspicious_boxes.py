"""Suspicious boxes: often correct, but worth a look."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stages.audit.measures import MIN_SIDE_PX, Boxes

HUGE_SHARE = 0.5
# The long side of a box lies along the border that it touches. A license plate, seen whole, is
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


class Suspicion(NamedTuple):
    """One reason to check a box; `times` says how far it is beyond its limit, 1 at the limit."""

    row: int
    kind: str
    times: float
    reason: str


def find_suspicious_boxes(boxes: Boxes, labels: list[str]) -> list[Suspicion]:
    """Find all reasons to check boxes, the most extreme first."""
    found = [one for one in (*extremes(boxes), *outliers(boxes, labels)) if one.times > 1]
    return sorted(found, key=lambda one: (-one.times, one.row, one.kind))


def extremes(boxes: Boxes) -> Iterator[Suspicion]:
    """Compare each box with the limits for tiny, huge and sliver (cut down by the border)."""
    start, size = boxes.xywh[:, :2], boxes.xywh[:, 2:]
    shares = size.prod(axis=1) / boxes.frame_wh.prod(axis=1)
    touches = (start <= BORDER_PX) | (start + size >= boxes.frame_wh - BORDER_PX)
    ratios = np.where(touches, size[:, ::-1] / size, 0).max(axis=1)
    for row, side in enumerate(boxes.input_wh.min(axis=1)):
        reason = f"tiny: a side of {side:.1f} px at the input"
        yield Suspicion(row, "tiny", MIN_SIDE_PX / side, reason)
        reason = f"huge: {shares[row]:.0%} of the frame"
        yield Suspicion(row, "huge", shares[row] / HUGE_SHARE, reason)
        reason = "sliver at the border: {:.0f} x {:.0f} px of the frame".format(*size[row])
        yield Suspicion(row, "sliver", ratios[row] / SLIVER_RATIO, reason)


def outliers(boxes: Boxes, labels: list[str]) -> Iterator[Suspicion]:
    """Compare position, width and shape of each box with the median of its class.

    Distances are in robust standard deviations.
    """
    values = {
        "place": (boxes.xywh[:, 1] + boxes.xywh[:, 3] / 2) / boxes.frame_wh[:, 1],
        "width": np.log(boxes.input_wh[:, 0]),
        "shape": np.log(boxes.xywh[:, 2] / boxes.xywh[:, 3]),
    }
    for index, label in enumerate(labels):
        rows = np.flatnonzero(boxes.classes == index)
        if len(rows) < FEW_BOXES:
            continue
        for kind, of_all in values.items():
            usual = np.median(of_all[rows])
            distances = np.abs(of_all[rows] - usual)
            # 1.4826 makes the median of distances the deviation of a normal distribution.
            deviation = max(1.4826 * np.median(distances), LEAST_DEVIATION[kind])
            for row, times in zip(rows.tolist(), distances / deviation / OUTLIER_Z, strict=True):
                yield Suspicion(row, kind, times, describe(kind, of_all[row], usual, label))


def describe(kind: str, value: float, usual: float, label: str) -> str:
    if kind == "place":
        where = "higher" if value < usual else "lower"
        return f"{where} than usual: center at {value:.0%} of the height, median {usual:.0%}"
    if kind == "width":
        how = "wide" if value > usual else "narrow"
        return f"{np.exp(abs(value - usual)):.1f} times as {how} as the median of {label}"
    return (
        f"unusual shape: width to height {np.exp(value):.2f}, median of {label} {np.exp(usual):.2f}"
    )


def select_suspicious(found: list[Suspicion], count: int) -> dict[int, list[Suspicion]]:
    """Select at most `count` boxes to show, the most extreme first, each with all its reasons.

    Kinds alternate; otherwise a thousand tiny boxes would hide all other kinds.
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
