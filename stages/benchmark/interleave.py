"""Variants that take turns, so that all of them meet the same noise, until their ratio is known."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import quantile_test

from stages.common.run import progress

NARROW = 0.03  # width of a ratio's 95 % interval, as a share of the ratio, that is enough
MIN_ROUNDS = 6  # with fewer, the interval of a median has no end


@dataclass
class Variant:
    """One model in one runtime, and what was measured of it.

    Attributes:
        latencies: milliseconds of single frames, in a slice of seconds.
        throughput: frames a second of inference alone, in a slice of seconds.
        end_to_end: frames a second from an encoded video to drawn boxes, in a slice of seconds.
        facts: what else is told of it.
    """

    latencies: Callable[[float], list[float]]
    throughput: Callable[[float], float]
    end_to_end: Callable[[float], float]
    facts: dict = field(default_factory=dict)
    latencies_ms: list[float] = field(default_factory=list)
    throughputs_fps: list[float] = field(default_factory=list)
    end_to_ends_fps: list[float] = field(default_factory=list)

    def slices(self, seconds: float) -> None:
        """Measures all three ways, for so many seconds together."""
        self.latencies_ms += self.latencies(seconds / 5)
        self.throughputs_fps.append(self.throughput(seconds * 2 / 5))
        self.end_to_ends_fps.append(self.end_to_end(seconds * 2 / 5))


def take_turns(
    variants: list[Variant], seconds: float, warmup_seconds: float, slice_seconds: float
) -> None:
    """Warms every variant up, then measures round after round.

    Ends when the throughput of every variant, as a ratio to the first one's, has an interval
    narrower than NARROW, or when the time is over.

    Args:
        variants: the first one is what the others are compared with.
        seconds: for all rounds, without warming up.
        warmup_seconds: for each variant.
        slice_seconds: of each variant in a round.
    """
    for variant in variants:
        variant.latencies(warmup_seconds / 2)
        variant.throughput(warmup_seconds / 2)
    rounds = max(MIN_ROUNDS, round(seconds / (slice_seconds * len(variants))))
    end = time.perf_counter() + seconds
    for done in progress(range(1, rounds + 1), "benchmark"):
        for variant in variants if done % 2 else variants[::-1]:
            variant.slices(slice_seconds)
        others = [interval(ratio(variant, variants[0])) for variant in variants[1:]]
        known = all(high - low < NARROW * middle for low, middle, high in others)
        if done >= MIN_ROUNDS and (known or time.perf_counter() > end):
            break


def ratio(variant: Variant, reference: Variant) -> np.ndarray:
    """Throughput against the reference's in the same round, one value per round."""
    return np.array(variant.throughputs_fps) / np.array(reference.throughputs_fps)


def interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """The lower end of the median's 95 % interval, the median, and the upper end.

    The interval is that of the sign test, by order statistics: it assumes nothing about the noise
    but that rounds are independent.
    """
    found = quantile_test(ratios, q=np.median(ratios), p=0.5).confidence_interval(0.95)
    return float(found.low), float(np.median(ratios)), float(found.high)
