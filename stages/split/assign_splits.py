"""Sides: which units train, which judge, which are kept for a final judgement.

A unit's place is a hash of its key, a number from 0 to 1; train takes the places from 0, test
those up to 1, val what is between. So a unit keeps its side when others come, go or change
their order. Shares then hold on average only: where one is off by more than TOLERANCE, or a
class is missing on a side, the units nearest to the cut change sides until it is not, which
happens to small data sets and to few large units.
"""

import hashlib
import re

import numpy as np

SIDES = ("train", "val", "test")
# Of the images, and of the boxes of each class. Chance stays below it from some hundred units on.
TOLERANCE = 0.1
# Units that are looked at in one step: 1024 x 3 sides x 80 classes are 2 MB.
CHUNK = 1024
SUBSET_NAMES = {
    "train": re.compile(r"train(ing)?\W*\d*", re.IGNORECASE),
    "val": re.compile(r"val(id(ation)?)?\W*\d*", re.IGNORECASE),
    "test": re.compile(r"test(ing)?\W*\d*", re.IGNORECASE),
}


def place(key: str, seed: int) -> float:
    """A fixed random number from 0 to below 1 for a unit."""
    digest = hashlib.sha256(f"{seed} split {key}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def side_of_subset(subset: str) -> int | None:
    """The side that a subset of an export is named after, None for `default` and the like."""
    for side, name in enumerate(SIDES):
        if SUBSET_NAMES[name].fullmatch(subset):
            return side
    return None


def shares_of(ratio: float, test: float) -> np.ndarray:
    """Due shares of train, val and test."""
    return np.array([ratio, 1 - ratio - test, test])


def draw_sides(places: np.ndarray, amounts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Sides of units by their places, corrected where a share is far off.

    Args:
        places: float [units], as `place` returns them.
        amounts: int [units, 1 + classes], images and boxes of each class in each unit.
        shares: due share of each side, sum 1.

    Returns:
        int [units], index into SIDES.
    """
    cuts = np.cumsum(shares)
    sides = np.searchsorted(cuts[:-1], places, side="right")
    while (move := best_move(sides, places, amounts, shares)) is not None:
        unit, side = move
        sides[unit] = side
    return sides


def best_move(
    sides: np.ndarray, places: np.ndarray, amounts: np.ndarray, shares: np.ndarray
) -> tuple[int, int] | None:
    """The unit nearest to a cut whose change of side makes the shares better, and that side."""
    held = np.stack([amounts[sides == side].sum(0) for side in range(len(shares))])
    spread = (amounts > 0).sum(0)
    now = wrongness(held[None], spread, shares)[0]
    if now == 0:
        return None
    edges = np.concatenate([[0.0], np.cumsum(shares)])
    moves = []
    for side in np.flatnonzero(shares).tolist():
        far = np.maximum(edges[side] - places, places - edges[side + 1])
        units = np.flatnonzero(sides != side)
        units = units[np.argsort(far[units], kind="stable")]
        for start in range(0, len(units), CHUNK):
            some = units[start : start + CHUNK]
            after = moved(held, sides[some], side, amounts[some])
            better = some[wrongness(after, spread, shares) < now - 1e-9]
            if len(better):
                moves.append((far[better[0]], int(better[0]), side))
                break
    return min(moves)[1:] if moves else None


def moved(held: np.ndarray, before: np.ndarray, side: int, amounts: np.ndarray) -> np.ndarray:
    """What the sides hold after each of several moves, [moves, sides, quantities]."""
    after = np.repeat(held[None], len(before), 0)
    after[np.arange(len(before)), before] -= amounts
    after[:, side] += amounts
    return after


def wrongness(held: np.ndarray, spread: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How far shares are off beyond TOLERANCE, plus one for everything that a side lacks.

    Args:
        held: [cases, sides, quantities]: what each side holds.
        spread: [quantities]: in how many units there is some of it.
        shares: [sides].

    Returns:
        [cases], 0 where nothing is wrong.
    """
    total = np.maximum(held.sum(1, keepdims=True), 1)
    off = np.abs(held / total - shares[:, None] * (held.sum(1, keepdims=True) > 0))
    lacking = (held == 0) & (shares[:, None] > 0) & (spread >= np.count_nonzero(shares))
    return (np.maximum(off - TOLERANCE, 0) + lacking).sum((1, 2))
