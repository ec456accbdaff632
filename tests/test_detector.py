"""The detector as a library: threads, order, memory between parts, and wrong arguments."""

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import supervision

from detector import Detections, Detector
from detector.core.backend import FunctionRequest
from detector.core.frame_detector import FrameDetector
from detector.video import draw
from detector.video.pipeline import SIZE, Prefetcher, detections
from detector.video.sources import open_source
from detector.video.stats import RunStats


@pytest.fixture(params=["yolox.onnx", "ir", "int8/yolox.xml"])
def model(models, request):
    return models / request.param


def frames_bgr(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (60 + n, 90, 3), np.uint8) for n in range(count)]


def same(a: Detections, b: Detections) -> bool:
    return np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.confidence, b.confidence)


@pytest.mark.parametrize(("confidence", "some"), [(0.01, True), (1.0, False)])
def test_the_fields_are_those_of_supervision(model, confidence, some):
    """Its constructor checks shapes; its annotators and filters use the values."""
    image_bgr = frames_bgr(1)[0]
    with Detector(model, confidence) as detector:
        found = detector(image_bgr)
    theirs = supervision.Detections(
        xyxy=found.xyxy, confidence=found.confidence, class_id=found.class_id
    )
    assert bool(theirs) == some and len(theirs) == len(found) == len(found.class_names)
    assert found.class_id.dtype == np.int64
    drawn = supervision.BoxAnnotator().annotate(image_bgr.copy(), theirs)
    assert np.array_equal(drawn, image_bgr) != some
    assert len(theirs[theirs.confidence > 0.5]) == (found.confidence > 0.5).sum()


@pytest.mark.parametrize("throughput", [False, True])
def test_threads_share_a_detector(model, throughput):
    images = frames_bgr(24)
    with Detector(model, 0.01, throughput=throughput) as detector:
        expected = [detector(image) for image in images]
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(detector, images))
    assert sum(len(one) for one in expected) > 24
    assert all(same(a, b) for a, b in zip(expected, found, strict=True))


def test_frames_that_overlap_keep_their_order(model, video):
    with Detector(model, 0.01) as one, Detector(model, 0.01, throughput=True) as many:
        expected = [one(frame.image_bgr) for frame in open_source(str(video)).frames()]
        with detections([open_source(str(video))], [many]) as (_, running):
            found = list(running)
    assert [frame.number for frame, _ in found] == list(range(len(expected)))
    assert all(same(a, b) for a, (_, (b,)) in zip(expected, found, strict=True))


def test_frames_that_nobody_finishes_are_an_error_and_no_deadlock(model):
    image_bgr = frames_bgr(1)[0]
    with Detector(model, 0.01) as detector:
        pending = [detector.start(image_bgr) for _ in range(detector.num_requests)]
        with pytest.raises(RuntimeError, match=f"all {detector.num_requests} requests .* finish"):
            detector.start(image_bgr)
        with ThreadPoolExecutor(1) as thread:
            waits = thread.submit(detector, image_bgr)  # for this thread, which can still finish
            first = pending.pop().finish()
            assert same(first, waits.result())
        pending.append(detector.start(image_bgr))
        detector.close()
    with pytest.raises(RuntimeError, match="closed"):
        detector.start(image_bgr)
    assert all(same(first, one.finish()) for one in pending)
    with pytest.raises(RuntimeError, match="finished before"):
        pending[0].finish()


def test_threads_that_wait_for_each_other_are_an_error(models):
    image_bgr, both = frames_bgr(1)[0], threading.Barrier(2)

    def start_two_more(detector) -> str:
        try:
            pending = [detector.start(image_bgr)]
            both.wait()
            pending.append(detector.start(image_bgr))
        except RuntimeError as error:
            return str(error)
        finally:
            for one in pending:
                one.finish()
        return ""

    with Detector(models / "int8") as detector, ThreadPoolExecutor(2) as threads:
        said = list(threads.map(start_two_more, [detector, detector]))
    assert sum("finish" in text for text in said) == (detector.num_requests == 2)


def with_backend(infer: Callable, executor: Executor | None = None, **values) -> FrameDetector:
    """Return a detector of one class at 32x32 whose model is a function."""

    backend = SimpleNamespace(labels=["a"], input_hw=(32, 32), num_requests=1)
    backend.new_request = lambda: FunctionRequest(infer, (32, 32), executor)
    return FrameDetector(backend, **values)


NOTHING = np.zeros((5, 21), np.float32)


@pytest.mark.parametrize("name", ["confidence", "iou"])
@pytest.mark.parametrize("value", [-0.1, 1.01, 25, float("nan"), True, "0.5", None, np.array([0])])
def test_a_value_that_is_no_fraction_is_refused_in_one_line(name, value):
    with pytest.raises(ValueError, match=f"^{name} is .*; expected a number from 0 to 1$"):
        with_backend(lambda _: NOTHING, **{name: value})


def test_fractions_may_be_numbers_of_numpy():
    detector = with_backend(lambda _: NOTHING, confidence=np.float32(0.5), iou=np.int64(1))
    assert (detector.confidence, detector.iou) == (0.5, 1.0)
    assert type(detector.iou) is float


@pytest.mark.parametrize(
    "image",
    [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "a.jpg"],
)
def test_what_is_no_image_is_refused_and_leaves_the_detector_usable(image):
    detector = with_backend(lambda _: NOTHING)
    for _ in range(2):
        with pytest.raises(ValueError, match="expected uint8"):
            detector(image)
    assert len(detector(frames_bgr(1)[0])) == 0


@pytest.mark.parametrize("threads", [0, 1])
def test_an_error_of_the_runtime_leaves_the_detector_usable(threads):
    """In `start`, or in `finish` where the runtime has a thread of its own."""
    infer = Mock(side_effect=[ValueError("broken"), ValueError("broken"), NOTHING])
    detector = with_backend(infer, ThreadPoolExecutor(threads) if threads else None)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            detector(frames_bgr(1)[0])
    assert len(detector(frames_bgr(1)[0])) == 0


def test_a_part_that_is_ahead_waits():
    made = []
    running = Prefetcher(made.append(number) or number for number in range(50))
    for number in range(50):
        time.sleep(0.002)
        assert next(running) == number
        assert len(made) - number <= SIZE + 2
    assert (list(running), running.dropped) == ([], 0)


def test_of_a_live_source_the_newest_item_is_next():
    go = threading.Event()

    def numbers():
        yield 0
        go.wait()
        yield from range(1, 100)

    running = Prefetcher(numbers(), newest_only=True)
    first = next(running)
    go.set()
    running.thread.join()
    assert (first, list(running), running.dropped) == (0, [99], 98)


def test_a_signal_handler_may_stop_the_items_at_any_line():
    def slow():
        while True:
            time.sleep(0.01)
            yield 0

    def stop_at(last):
        lines = iter(range(last))

        def trace(frame, event, _):
            if event == "line" and next(lines, None) is None:
                sys.settrace(None)
                running.stop()
            return trace

        return trace

    for line in range(20):
        running = Prefetcher(slow())
        sys.settrace(stop_at(line))
        assert len(list(running)) <= 20
        running.close()
        running.thread.join()


def test_stopping_ends_the_wait_for_an_item_that_never_comes():
    go, taken = threading.Event(), []
    running = Prefetcher(go.wait() for _ in range(1))
    waiting = threading.Thread(target=lambda: taken.extend(running), daemon=True)
    waiting.start()
    time.sleep(0.05)
    running.stop()
    waiting.join(5)
    ended = not waiting.is_alive()
    go.set()
    assert ended and taken == []


def test_an_error_is_raised_where_items_are_taken_and_the_generator_is_closed():
    closed = []

    def broken():
        try:
            yield 1
            raise ValueError("broken")
        finally:
            closed.append(True)

    running = Prefetcher(broken())
    assert next(running) == 1
    with pytest.raises(ValueError, match="broken"):
        next(running)
    assert closed


def test_leaving_early_ends_the_threads(models, video):
    before = threading.active_count()
    with (
        Detector(models / "int8", throughput=True) as detector,
        detections([open_source(str(video))], [detector]) as (frames, found),
    ):
        next(found)
    assert not frames.parts[0].thread.is_alive() and not found.thread.is_alive()
    assert threading.active_count() == before
    assert len(detector.idle) == detector.num_requests


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_percentiles_are_those_of_numpy_to_one_percent(count):
    stats = RunStats()
    taken_ms = np.random.default_rng(0).lognormal(2, 1, count)
    for ms in taken_ms:
        stats.add({"infer": ms}, ms, 1)
    for percent in (50, 99):
        expected = np.percentile(taken_ms, percent, method="inverted_cdf")
        assert stats.latency_ms(percent) == pytest.approx(expected, rel=0.01)
    assert stats.frames == stats.found == count


def test_the_speed_that_is_drawn(monkeypatch):
    """Of the run for one model; of pre, infer and post for each of several."""
    drawn, times_s = [], iter([1.0, 1.04, 1.12])
    monkeypatch.setattr(draw, "write", lambda image, text, *_: drawn.append(text))
    monkeypatch.setattr(draw.time, "perf_counter", lambda: next(times_s))
    empty = [
        Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), [], {"pre": 1.0, "infer": ms})
        for ms in (9.0, 4.0)
    ]
    image_bgr = frames_bgr(1)[0]
    one, two = draw.Annotator(["int8"]), draw.Annotator(["int8", "ir"])
    for _ in range(3):
        assert one(image_bgr, empty[:1]) is image_bgr
    assert two(image_bgr, empty).shape == (60, 180, 3)
    assert drawn == [
        "int8", "int8  25.0 FPS", "int8  16.7 FPS", "int8  100.0 FPS", "ir  200.0 FPS"
    ]  # fmt: skip
