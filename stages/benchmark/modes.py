"""The three ways in which the speed of a model is measured."""

import time
from collections import deque
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np

from detector.core.backend import Backend
from detector.core.frame_detector import FrameDetector
from detector.video.draw import Annotator
from detector.video.pipeline import detections
from detector.video.sources import Frame, Source, open_source

CLIP_FRAMES = 120
CLIP_SIDES_PX = 2, 8188  # shortest and longest that the encoder of MPEG-4 takes


def latencies_ms(backend: Backend, canvas_bgr: np.ndarray, seconds: float) -> list[float]:
    """Time single frames, one after the other; `canvas_bgr` is a letterboxed frame."""
    request, taken_ms = backend.new_request(), []
    request.canvas_bgr[:] = canvas_bgr
    end = time.perf_counter() + seconds
    while not taken_ms or time.perf_counter() < end:
        started = time.perf_counter()
        request.start()
        request.output()
        taken_ms.append((time.perf_counter() - started) * 1e3)
    return taken_ms


def throughput_fps(backend: Backend, canvas_bgr: np.ndarray, seconds: float) -> float:
    """Measure frames per second of inference alone, as many at once as the backend wants."""
    requests = deque(backend.new_request() for _ in range(backend.num_requests))
    for request in requests:
        request.canvas_bgr[:] = canvas_bgr
    started = time.perf_counter()
    for request in requests:
        request.start()
    frames = 0
    while time.perf_counter() - started < seconds:
        requests[0].output()
        requests[0].start()
        requests.rotate(-1)
        frames += 1
    for request in requests:
        request.output()
    return (frames + len(requests)) / (time.perf_counter() - started)


def end_to_end_fps(detector: FrameDetector, clip: Path, seconds: float) -> float:
    """Measure frames per second of a video that is decoded, detected in and drawn on."""
    annotator, times, end = Annotator(["benchmark"]), [], time.perf_counter() + seconds
    with detections([RepeatedClip(clip)], [detector]) as (_, found):
        for frame, per_model in found:
            annotator(frame.image_bgr, per_model)
            times.append(time.perf_counter())
            if times[-1] > end and len(times) > 1:
                break
    return (len(times) - 1) / (times[-1] - times[0])


class RepeatedClip(Source):
    """A video that starts again at its end."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def frames(self) -> Generator[Frame, None, None]:
        while True:
            yield from open_source(str(self.path)).frames()


def write_clip(path: Path, images_bgr: list[np.ndarray]) -> None:
    """Encode images, repeated, as a video in the size of the first, or what MPEG-4 has of it."""
    height, width = images_bgr[0].shape[:2]
    shortest, longest = CLIP_SIDES_PX
    scale = min(1.0, longest / max(height, width))
    size = tuple(max(shortest, round(scale * side)) for side in (width, height))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, size)
    for index in range(CLIP_FRAMES):
        writer.write(cv2.resize(images_bgr[index % len(images_bgr)], size))
    writer.release()
