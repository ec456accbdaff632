"""Which models are worth a look: those that no other one beats in accuracy and speed."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Point:
    """A model of an experiment, and what it reaches here.

    Attributes:
        experiment: its name in DVC.
        model, input_hw, act: as in params.yaml.
        variant: FP16 or INT8.
        ap: on the val images, 0..1, as this machine runs it.
        fps: throughput, median of its turns.
        fps_slow: what it reaches in nine tenths of its turns.
    """

    experiment: str
    model: str
    input_hw: tuple[int, int]
    act: str
    variant: str
    ap: float
    fps: float
    fps_slow: float


def slowest_tenth(fps: np.ndarray) -> float:
    """The speed that nine tenths of the turns reach."""
    return float(np.quantile(fps, 0.1))


def front(points: list[Point]) -> list[Point]:
    """The Pareto front, fastest first: no other point has more of one and as much of the other."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.fps, -p.ap)):
        if not found or point.ap > found[-1].ap:
            found.append(point)
    return found


def most_accurate(points: list[Point], target_fps: float) -> Point | None:
    """The most accurate point that reaches so many FPS in nine tenths of its turns, if any; the
    faster one of equals."""
    fast = [point for point in points if point.fps_slow >= target_fps]
    return max(fast, key=lambda p: (p.ap, p.fps), default=None)
