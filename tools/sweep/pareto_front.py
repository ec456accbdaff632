"""Choose among models: those that no other one beats in accuracy and speed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """One model of an experiment, and its figures on this machine.

    Attributes:
        experiment: its name in DVC.
        model, size, act: name, HEIGHTxWIDTH of the input and activation.
        variant: FP16 or INT8.
        ap: on the val images, 0..1, as deployed here.
        fps: throughput, median over rounds.
        fps_slow: throughput that nine of ten rounds reach.
    """

    experiment: str
    model: str
    size: str
    act: str
    variant: str
    ap: float
    fps: float
    fps_slow: float


def pareto_front(points: list[Point]) -> list[Point]:
    """Return the points that no other one beats in AP or FPS without losing the other, fastest
    first; one of equals."""
    found: list[Point] = []
    for point in sorted(points, key=lambda p: (-p.fps, -p.ap)):
        if not found or point.ap > found[-1].ap:
            found.append(point)
    return found


def most_accurate(points: list[Point], target_fps: float) -> Point | None:
    """Return the most accurate point that reaches a speed in nine of ten rounds, if any; the
    faster one of equals."""
    fast = [point for point in points if point.fps_slow >= target_fps]
    return max(fast, key=lambda p: (p.ap, p.fps), default=None)
