"""The detector as a library: threads, order, memory between parts, and what it is not given."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import supervision

from detector import Detector
from detector.video.pipeline import SIZE, Prefetcher, detections, one_by_one, overlapped
from detector.video.sources import open_source
from detector.video.stats import Rate, RunStats


@pytest.fixture(params=["yolox.onnx", "ir", "int8/yolox.xml"])
def model(models, request):
    return models / request.param


def frames_bgr(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (60 + n, 90, 3), np.uint8) for n in range(count)]


def same(a, b) -> bool:
    return np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.confidence, b.confidence)


@pytest.mark.parametrize("throughput", [False, True])
def test_threads_share_a_detector(model, throughput):
    images = frames_bgr(24)
    with Detector(model, 0.01, throughput=throughput) as detector:
        expected = [detector(image) for image in images]
        with ThreadPoolExecutor(6) as threads:
            found = list(threads.map(detector, images))
    assert sum(len(one.confidence) for one in expected) > 24
    assert all(same(a, b) for a, b in zip(expected, found, strict=True))


def test_frames_that_overlap_keep_their_order(model, video):
    source = open_source(str(video))
    with Detector(model, 0.01) as one, Detector(model, 0.01, throughput=True) as many:
        expected = list(one_by_one(source.frames(), [one]))
        found = list(overlapped(open_source(str(video)).frames(), many))
    assert [frame.number for frame, _ in found] == list(range(len(expected)))
    for (_, (a,)), (_, (b,)) in zip(expected, found, strict=True):
        assert same(a, b)


def test_a_closed_detector_says_so(model):
    detector = Detector(model)
    detector.close()
    detector.close()
    with pytest.raises(RuntimeError, match="closed"):
        detector(frames_bgr(1)[0])


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


@pytest.mark.parametrize(
    "image",
    [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "a.jpg"],
)
def test_what_is_no_picture_is_refused_and_leaves_the_detector_usable(models, image):
    with Detector(models / "int8") as detector:
        for _ in range(5):
            with pytest.raises(ValueError, match="expected uint8"):
                detector(image)
        detector(frames_bgr(1)[0])


def test_a_part_that_is_ahead_waits():
    made = []

    def numbers():
        for number in range(50):
            made.append(number)
            yield number

    running = Prefetcher(numbers())
    for number in range(50):
        time.sleep(0.002)
        assert next(running) == number
        assert len(made) - number <= SIZE + 2
    with pytest.raises(StopIteration):
        next(running)
    assert running.dropped == 0


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
    source = open_source(str(video))
    with (
        Detector(models / "int8", throughput=True) as detector,
        detections(source, lambda frames: overlapped(frames, detector)) as (frames, found),
    ):
        next(found)
    assert not frames.thread.is_alive() and not found.thread.is_alive()
    assert threading.active_count() == before


@pytest.mark.parametrize("count", [1, 7, 1000])
def test_percentiles_are_those_of_numpy_to_one_percent(count):
    account = RunStats()
    taken_ms = np.random.default_rng(0).lognormal(2, 1, count)
    for ms in taken_ms:
        account.add({"infer": ms}, ms, 1)
    for percent in (50, 99):
        expected = np.percentile(taken_ms, percent, method="inverted_cdf")
        assert account.latency_ms(percent) == pytest.approx(expected, rel=0.01)
    assert account.frames == account.found == count


def test_a_rate_needs_two_frames():
    rate = Rate()
    assert rate.tick() is None
    time.sleep(0.01)
    assert 10 < rate.tick() < 100
