"""Interleave measurements, so that all of them meet the same noise of the machine.

Noise that all meet alike leaves ratios as they are; other programs do not. Beside one busy process
the threads of PyTorch, which wait for each other at every layer, fall to a tenth of their speed and
the rest hardly slow down. So every slice is judged by how much of the cores was free for it, rounds
with a disturbed slice are repeated, and what could not be repeated is marked.
"""

import os
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

import psutil

from detector.core.cpu import usable_cores
from stages.common.run import progress

Value = TypeVar("Value")
Results = dict[Hashable, list[Value]]  # by name, one value per round
QUIET = 0.95  # free share of the cores from which a slice counts as undisturbed


class Rounds(NamedTuple):
    """Results of interleaved measurements.

    Attributes:
        results: by name, one value per round; of the undisturbed rounds only, unless `busy`.
        cores_free: share of the cores that was free for us in the worst slice of the median round.
        busy: too few rounds were undisturbed.
    """

    results: Results
    cores_free: float
    busy: bool

    @property
    def warning(self) -> str:
        """Say that the machine was busy; "" if it was not."""
        return self.busy * (
            f"The machine was busy, {100 * (1 - self.cores_free):.0f} % of its cores were not free "
            "for this: do not rely on these speeds, close other programs and measure again."
        )


def interleave(
    measurements: dict[Hashable, Callable[[float], Value]],
    seconds: float,
    slice_seconds: float,
    warmup_seconds: float = 1.0,
    min_rounds: int = 1,
    enough: Callable[[Results], bool] = lambda results: False,
) -> Rounds:
    """Run every measurement once per round, in alternating order, until the time is over.

    Args:
        measurements: by name; each is called with the seconds that it may take, more or less.
        seconds: for all rounds, warming up not included; at most twice that on a busy machine.
        slice_seconds: for one measurement in a round.
        warmup_seconds: for each measurement before the first round; the results are dropped.
        min_rounds: run at least so many, however long they take.
        enough: called after each of the further rounds; true ends the measurements early.
    """
    for measure in measurements.values():
        measure(warmup_seconds)
    rounds: list[tuple[dict, float]] = []
    end = time.perf_counter() + seconds
    planned = max(min_rounds, round(seconds / (slice_seconds * len(measurements))))
    for description in ("rounds", "busy machine: more rounds"):
        for _ in progress(range(planned), description):
            order = list(measurements)[:: -1 if len(rounds) % 2 else 1]
            rounds.append(run_round({name: measurements[name] for name in order}, slice_seconds))
            quiet = [values for values, cores_free in rounds if cores_free >= QUIET]
            if len(quiet) >= min_rounds and (
                time.perf_counter() > end or enough(by_name(quiet, measurements))
            ):
                break
        if len(quiet) >= min_rounds:
            break
    busy = len(quiet) < min_rounds
    shares = sorted(share for _, share in rounds if busy or share >= QUIET)
    kept = [values for values, _ in rounds] if busy else quiet
    return Rounds(by_name(kept, measurements), shares[len(shares) // 2], busy)


def run_round(
    measurements: dict[Hashable, Callable[[float], Value]], slice_seconds: float
) -> tuple[dict[Hashable, Value], float]:
    """Return the values of a round, and the free share of the cores in its worst slice."""
    values, cores_free = {}, 1.0
    for name, measure in measurements.items():
        before = CpuTimes.now()
        values[name] = measure(slice_seconds)
        cores_free = min(cores_free, CpuTimes.now().cores_free_since(before))
    return values, cores_free


def by_name(rounds: list[dict], names: dict) -> Results:
    return {name: [values[name] for values in rounds] for name in names}


class CpuTimes(NamedTuple):
    """Seconds since the machine started: on the clock, of our CPUs' idleness, of this process."""

    clock_s: float
    idle_s: float
    own_s: float

    @classmethod
    def now(cls) -> "CpuTimes":
        own, every = psutil.Process().cpu_times(), psutil.cpu_times(percpu=True)
        cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(every))
        idle_s = sum(
            every[cpu].idle + getattr(every[cpu], "iowait", 0) for cpu in cpus if cpu < len(every)
        )
        own_s = own.user + own.system + own.children_user + own.children_system
        return cls(time.perf_counter(), idle_s, own_s)

    def cores_free_since(self, before: "CpuTimes") -> float:
        """Return the share of our cores that idled or worked for us, 0..1.

        What is missing went to other processes, or to other machines on the same host (steal).
        """
        clock_s, idle_s, own_s = (now - then for now, then in zip(self, before, strict=True))
        return max(0.0, min(1.0, (idle_s + own_s) / (clock_s * usable_cores())))
