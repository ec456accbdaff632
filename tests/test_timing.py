"""Measured speed: intervals, interleaved rounds, and one model that is as fast as itself."""

import cv2
import numpy as np
import pytest

from detector import Detector
from detector.core.boxes import letterbox
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.benchmark.__main__ import digits, openvino_variant
from stages.benchmark.interleave import MIN_ROUNDS, Variant, interval, ratio, take_turns
from stages.benchmark.modes import CLIP_FRAMES, end_to_end_fps, throughput_fps, write_clip


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        # All of six on one side of the median happens once in 32: the whole range is the interval.
        ([1, 2, 3, 4, 5, 6], (1, 3.5, 6)),
        # Of nine, at most one on one side: (1 + 9) / 256 = 3.9 %, so the ends are left out.
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], (2, 5, 8)),
        ([2.0] * 8, (2, 2, 2)),
    ],
)
def test_the_interval_of_a_median_by_hand(ratios, expected):
    assert interval(np.array(ratios, float)) == pytest.approx(expected)


def test_the_interval_holds_the_true_median_in_95_of_100():
    rng = np.random.default_rng(0)
    held = [low <= 1.0 <= high for low, _, high in (
        interval(rng.lognormal(0, 0.1, 15)) for _ in range(1000))]  # fmt: skip
    assert 0.95 <= np.mean(held) <= 0.99


def steady(fps: float, noise: float, rng: np.random.Generator) -> Variant:
    def measured(seconds: float) -> float:
        return fps * rng.lognormal(0, noise)

    return Variant(lambda seconds: [1.0], measured, measured)


@pytest.mark.parametrize(("noise", "rounds"), [(0.0, MIN_ROUNDS), (0.5, 40)])
def test_rounds_end_when_the_ratio_is_known(noise, rounds):
    rng = np.random.default_rng(0)
    variants = [steady(10, noise, rng), steady(20, noise, rng)]
    take_turns(variants, seconds=8.0, warmup_seconds=0.0, slice_seconds=0.1)
    assert [len(v.throughputs_fps) for v in variants] == [rounds, rounds]
    assert interval(ratio(variants[1], variants[0]))[1] == pytest.approx(2, rel=0.5)


@pytest.mark.parametrize(
    ("value", "expected"), [(1234.5, 1230.0), (0.012345, 0.0123), (9.999, 10.0)]
)
def test_three_digits(value, expected):
    assert digits(value) == expected


def test_a_clip_begins_again_at_its_end(models, tmp_path):
    images = [np.full((96, 160, 3), value, np.uint8) for value in (0, 100, 200)]
    write_clip(tmp_path / "clip.mp4", images)
    assert cv2.VideoCapture(str(tmp_path / "clip.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == CLIP_FRAMES
    with Detector(models / "int8", throughput=True) as detector:
        assert end_to_end_fps(detector, tmp_path / "clip.mp4", 1.0) > CLIP_FRAMES  # it is tiny


def test_throughput_counts_what_was_computed(models, canvas_bgr):
    backend = OpenVinoBackend(models / "int8", throughput=True)
    assert throughput_fps(backend, canvas_bgr, 0.2) > 100
    assert canvas_bgr.shape == letterbox(canvas_bgr, backend.input_hw).shape


@pytest.mark.slow
def test_a_model_is_as_fast_as_itself(trained, tmp_path):
    """The whole protocol on one model twice: what it finds besides 1 is its own error."""
    image_bgr = np.random.default_rng(0).integers(0, 256, (540, 960, 3), np.uint8)
    write_clip(tmp_path / "clip.mp4", [image_bgr])
    twice = [openvino_variant(trained / "ir", image_bgr, tmp_path / "clip.mp4") for _ in range(2)]
    take_turns(twice, seconds=60.0, warmup_seconds=1.0, slice_seconds=0.2)
    low, middle, high = interval(ratio(twice[1], twice[0]))
    assert abs(middle - 1) < 0.03, f"{middle:.3f}, interval {low:.3f} to {high:.3f}"
