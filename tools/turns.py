"""Interleave measurements, so that all of them meet the same noise."""

from collections.abc import Callable, Hashable

import numpy as np

from stages.common.run import progress


def in_turns(
    measurements: dict[Hashable, Callable[[], float]], rounds: int
) -> dict[Hashable, np.ndarray]:
    """Run every measurement once in each round; one more round before them warms up.

    Returns:
        The results by name, [rounds] each.
    """
    found = {name: [] for name in measurements}
    for _ in progress(range(rounds + 1), "rounds"):
        for name, measure in measurements.items():
            found[name].append(measure())
    return {name: np.array(values[1:]) for name, values in found.items()}
