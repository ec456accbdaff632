"""Interleave measurements, so that all of them meet the same noise of the machine."""

import time
from collections.abc import Callable, Hashable
from typing import TypeVar

from stages.common.run import progress

Value = TypeVar("Value")
Results = dict[Hashable, list[Value]]  # by name, one value per round


def interleave(
    measurements: dict[Hashable, Callable[[float], Value]],
    seconds: float,
    slice_seconds: float,
    warmup_seconds: float = 1.0,
    min_rounds: int = 1,
    enough: Callable[[Results], bool] = lambda results: False,
) -> Results:
    """Run every measurement once per round, in alternating order, until the time is over.

    Args:
        measurements: by name; each is called with the seconds that it may take, more or less.
        seconds: for all rounds, warming up not included.
        slice_seconds: for one measurement in a round.
        warmup_seconds: for each measurement before the first round; the results are dropped.
        min_rounds: run at least so many, however long they take.
        enough: called after each of the further rounds; true ends the measurements early.
    """
    for measure in measurements.values():
        measure(warmup_seconds)
    results = {name: [] for name in measurements}
    end = time.perf_counter() + seconds
    rounds = max(min_rounds, round(seconds / (slice_seconds * len(measurements))))
    for number in progress(range(1, rounds + 1), "rounds"):
        for name in list(measurements)[:: 1 if number % 2 else -1]:
            results[name].append(measurements[name](slice_seconds))
        if number >= min_rounds and (time.perf_counter() > end or enough(results)):
            break
    return results
