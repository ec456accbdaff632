"""Interleaving, the interval of a speed-up, and what is counted; nothing here depends on speed."""

import itertools
import subprocess
import sys
import time
from collections import deque
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from detector import Detector
from detector.core.cpu import usable_cores
from stages.benchmark import interleave as module
from stages.benchmark import modes
from stages.benchmark.__main__ import MIN_ROUNDS, Speeds, are_known, digits, speedup
from stages.benchmark.interleave import CpuTimes, interleave


class Clock:
    """A clock that stands still until something waits."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for part in (module, modes):
        monkeypatch.setattr(part, "time", clock)
    # A machine of two cores, on which nothing else runs and this process idles.
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    monkeypatch.setattr(module.CpuTimes, "now", lambda: CpuTimes(clock.now, 2 * clock.now, 0.0))
    return clock


@pytest.mark.parametrize(
    ("options", "slower", "rounds"),
    [
        ({"seconds": 8.0}, 1, 4),
        ({"seconds": 0.1}, 1, 1),
        ({"seconds": 8.0}, 3, 2),  # each takes three times as long as it was given
        ({"seconds": 0.1, "min_rounds": 6}, 1, 6),
        ({"seconds": 80.0, "enough": lambda results: len(results["a"]) == 3}, 1, 3),
        ({"seconds": 80.0, "enough": lambda results: True, "min_rounds": 6}, 1, 6),
    ],
)
def test_measurements_are_interleaved_until_time_is_over(clock, options, slower, rounds):
    calls = []

    def measure(name: str, seconds: float) -> int:
        clock.now += slower * seconds
        calls.append((name, seconds))
        return len(calls)

    measurements = {"a": lambda s: measure("a", s), "b": lambda s: measure("b", s)}
    results, cores_free, busy = interleave(
        measurements, slice_seconds=1.0, warmup_seconds=0.5, **options
    )
    order = [("a", 0.5), ("b", 0.5)]  # then every other round starts with the last
    for number in range(rounds):
        order += [("b", 1.0), ("a", 1.0)] if number % 2 else [("a", 1.0), ("b", 1.0)]
    assert calls == order
    for name, values in results.items():
        assert [calls[value - 1][0] for value in values] == [name] * rounds
    assert cores_free == 1 and not busy


@pytest.mark.parametrize(
    ("free", "kept", "cores_free", "busy"),
    [
        ([1.0] * 9, [0, 1, 2, 3], 1.0, False),
        ([0.5, 1.0, 0.96, 0.94, *[1.0] * 5], [1, 2], 1.0, False),
        ([0.5, 0.9, 0.96, 0.94, *[1.0] * 5], [2, 4], 1.0, False),
        ([1.0, 1.0, 0.8, 0.7, *[0.6] * 5], [0, 1], 1.0, False),  # what is enough stands
        ([1.0, *[0.6] * 7], [*range(8)], 0.6, True),
        ([0.3, 0.2] * 4, [*range(8)], 0.3, True),
        ([*[0.6] * 6, 1.0, 1.0], [6, 7], 1.0, False),
    ],
)
def test_rounds_beside_other_programs_are_repeated_or_marked(
    clock, monkeypatch, free, kept, cores_free, busy
):
    """Two rounds are needed, four fit into the time, and as many again."""
    started = []

    def measure(seconds: float) -> int:
        clock.now += seconds
        started.append(seconds)
        return len(started) - 2  # the first one warms up

    monkeypatch.setattr(
        module.CpuTimes, "cores_free_since", lambda now, before: free[len(started) - 2]
    )
    rounds = interleave({"a": measure}, 4.0, 1.0, min_rounds=2)
    assert rounds == ({"a": kept}, cores_free, busy)
    assert rounds.warning == "" or (busy and f"{100 * (1 - cores_free):.0f} %" in rounds.warning)


def test_cores_that_work_for_others_are_not_free():
    """One busy loop takes at least half of a core from two threads, or a share from more cores."""
    loops = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(loops) for _ in range(usable_cores())]
    try:
        end, before = time.perf_counter() + 1.0, CpuTimes.now()
        while time.perf_counter() < end:
            pass
        assert CpuTimes.now().cores_free_since(before) < 0.8
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize(
    ("idle_s", "own_s", "cores", "expected"),
    [
        (2.0, 0.0, 2, 1.0),
        (0.0, 2.0, 2, 1.0),
        (0.5, 0.5, 2, 0.5),
        (30.0, 2.0, 2, 1.0),  # a limit of two cores on a large machine with room
        (0.0, 0.0, 2, 0.0),
        (1.0, 1.1, 2, 1.0),
    ],
)
def test_what_is_neither_idle_nor_ours_is_taken(monkeypatch, idle_s, own_s, cores, expected):
    monkeypatch.setattr(module, "usable_cores", lambda: cores)
    before = CpuTimes(5.0, 1.0, 1.0)
    now = CpuTimes(6.0, 1.0 + idle_s, 1.0 + own_s)
    assert now.cores_free_since(before) == pytest.approx(expected)


def results_of(**fps: list[float]) -> dict[str, list[Speeds]]:
    return {name: [Speeds([1.0], value, value) for value in values] for name, values in fps.items()}


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        # All of six on one side of the median happens once in 32: the whole range is the interval.
        ([1, 2, 3, 4, 5, 6], (1, 3.5, 6)),
        ([1, 2, 3, 4, 5], (np.nan, 3, np.nan)),
        # Of nine, at most one on one side: (1 + 9) / 256 = 3.9 %, so the ends are left out.
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], (2, 5, 8)),
        ([2.0] * 8, (2, 2, 2)),
    ],
)
def test_the_interval_of_a_speed_up_by_hand(fps, expected):
    slow = [7.0 + number for number in range(len(fps))]
    results = results_of(torch=slow, int8=[a * b for a, b in zip(slow, fps, strict=True)])
    assert speedup(results, "int8") == pytest.approx(expected, nan_ok=True)
    assert are_known(results) == (expected[0] == expected[2])
    assert np.isfinite(expected).all() == (len(fps) >= MIN_ROUNDS)


def test_the_interval_holds_the_true_median_in_95_of_100():
    rng = np.random.default_rng(0)
    draws = (results_of(torch=[1.0] * 15, int8=rng.lognormal(0, 0.1, 15)) for _ in range(1000))
    held = [low <= 1.0 <= high for low, _, high in (speedup(draw, "int8") for draw in draws)]
    assert 0.95 <= np.mean(held) <= 0.99


def test_three_digits():
    assert [digits(value) for value in (1234.5, 0.012345, 9.999)] == [1230.0, 0.0123, 10.0]


class Queue:
    """A backend that takes 0.1 s for a frame, one after the other."""

    num_requests = 3

    def __init__(self, clock: Clock):
        self.clock, self.started, self.done = clock, deque(), 0

    def new_request(self) -> SimpleNamespace:
        request = SimpleNamespace(canvas_bgr=np.zeros((2, 2, 3), np.uint8))
        request.start = lambda: self.started.append(request)
        request.output = lambda: self.finish(request)
        return request

    def finish(self, request: SimpleNamespace) -> None:
        assert self.started.popleft() is request, "a frame was overtaken"
        self.clock.now += 0.1
        self.done += 1


def test_throughput_counts_every_frame_that_was_computed(clock):
    backend = Queue(clock)
    assert modes.throughput_fps(backend, np.ones((2, 2, 3), np.uint8), 1.0) == pytest.approx(10)
    assert not backend.started and backend.done == pytest.approx(13, abs=1)


@pytest.mark.parametrize(("seconds", "frames"), [(1.0, 10), (0.0, 1)])
def test_latency_is_that_of_single_frames(clock, seconds, frames):
    taken_ms = modes.latencies_ms(Queue(clock), np.ones((2, 2, 3), np.uint8), seconds)
    assert len(taken_ms) == pytest.approx(frames, abs=1)
    assert taken_ms == pytest.approx([100.0] * len(taken_ms))


@pytest.mark.parametrize(
    ("frame_hw", "clip_hw"), [((96, 160), (96, 160)), ((1, 40), (2, 40)), ((20, 9000), (18, 8188))]
)
def test_frames_of_any_size_become_a_clip(tmp_path, monkeypatch, frame_hw, clip_hw):
    monkeypatch.setattr(modes, "CLIP_FRAMES", 5)
    images = [np.full((*frame_hw, 3), value, np.uint8) for value in (0, 100, 200)]
    modes.write_clip(tmp_path / "clip.mp4", images)
    clip = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    frames = [clip.read()[1] for _ in range(5)]
    assert frames[0].shape == (*clip_hw, 3) and not clip.read()[0]
    assert [frame.mean() for frame in frames] == pytest.approx([0, 100, 200, 0, 100], abs=8)


def test_a_clip_starts_again_at_its_end(models, tmp_path):
    modes.write_clip(tmp_path / "clip.mp4", [np.zeros((96, 160, 3), np.uint8)])
    frames = modes.RepeatedClip(tmp_path / "clip.mp4").frames()
    numbers = [frame.number for frame in itertools.islice(frames, modes.CLIP_FRAMES + 2)]
    assert numbers == [*range(modes.CLIP_FRAMES), 0, 1]
    with Detector(models / "int8", throughput=True) as detector:
        assert modes.end_to_end_fps(detector, tmp_path / "clip.mp4", 0.0) > 0
