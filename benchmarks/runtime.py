"""What the choices of the runtime are worth: one model, one video, one thing changed at a time.

    python -m benchmarks.runtime MODEL VIDEO [--choices NAME ...] [--rounds 12]

MODEL is an IR. Measured is the way from the video's bytes to drawn boxes, all choices taking turns.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import openvino as ov

from benchmarks.turns import in_turns
from detector import sources
from detector.boxes import find_boxes, letterbox
from detector.detector import Detections, Detector
from detector.openvino_backend import OpenVinoBackend, compile_ir
from detector.pipeline import Found, overlapped
from detector.sources import Frame
from stages.timing.modes import end_to_end_fps

SECONDS = 1.5  # of one measurement within a round
ALL_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Choice:
    """What differs from the detector as it is.

    Attributes:
        options: of OpenVINO.
        spare: requests beyond those that OpenVINO asks for.
        cv2_threads: of OpenCV.
        capture: options of FFmpeg.
        detect_all: takes the place of `overlapped`.
    """

    options: dict = field(default_factory=dict)
    spare: int = 1
    cv2_threads: int = ALL_CORES
    capture: str = ""
    detect_all: Callable = overlapped


class Tuned(OpenVinoBackend):
    """An IR with other options."""

    def __init__(self, path: Path, choice: Choice):
        options = {"PERFORMANCE_HINT": "THROUGHPUT", **choice.options}
        self.labels, self.input_hw, self.compiled = compile_ir(path, options)
        asked = self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self.in_flight = asked + choice.spare


def with_queue(frames: Iterable[Frame], detector: Detector) -> Iterator[Found]:
    """The same by OpenVINO's AsyncInferQueue, whose callbacks copy what was computed."""
    backend = detector.backend
    queue = ov.AsyncInferQueue(backend.compiled, detector.in_flight)
    done: dict[int, np.ndarray] = {}

    def keep(request: ov.InferRequest, number: int) -> None:
        done[number] = request.get_output_tensor().data[0].copy()

    queue.set_callback(keep)
    waiting: list[Frame] = []

    def finish() -> Found:
        frame = waiting.pop(0)
        hw = frame.image_bgr.shape[:2]
        found = find_boxes(
            done.pop(frame.number), backend.input_hw, hw, detector.confidence, detector.iou
        )
        labels = [backend.labels[index] for index in found[2]]
        return frame, [Detections(found[0], found[1], labels, found[2], {})]

    for number, frame in enumerate(frames):
        frame.number = number
        queue.start_async({0: letterbox(frame.image_bgr, backend.input_hw)[None]}, number)
        waiting.append(frame)
        while waiting and waiting[0].number in done:
            yield finish()
    queue.wait_all()


CHOICES = {
    "as it is": Choice(),
    "one stream": Choice({"NUM_STREAMS": 1}),
    "four streams": Choice({"NUM_STREAMS": 4}),
    "no pinning": Choice({"ENABLE_CPU_PINNING": False}),
    "no spare request": Choice(spare=0),
    "three spare requests": Choice(spare=3),
    "AsyncInferQueue": Choice(detect_all=with_queue),
    "one OpenCV thread": Choice(cv2_threads=1),
    "one decoding thread": Choice(capture="threads;1"),
}


def main() -> None:
    """Compare choices of the runtime."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtime", description=main.__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    measured = {
        name: measurement(arguments.model, arguments.video, CHOICES[name])
        for name in arguments.choices
    }
    fps = in_turns(measured, arguments.rounds)
    print("| changed | FPS end to end | against the first |\n| --- | ---: | ---: |")
    for name, values in fps.items():
        ratio = median(values / next(iter(fps.values())))
        print(f"| {name} | {median(values):.1f} | {100 * ratio:.0f} % |")


def measurement(model: Path, video: Path, choice: Choice) -> Callable[[], float]:
    detector = Detector.of(Tuned(model, choice))

    def measure() -> float:
        cv2.setNumThreads(choice.cv2_threads)
        files_only = sources.FILES_ONLY
        sources.FILES_ONLY = "|".join(filter(None, [files_only, choice.capture]))
        try:
            return end_to_end_fps(detector, video, SECONDS, choice.detect_all)
        finally:
            sources.FILES_ONLY = files_only

    return measure


if __name__ == "__main__":
    main()
