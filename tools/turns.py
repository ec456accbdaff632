"""Measurements that take turns, so that all of them meet the same noise."""

from collections.abc import Callable

import numpy as np

from stages.common.run import progress


def in_turns(measured: dict[str, Callable[[], float]], rounds: int) -> dict[str, np.ndarray]:
    """What each measurement found in each round, after one round that warms up."""
    found: dict[str, list[float]] = {name: [] for name in measured}
    for number in progress(range(rounds + 1), "rounds"):
        for name, measure in measured.items():
            value = measure()
            if number:
                found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}
